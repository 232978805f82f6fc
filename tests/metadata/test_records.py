"""The standard records of sessions of every kind, validated by the library of the schema."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aind_data_schema.core.acquisition import Acquisition
from aind_data_schema.core.data_description import DataDescription
from aind_data_schema.core.processing import Processing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metadata.conftest import COMPLETE
from openscope_experimental_launcher.metadata.aind.making import Made, make_records, write_records
from openscope_experimental_launcher.metadata.aind.validating import check_schemas
from openscope_experimental_launcher.parameters.model import METADATA_KEYS
from openscope_experimental_launcher.session.folder import SessionFolder
from report.conftest import COMMIT

MODELS = {
    "acquisition.json": Acquisition,
    "data_description.json": DataDescription,
    "processing.json": Processing,
}
LASER = {"object_type": "Laser config", "device_name": "Laser A", "wavelength": 488}
CORD = {"object_type": "Patch cord config", "device_name": "Cord", "channels": []}


def made_of(folder: Path, **values: Any) -> tuple[Made, dict[str, Any]]:
    """What is made of a session, and its records read again."""
    made = make_records(SessionFolder(folder), values)
    return made, {name: json.loads(made.files[name]) for name in made.records}


def fields(made: Made) -> set[str]:
    return {gap.where for gap in made.gaps}


def test_a_session_with_all_that_is_wanted_has_three_valid_records(
    complete: Callable[..., Path],
) -> None:
    folder = complete()
    made, records = made_of(folder)
    assert not made.gaps
    for name, model in MODELS.items():
        model.model_validate(records[name])
    write_records(SessionFolder(folder), made)
    valid, findings = check_schemas(SessionFolder(folder))
    assert valid.count(".json") == 3
    assert not findings  # nor do they contradict each other


def test_an_acquisition_says_who_when_on_what_and_with_which_code(
    complete: Callable[..., Path],
) -> None:
    _, records = made_of(complete())
    told = records["acquisition.json"]
    assert told["subject_id"] == "614173"
    assert told["experimenters"] == ["Frieda Müller"]
    assert told["instrument_id"] == "BEH.D"
    assert told["acquisition_type"] == "visual oddball"
    assert told["ethics_review_id"] == ["2408"]
    assert told["protocol_id"] == ["2450", "10.17504/protocols.io.abc"]
    assert told["subject_details"]["mouse_platform_name"] == "running disc"
    (stream,) = told["data_streams"]
    assert [item["abbreviation"] for item in stream["modalities"]] == ["behavior"]
    experiment, launcher = stream["code"]
    assert experiment["url"] == "https://example.org/oddball.git"
    assert experiment["commit_hash"] == COMMIT
    assert experiment["language"] == "Python"
    assert experiment["parameters"] == {"reward": 3, "trials": 400}
    assert launcher["name"] == "openscope-experimental-launcher"
    assert launcher["version"] == "1.0.0"


def test_times_are_local_with_their_offset(past: Callable[..., Any]) -> None:
    from datetime import datetime, timezone

    there = timezone(timedelta(hours=5, minutes=30))
    session = past(begins=datetime(2026, 3, 14, 23, 59, 50, tzinfo=there))
    session.started().ended(20.0).judged(20.0, "completed").recorded(**COMPLETE).closed(21.0)
    _, records = made_of(session.folder)
    assert records["acquisition.json"]["acquisition_start_time"] == "2026-03-14T23:59:50+05:30"
    assert records["acquisition.json"]["acquisition_end_time"] == "2026-03-15T00:00:10+05:30"
    assert records["data_description.json"]["creation_time"] == "2026-03-14T23:59:50+05:30"
    assert records["data_description.json"]["name"] == session.folder.name


def test_the_stimulus_table_becomes_epochs(complete: Callable[..., Path]) -> None:
    _, records = made_of(complete())
    gratings, movie = records["acquisition.json"]["stimulus_epochs"]
    assert gratings["stimulus_name"] == "gratings"
    assert gratings["stimulus_start_time"] == "2026-11-03T09:08:07.500000Z"
    assert gratings["stimulus_end_time"] == "2026-11-03T09:08:09Z"
    assert gratings["stimulus_modalities"] == ["Visual"]
    assert gratings["code"]["parameters"]["Orientation"] == [45, 90]
    assert gratings["code"]["parameters"]["Contrast"] == 0.8
    assert gratings["notes"] == "2 rows of stimulus_table.csv."
    (platform,) = gratings["configurations"]
    assert (platform["device_name"], platform["active_control"]) == ("running disc", False)
    assert movie["stimulus_name"] == "movie"


def test_a_field_that_cannot_be_valid_does_not_block_the_rest(
    complete: Callable[..., Path],
) -> None:
    folder = complete({**COMPLETE, "project_name": "a/b", "institution": "Alen Institute"})
    made, records = made_of(folder)
    assert fields(made) == {
        "data_description.json: project_name",
        "data_description.json: institution",
    }
    institution, project = sorted(made.gaps, key=lambda gap: gap.where)
    assert "Did you mean 'Allen Institute'?" in institution.message
    assert "--set institution=AIND" in institution.fix
    assert '"a/b"' in project.message
    told = records["data_description.json"]
    assert "project_name" not in told
    assert [person["name"] for person in told["investigators"]] == ["Ana Berg", "Jürgen Müller"]
    Acquisition.model_validate(records["acquisition.json"])
    # It is completed later, and what was given then is kept.
    made, records = made_of(folder, project_name="OpenScope", institution="AIND")
    assert not made.gaps
    DataDescription.model_validate(records["data_description.json"])
    write_records(SessionFolder(folder), made)
    again, _ = made_of(folder)
    assert again.files["data_description.json"] == made.files["data_description.json"]


def test_what_is_not_known_is_told_with_the_way_to_give_it(complete: Callable[..., Path]) -> None:
    made, records = made_of(complete({}))
    assert fields(made) == {
        "acquisition.json: modalities",
        "acquisition.json: subject_details",
        "acquisition.json: stimulus_epochs.stimulus_modalities",
        "data_description.json: project_name",
        "data_description.json: institution",
        "data_description.json: funding_source",
        "data_description.json: investigators",
    }
    assert all("openscope metadata SESSION --set " in gap.fix for gap in made.gaps)
    Acquisition.model_validate(records["acquisition.json"])
    Processing.model_validate(records["processing.json"])
    assert records["acquisition.json"]["acquisition_type"] == "oddball"  # the script's name


def test_a_subject_that_the_schema_does_not_allow_is_left_out_and_told_once(
    complete: Callable[..., Path],
) -> None:
    made, records = made_of(complete(subject_id="test_subject"))
    (gap,) = made.gaps
    assert gap.where == "data_description.json: subject_id"
    assert "underscore" in gap.message
    assert "subject_id" not in records["data_description.json"]
    assert records["acquisition.json"]["subject_id"] == "test_subject"


def test_the_hash_of_a_sha256_repository_is_the_version(past: Callable[..., Any]) -> None:
    session = past().started().ended(4.0).judged(4.0, "completed")
    session.recorded(commit="ab" * 32, **COMPLETE).closed(5.0)
    made, records = made_of(session.folder)
    assert not made.gaps
    code = records["acquisition.json"]["data_streams"][0]["code"][0]
    assert (code["commit_hash"], code["version"]) == (None, "ab" * 32)


def test_modalities_without_settings_of_devices_stand_in_a_stream_of_their_own(
    complete: Callable[..., Path],
) -> None:
    folder = complete({**COMPLETE, "modality": None, "modalities": ["Behavior", "fib", "ophys"]})
    made, records = made_of(folder)
    (gap,) = made.gaps
    assert "fib, pophys" in gap.message
    own, external = records["acquisition.json"]["data_streams"]
    assert [item["abbreviation"] for item in own["modalities"]] == ["behavior"]
    assert [item["abbreviation"] for item in external["modalities"]] == ["fib", "pophys"]
    assert external["object_type"] == "External data stream"
    described = records["data_description.json"]["modalities"]
    assert [item["abbreviation"] for item in described] == ["behavior", "fib", "pophys"]
    # With the settings, it is a stream with devices.
    made, records = made_of(folder, modalities=["fib"], device_configurations=[LASER, CORD])
    assert not made.gaps
    (stream,) = records["acquisition.json"]["data_streams"]
    assert [item["object_type"] for item in stream["configurations"]] == [
        "Laser config",
        "Patch cord config",
    ]
    # Of several settings, one that is wrong does not cost the others.
    wrong = {**LASER, "wavelength": "green"}
    made, records = made_of(folder, modalities="behavior", device_configurations=[wrong, CORD])
    assert "acquisition.json: configurations[0].wavelength" in fields(made)
    (stream,) = records["acquisition.json"]["data_streams"]
    assert [item["object_type"] for item in stream["configurations"]] == ["Patch cord config"]


def test_active_devices_are_those_of_the_instrument(complete: Callable[..., Path]) -> None:
    folder = complete()
    described = {
        "instrument_id": "BEH.D_20260101",
        "components": [{"name": "Wheel"}, {"name": "Camera"}],
    }
    (folder / "instrument.json").write_text(json.dumps(described))
    _, records = made_of(folder)
    assert records["acquisition.json"]["data_streams"][0]["active_devices"] == ["Wheel", "Camera"]
    assert records["acquisition.json"]["instrument_id"] == "BEH.D_20260101"
    made, records = made_of(folder, active_devices=["Wheel", "Laser"])
    assert records["acquisition.json"]["data_streams"][0]["active_devices"] == ["Wheel"]
    (gap,) = made.gaps
    assert "Laser" in gap.message


def test_weights_that_were_asked_for_are_told(complete: Callable[..., Path]) -> None:
    folder = complete()
    (folder / "mouse_weight.csv").write_text(
        "time,phase,weight_g,subject_id,user_id\n"
        "2026-11-03T09:00:00+01:00,before,21.5,614173,ana\n"
        "2026-11-03T10:00:00+01:00,after,22.1,614173,ana\n"
    )
    _, records = made_of(folder)
    told = records["acquisition.json"]["subject_details"]
    assert (told["animal_weight_prior"], told["animal_weight_post"]) == ("21.5", "22.1")


def test_steps_after_the_acquisition_are_its_processing(past: Callable[..., Any]) -> None:
    session = past().started().ended(4.0).judged(4.0, "completed")
    for number, (step, outcome) in enumerate(
        [("flatten", "ok"), ("code/sum.py", "failed"), ("flatten", "ok"), ("copy", "pending")]
    ):
        session.add(
            5.0 + number,
            "step.finished",
            phase="after",
            position=number,
            step=step,
            outcome=outcome,
            message="said",
            duration_s=0.5,
            files=["x.csv"],
        )
    session.recorded(**COMPLETE)
    runtime = session.folder / "experiment_metadata/runtime_information.json"
    known = json.loads(runtime.read_bytes())
    known["plan"]["after"] = [
        "flatten",
        {"module_type": "script_module", "module_path": "code/sum.py"},
    ]
    runtime.write_text(json.dumps(known))
    session.closed(9.0)
    made, records = made_of(session.folder)
    assert not made.gaps
    first, second, third = records["processing.json"]["data_processes"]
    assert [first["name"], second["name"], third["name"]] == ["flatten", "code/sum.py", "flatten_2"]
    assert first["code"]["name"] == "openscope-experimental-launcher"
    assert (second["code"]["run_script"], second["code"]["commit_hash"]) == ("code/sum.py", COMMIT)
    assert second["output_parameters"]["outcome"] == "failed"
    assert first["start_date_time"] == "2026-11-03T09:08:11.500000Z"


def test_a_failed_session_has_its_records(past: Callable[..., Any]) -> None:
    session = past().started().ended(2.0, 1).judged(2.0, "failed", "The script stopped.")
    session.add(2.1, "note.added", text="The mouse slept", by="ana")
    session.recorded(**COMPLETE).closed(3.0)
    made, records = made_of(session.folder)
    assert not made.gaps
    assert records["acquisition.json"]["notes"] == (
        "The outcome is failed. The script stopped.\nThe mouse slept"
    )


def test_a_session_that_never_came_to_its_acquisition_has_no_stream(
    past: Callable[..., Any],
) -> None:
    session = past()
    session.add(0.0, "acquisition.judged", outcome="failed", exit_code=None, reason="No camera.")
    session.outcome = "failed"
    session.add(0.1, "stage.entered", stage="closing")
    folder = session.closed(0.2)  # none of its other records had been written
    made, records = made_of(folder)
    told = records["acquisition.json"]
    Acquisition.model_validate(told)
    assert told["data_streams"] == []
    assert "The acquisition did not begin." in told["notes"]
    assert told["subject_id"] == "614173"
    assert "acquisition.json: modalities" not in fields(made)


def test_an_acquisition_whose_end_was_not_seen_ends_when_it_was_last_heard_of(
    past: Callable[..., Any],
) -> None:
    session = past().started().sampled(30)
    session.add(5000.0, "acquisition.judged", outcome="lost", exit_code=None, reason="")
    folder = session.recorded(**COMPLETE).closed(5000.1)
    _, records = made_of(folder)
    assert records["acquisition.json"]["acquisition_end_time"] == "2026-11-03T09:08:36Z"
    assert "lost" in records["acquisition.json"]["notes"]


def test_a_rehearsal_is_stamped_in_every_record(complete: Callable[..., Path]) -> None:
    made, records = made_of(complete(rehearsal=True))
    assert not made.gaps
    assert records["data_description.json"]["data_level"] == "simulated"
    assert records["data_description.json"]["tags"] == ["rehearsal"]
    assert "REHEARSAL" in records["acquisition.json"]["notes"]
    assert "REHEARSAL" in records["acquisition.json"]["data_streams"][0]["notes"]
    assert "REHEARSAL" in records["processing.json"]["notes"]


def test_a_record_of_somebody_elses_making_is_left_as_it_is(complete: Callable[..., Path]) -> None:
    folder = complete()
    own = folder / "acquisition.json"
    own.write_text('{"made": "by the workflow"}')
    made, _ = made_of(folder)
    assert made.foreign == ["acquisition.json"]
    write_records(SessionFolder(folder), made)
    assert own.read_text() == '{"made": "by the workflow"}'
    # One that the launcher made is made anew, until somebody changes it.
    made, _ = made_of(folder, project_name="Another")
    assert "data_description.json" in made.records
    write_records(SessionFolder(folder), made)
    (folder / "data_description.json").write_text("{}")
    made, _ = made_of(folder)
    assert made.foreign == ["acquisition.json", "data_description.json"]


def test_made_again_of_the_same_they_are_the_same(complete: Callable[..., Path]) -> None:
    folder = complete()
    made, _ = made_of(folder)
    assert len(write_records(SessionFolder(folder), made)) == 4
    again, _ = made_of(folder)
    assert write_records(SessionFolder(folder), again) == []


@pytest.mark.parametrize("damage", [b"", b"[]", b'{"post_acquisition_pipeline": 3', b'"x"'])
def test_damaged_records_give_what_the_journal_knows(
    complete: Callable[..., Path], damage: bytes
) -> None:
    folder = complete()
    for name in ("processed_parameters", "runtime_information", "environment", "repository"):
        (folder / "experiment_metadata" / f"{name}.json").write_bytes(damage)
    (folder / "instrument.json").write_bytes(damage)
    (folder / "stimulus_table.csv").write_bytes(b"\xff\x00" + damage)
    _, records = made_of(folder)
    Acquisition.model_validate(records["acquisition.json"])
    assert records["acquisition.json"]["experimenters"] == ["Frieda Müller"]


@pytest.mark.parametrize("time", ["", "yesterday", "2026-99-99T00:00:00+00:00"])
def test_times_that_no_clock_shows_cost_only_what_they_belong_to(
    past: Callable[..., Any], time: str
) -> None:
    session = past().started().ended(4.0).judged(4.0, "completed")
    step = {"phase": "after", "position": 0, "step": "x", "outcome": "ok", "message": ""}
    session.add(5.0, "step.finished", duration_s=0.1, **step)
    for event in session.events:
        event["time"] = time
    made, records = made_of(session.recorded(**COMPLETE).closed(9.0))
    assert "acquisition.json: acquisition_start_time" in fields(made)
    assert records["acquisition.json"]["subject_id"] == "614173"
    Processing.model_validate(records["processing.json"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["funder", "object_type", "name", "x.y"]), inner)
    ),
    max_leaves=6,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.dictionaries(st.sampled_from(sorted(METADATA_KEYS)), JSON, max_size=5))
def test_no_value_keeps_the_records_from_being_made(fuzzed: Path, values: dict[str, Any]) -> None:
    made, records = made_of(fuzzed, **values)
    assert made.records == list(MODELS)
    assert records["acquisition.json"]["subject_id"] == "614173"
    for name in ("acquisition.json", "processing.json"):
        if not any(gap.where.startswith(name) for gap in made.gaps):
            MODELS[name].model_validate(records[name])


@pytest.fixture
def fuzzed(complete: Callable[..., Path]) -> Path:
    return complete()
