from __future__ import annotations

import time
from pathlib import Path

import pytest

from openscope_experimental_launcher.engines.bonsai.values import (
    Hint,
    accepts,
    hint_of,
    timespan_text,
)
from openscope_experimental_launcher.engines.bonsai.workflow import (
    Include,
    NodeType,
    Workflow,
    read_workflow,
)
from openscope_experimental_launcher.engines.bonsai.xmltree import XmlError
from openscope_experimental_launcher.errors import EngineError

WORKFLOWS = Path(__file__).parent / "workflows"


@pytest.fixture(scope="module")
def oddball() -> Workflow:
    return read_workflow((WORKFLOWS / "oddball.bonsai").read_bytes())


def test_version_is_read_despite_mark_and_windows_lines(oddball: Workflow) -> None:
    assert oddball.version == "2.8.1"


def test_settable_names(oddball: Workflow) -> None:
    assert list(dict.fromkeys(p.name for p in oddball.properties)) == [
        "OutputFolder",
        "TrialInterval",
        "DueTime",
        "StimulusTable",
        "TrialCount",
        "Contrast",
        "ShowCamera",
        "CameraIndex",
        "CameraFile",
        "ServerAddress",
        "Unconnected",
        "LegacyCount",
        "Camera.Index",
        "Camera.Mode",
        "Camera.Recording",
    ]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("OutputFolder", "C:\\Data", Hint.TEXT),
        ("TrialInterval", "PT0.5S", Hint.TIMESPAN),
        ("StimulusTable", "stimuli.csv", Hint.UNKNOWN),
        ("TrialCount", "100", Hint.INT),
        ("Contrast", "0.8", Hint.DOUBLE),
        ("ShowCamera", "true", Hint.BOOL),
        ("CameraIndex", "0", Hint.NUMBER),
        ("CameraFile", "camera.avi", Hint.UNKNOWN),
        ("ServerAddress", "tcp://localhost:5555", Hint.UNKNOWN),
        ("LegacyCount", "5", Hint.NUMBER),
        ("Camera.Mode", "Color", Hint.UNKNOWN),
    ],
)
def test_values_and_hints(oddball: Workflow, name: str, value: str, hint: Hint) -> None:
    found = oddball.by_name[name]
    assert (found.value, found.hint, found.settable) == (value, hint, True)


def test_a_group_is_walked_to_the_node_inside(oddball: Workflow) -> None:
    (target,) = oddball.by_name["CameraFile"].targets
    assert target.address == (13, 3)
    assert (target.type, target.member) == ("Bonsai.Vision.VideoWriter", "FileName")


def test_a_mapping_without_edges_is_not_settable(oddball: Workflow) -> None:
    assert not oddball.by_name["Unconnected"].settable


def test_a_disabled_mapping_is_not_there(oddball: Workflow) -> None:
    assert "Sleeping" not in oddball.by_name


def test_includes_are_files_or_embedded(oddball: Workflow) -> None:
    assert [(i.path, i.assembly) for i in oddball.includes] == [
        ("Extensions\\Logging.bonsai", ""),
        ("Primitives.DrawGratings.bonsai", "BonVision"),
    ]


def test_an_include_with_a_drive_is_a_file(build) -> None:
    node = '<Expression xsi:type="IncludeWorkflow" Path="C:\\lab\\Log.bonsai" />'
    (include,) = read_workflow(build.workflow(node)).includes
    assert isinstance(include, Include)
    assert (include.path, include.assembly) == ("C:\\lab\\Log.bonsai", "")


def test_assemblies_leave_out_those_of_dotnet(oddball: Workflow) -> None:
    assert oddball.assemblies == (
        "Bonsai.Core",
        "Bonsai.System",
        "Bonsai.Vision",
        "Extensions",
        "BonVision",
    )


def test_types_of_active_nodes(oddball: Workflow) -> None:
    assert NodeType("Bonsai.Vision.CameraCapture", "Bonsai.Vision") in oddball.types
    assert NodeType("WheelDecoder", "Extensions") in oddball.types


def test_sinks_with_their_settings(oddball: Workflow) -> None:
    sinks = {sink.path: sink for sink in oddball.sinks}
    assert set(sinks) == {"stimuli.csv", "camera.avi", ""}
    assert not sinks["stimuli.csv"].overwrite
    assert sinks["camera.avi"].overwrite
    assert sinks[""].computed, "a mapping sets this name while the workflow runs"


def test_setting_a_property_reaches_the_sink(oddball: Workflow) -> None:
    assigned = oddball.assign({"CameraFile": "other.avi", "TrialCount": "3"})
    paths = [sink.with_values(assigned).path for sink in oddball.sinks]
    assert "other.avi" in paths
    assert "camera.avi" not in paths


def test_a_name_given_twice_is_a_duplicate(build) -> None:
    data = build.workflow(
        build.mapping("Value", "N"),
        build.typed("IntProperty", "1"),
        build.mapping("Value", "N"),
        build.typed("IntProperty", "2"),
        edges=((0, 1), (2, 3)),
    )
    workflow = read_workflow(data)
    assert workflow.duplicate_names == ("N",)
    assert not workflow.by_name["N"].settable


def test_undeclared_subjects(oddball: Workflow, build) -> None:
    assert oddball.undeclared_subjects == ()
    node = '<Expression xsi:type="SubscribeSubject"><Name>Lick</Name></Expression>'
    assert read_workflow(build.workflow(node)).undeclared_subjects == ("Lick",)


def test_nodes_of_unknown_shape_are_passed_over(build) -> None:
    data = build.workflow(
        "<Expression />",
        '<Something xsi:type="lab:Thing" xmlns:lab="urn:lab"><a><b>text</b></a></Something>',
        build.mapping("", ""),
        '<Expression xsi:type="ExternalizedProperty"><MemberName>X</MemberName></Expression>',
        edges=((0, 99), (2, 0)),
    )
    assert read_workflow(data).properties == ()


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"", 1, 1),
        (b"<WorkflowBuilder>\n  <Workflow></Nodes>", 2, 15),
        (b"\xff\xfe\x00", 1, 1),
        (b"<html></html>", 1, 1),
        (b'<?xml version="1.0" encoding="klingon"?><WorkflowBuilder/>', 1, 31),
        (b"<WorkflowBuilder><x:y/></WorkflowBuilder>", 1, 18),
        (b"<WorkflowBuilder/>\x00", 1, 19),
    ],
)
def test_broken_xml_has_line_and_column(data: bytes, line: int, column: int) -> None:
    with pytest.raises(EngineError) as caught:
        read_workflow(data, "w.bonsai")
    assert isinstance(caught.value, XmlError)
    assert caught.value.line == line
    assert abs(caught.value.column - column) <= 2
    assert "w.bonsai" in caught.value.message


def test_an_entity_bomb_is_refused_at_once() -> None:
    entities = '<!ENTITY a0 "lol">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
    )
    data = f"<!DOCTYPE x [{entities}]><WorkflowBuilder>&a9;</WorkflowBuilder>".encode()
    start = time.monotonic()
    with pytest.raises(EngineError, match="DTD"):
        read_workflow(data)
    assert time.monotonic() - start < 1


def test_an_external_entity_is_refused() -> None:
    data = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><WorkflowBuilder>&e;</WorkflowBuilder>'
    with pytest.raises(EngineError, match="DTD"):
        read_workflow(data)


def test_absurd_depth_is_refused() -> None:
    with pytest.raises(EngineError, match="levels deep"):
        read_workflow(b"<WorkflowBuilder>" + b"<a>" * 10_000)


def test_groups_that_fan_out_without_end_are_read_quickly(build) -> None:
    inner = build.mapping("V") * 2 + '<Expression xsi:type="Combinator" />'
    edges = '<Edge From="0" To="2" /><Edge From="1" To="2" />'
    for _ in range(60):
        group = (
            f'<Expression xsi:type="GroupWorkflow"><Workflow><Nodes>{inner}</Nodes>'
            f"<Edges>{edges}</Edges></Workflow></Expression>"
        )
        inner = build.mapping("V") * 2 + group
    start = time.monotonic()
    read_workflow(build.workflow(inner))
    assert time.monotonic() - start < 1


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("PT20S", Hint.TIMESPAN),
        ("-P1DT2H", Hint.TIMESPAN),
        ("P2D", Hint.TIMESPAN),
        ("Photodiode", Hint.UNKNOWN),
        ("P", Hint.UNKNOWN),
        ("PT", Hint.UNKNOWN),
        ("true", Hint.BOOL),
        ("17", Hint.NUMBER),
        ("-2.5e-3", Hint.NUMBER),
        ("COM3", Hint.UNKNOWN),
        ("", Hint.UNKNOWN),
        (None, Hint.UNKNOWN),
    ],
)
def test_hints(text: str | None, hint: Hint) -> None:
    assert hint_of(text) is hint


@pytest.mark.parametrize(
    ("hint", "accepted", "refused"),
    [
        (Hint.TIMESPAN, ["00:00:20", "1.02:03:04.5", "-00:01", "20"], ["PT20S", "0.2", "00:61:00"]),
        (Hint.BOOL, ["true", "False", " TRUE "], ["1", "yes", ""]),
        (Hint.DOUBLE, ["2.5", "1e3", "-.5", "3", "NaN"], ["2,5", "", "abc", "1_0"]),
        (Hint.INT, ["15", "-3", " 4 "], ["1.5", "1e3", "abc", "3000000000"]),
        (Hint.TEXT, ["", "anything"], []),
        (Hint.NUMBER, ["abc"], []),
        (Hint.UNKNOWN, ["abc"], []),
    ],
)
def test_conversion(hint: Hint, accepted: list[str], refused: list[str]) -> None:
    assert [text for text in accepted if not accepts(hint, text)] == []
    assert [text for text in refused if accepts(hint, text)] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PT20S", "00:00:20"),
        ("20", "00:00:20"),
        ("0.2", "00:00:00.2"),
        ("PT1H2M3.25S", "01:02:03.25"),
        ("P1DT1S", "1.00:00:01"),
        ("-PT5M", "-00:05:00"),
        ("90000", "1.01:00:00"),
        ("soon", None),
        ("1e300", None),
    ],
)
def test_time_spans_as_bonsai_wants_them(text: str, shown: str | None) -> None:
    assert timespan_text(text) == shown
