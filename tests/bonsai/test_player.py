"""The simulated player against what Bonsai was seen to do, one test a row."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from openscope_experimental_launcher.engines.bonsai.player import requoted

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture
def typed_workflow(tmp_path: Path, build) -> Path:
    """One property of each exact type, a mapping without edges, and a group."""
    kinds = {
        "S": ("StringProperty", "text"),
        "I": ("IntProperty", "3"),
        "D": ("DoubleProperty", "0.5"),
        "B": ("BooleanProperty", "true"),
        "T": ("TimeSpanProperty", "PT20S"),
    }
    nodes, edges = [], []
    for name, (kind, value) in kinds.items():
        edges.append((len(nodes), len(nodes) + 1))
        nodes += [build.mapping("Value", name), build.typed(kind, value)]
    group = (
        '<Expression xsi:type="GroupWorkflow"><Name>Group</Name><Workflow><Nodes>'
        + build.mapping("Value", "Prop")
        + build.typed("IntProperty", "1")
        + '</Nodes><Edges><Edge From="0" To="1" Label="Source1" /></Edges></Workflow></Expression>'
    )
    path = tmp_path / "typed.bonsai"
    data = build.workflow(*nodes, build.mapping("Value", "Loose"), group, edges=tuple(edges))
    path.write_bytes(data)
    return path


def quiet_success(result) -> bool:
    return (result.returncode, result.stdout, result.stderr) == (0, "", "")


# The command line


@pytest.mark.parametrize(
    "arguments", [["-p:I=4"], ["-p", "I=4"], ["--property:I=4"], ["--property", "I=4"]]
)
def test_the_four_forms_of_a_property(play, typed_workflow, arguments) -> None:
    assert quiet_success(play(typed_workflow, *arguments))
    refused = [argument.replace("I=4", "I=x") for argument in arguments]
    assert "x is not a valid value for Int32" in play(typed_workflow, *refused).stderr


@pytest.mark.parametrize("argument", ["-pI=4", "--property=I=4", "--no-such-flag"])
def test_what_is_not_understood_becomes_the_workflow(play, typed_workflow, argument) -> None:
    result = play(typed_workflow, argument)
    assert result.returncode == 1
    assert "Specified workflow file does not exist." in result.stderr


def test_a_mistyped_flag_before_the_workflow_is_silently_ignored(play, typed_workflow) -> None:
    assert quiet_success(play("--no-such-flag", "-pI=abc", typed_workflow))


def test_values_may_hold_separators_and_spaces_or_be_empty(play, typed_workflow) -> None:
    assert quiet_success(play(typed_workflow, "-p:S=a=b:c d"))
    assert quiet_success(play(typed_workflow, "-p:S="))


@pytest.mark.parametrize(
    "arguments", [[""], ["-p:S=a", "-p:S=b"], ["-p:S"], ["-p"], ["--property"], ["-p:"]]
)
def test_arguments_that_crash(play, typed_workflow, arguments) -> None:
    result = play(typed_workflow, *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("Unhandled Exception: System.")


def test_start_is_ignored_without_the_editor(play, typed_workflow) -> None:
    assert quiet_success(play(typed_workflow, "--start"))


# The restart


def test_it_restarts_itself_in_the_workflows_folder(start_player, typed_workflow) -> None:
    folder = typed_workflow.parent / "below"
    folder.mkdir()
    moved = typed_workflow.rename(folder / "w.bonsai")
    process = start_player(moved, DURATION_S="20")
    try:
        child = wait_for_child(process.pid)
        assert "--no-boot" in child.cmdline()
        assert Path(child.cwd()) == folder
    finally:
        end_tree(process)


def test_no_boot_is_one_process_in_the_same_folder(start_player, typed_workflow, tmp_path) -> None:
    process = start_player(typed_workflow, "--no-boot", DURATION_S="20")
    try:
        time.sleep(0.5)
        running = psutil.Process(process.pid)
        assert running.children() == []
        assert Path(running.cwd()) == tmp_path
    finally:
        end_tree(process)


@pytest.mark.parametrize(
    ("arguments", "arrived"),
    [
        (["a b", "-p:S="], ["a b", "-p:S="]),
        (["-p:Dir=C:\\a\\"], ["-p:Dir=C:\\a\\"]),
        (["-p:Dir=C:\\a b\\", "-p:N=1"], ['-p:Dir=C:\\a b" -p:N=1']),
        (['-p:Q=a"b c', "d"], ["-p:Q=ab", "c d"]),
        (["a\tb"], ["a", "b"]),
    ],
)
def test_the_restart_quotes_but_does_not_escape(arguments, arrived) -> None:
    assert requoted(arguments) == arrived


def test_a_space_with_a_final_backslash_breaks_what_follows(play, typed_workflow) -> None:
    assert quiet_success(play(typed_workflow, "-p:S=C:\\a b\\", "-p:I=abc")), "I was swallowed"


@posix_only
def test_killing_the_parent_alone_leaves_the_child(start_player, typed_workflow) -> None:
    process = start_player(typed_workflow, DURATION_S="20")
    child = wait_for_child(process.pid)
    process.kill()
    process.wait(timeout=60)
    try:
        assert child.is_running()
    finally:
        child.kill()


# Property values


@pytest.mark.parametrize(
    "assignment",
    ["T=00:00:20", "T=1.00:00:00", "B=true", "B=False", "D=2.5", "D=1e3", "I=-7", "Group.Prop=5"],
)
def test_values_that_convert(play, typed_workflow, assignment) -> None:
    assert quiet_success(play(typed_workflow, f"-p:{assignment}"))


@pytest.mark.parametrize(
    ("assignment", "type_name"),
    [
        ("T=PT20S", "TimeSpan"),
        ("T=0.2", "TimeSpan"),
        ("B=1", "Boolean"),
        ("D=2,5", "Double"),
        ("I=1.5", "Int32"),
        ("I=abc", "Int32"),
        ("Group.Prop=x", "Int32"),
    ],
)
def test_values_that_do_not_convert(play, typed_workflow, assignment, type_name) -> None:
    result = play(typed_workflow, f"-p:{assignment}")
    text = assignment.partition("=")[2]
    assert result.returncode == 1
    assert "System.FormatException: Property value is not valid. --->" in result.stderr
    assert f"{text} is not a valid value for {type_name}." in result.stderr


@pytest.mark.parametrize("name", ["s", "Group.prop", "group.Prop", "Group", "Nowhere.Prop", ""])
def test_unknown_properties(play, typed_workflow, name) -> None:
    result = play(typed_workflow, f"-p:{name}=1")
    assert result.returncode == 1
    assert f"KeyNotFoundException: No property or named element '{name}' was found" in result.stderr


def test_unknown_property_in_the_older_wording(play, typed_workflow) -> None:
    result = play(typed_workflow, "-p:X=1", VERSION="2.8.2")
    assert result.returncode == 1
    assert "The specified property 'X' was not found" in result.stderr


def test_a_mapping_without_edges_builds_but_crashes_when_set(play, typed_workflow) -> None:
    assert quiet_success(play(typed_workflow))
    assert play(typed_workflow, "-p:Loose=1").returncode == 1


def test_a_property_of_an_include_cannot_be_walked_into(play, repository) -> None:
    workflow = repository / "src" / "oddball.bonsai"
    assert play(workflow, "-p:Logging.Address=x").returncode == 1
    assert quiet_success(play(workflow, "-p:ServerAddress=x"))


# How it ends


def test_a_workflow_completes(play, typed_workflow) -> None:
    start = time.monotonic()
    assert quiet_success(play(typed_workflow, DURATION_S="0.6"))
    assert time.monotonic() - start > 0.6


def test_an_exception_in_a_node_exits_with_0(play, typed_workflow) -> None:
    said = "System.DivideByZeroException: Attempted to divide by zero."
    result = play(typed_workflow, EXCEPTION=said)
    assert (result.returncode, result.stdout) == (0, "")
    first, *trace = result.stderr.splitlines()
    assert first == said
    assert trace[0].startswith("  at ")


def test_an_existing_output_file_exits_with_0(play, tmp_path, build) -> None:
    (tmp_path / "w.bonsai").write_bytes(build.workflow(build.csv_writer("out.csv")))
    (tmp_path / "out.csv").write_text("precious")
    result = play(tmp_path / "w.bonsai")
    assert result.returncode == 0
    assert result.stderr.startswith("System.IO.IOException: The file 'out.csv' already exists.")
    assert (tmp_path / "out.csv").read_text() == "precious"


def test_an_empty_file_name_exits_with_0(play, tmp_path, build) -> None:
    (tmp_path / "w.bonsai").write_bytes(build.workflow(build.csv_writer("")))
    result = play(tmp_path / "w.bonsai")
    assert result.returncode == 0
    assert "Exception: " in result.stderr


def test_no_workflow_exits_with_0_and_says_nothing(play) -> None:
    assert quiet_success(play())


def test_a_missing_workflow_crashes(play, tmp_path) -> None:
    result = play(tmp_path / "nowhere" / "w.bonsai")
    assert result.returncode == 1
    assert result.stderr.startswith(
        "Unhandled Exception: System.ArgumentException: Specified workflow file does not exist."
    )


def test_broken_xml_crashes(play, tmp_path) -> None:
    (tmp_path / "w.bonsai").write_text("<WorkflowBuilder>\n</Workflow>")
    result = play(tmp_path / "w.bonsai")
    assert result.returncode == 1
    assert "InvalidOperationException: There is an error in XML document (2, " in result.stderr
    assert " ---> System.Xml.XmlException: " in result.stderr


def test_a_missing_package_crashes(play, repository) -> None:
    workflow = repository / "src" / "oddball.bonsai"
    result = play(workflow, MISSING_ASSEMBLIES="Bonsai.Vision")
    assert result.returncode == 1
    assert (
        "Bonsai.WorkflowBuildException: This is a proxy for the unknown type "
        "'Bonsai.Vision.CameraCapture'. Please install any missing packages" in result.stderr
    )


def test_what_cannot_be_built_crashes(play, tmp_path, build) -> None:
    subject = '<Expression xsi:type="SubscribeSubject"><Name>Lick</Name></Expression>'
    include = '<Expression xsi:type="IncludeWorkflow" Path="Missing.bonsai" />'
    twice = build.mapping("Value", "N") * 2
    for node in (subject, include, twice):
        (tmp_path / "w.bonsai").write_bytes(build.workflow(node))
        result = play(tmp_path / "w.bonsai")
        assert result.returncode == 1
        assert result.stderr.startswith("Unhandled Exception: Bonsai.WorkflowBuildException: ")


def test_a_package_that_cannot_be_restored_exits_with_255(play, typed_workflow) -> None:
    result = play(typed_workflow, RESTORE_FAILS="Bonsai.Vision 2.8.0")
    assert result.returncode == 255
    assert result.stdout == "Restoring dependency 'Bonsai.Vision 2.8.0'.\n"
    assert "The package 'Bonsai.Vision 2.8.0' could not be found." in result.stderr


def test_script_errors_are_printed_and_the_run_goes_on(play, typed_workflow) -> None:
    result = play(typed_workflow, SCRIPT_ERROR="Wheel.cs(3,1): error CS1002: ; expected")
    assert result.returncode == 0
    assert result.stderr.splitlines()[0] == "--- Error building script extensions ---"


@posix_only
@pytest.mark.parametrize("boot", [[], ["--no-boot"]])
def test_sigterm_ends_it_at_once(start_player, typed_workflow, boot) -> None:
    process = start_player(typed_workflow, *boot, DURATION_S="20")
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == -signal.SIGTERM


# Files


def test_sinks_are_written(play, repository) -> None:
    folder = repository / "src"
    assert quiet_success(play(folder / "oddball.bonsai", "-p:StimulusTable=new/table.csv"))
    assert (folder / "new" / "table.csv").stat().st_size
    assert (folder / "camera.avi").stat().st_size
    assert not (folder / "stimuli.csv").exists()
    assert not (folder / "sleeping.csv").exists()


@posix_only
def test_killing_loses_what_was_not_flushed(start_player, tmp_path, build) -> None:
    (tmp_path / "w.bonsai").write_bytes(build.workflow(build.csv_writer("out.csv")))
    process = start_player(tmp_path / "w.bonsai", DURATION_S="20")
    try:
        wait_until((tmp_path / "out.csv").exists)
        time.sleep(0.3)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    assert (tmp_path / "out.csv").stat().st_size == 0


def test_overwrite_and_append(play, tmp_path, build) -> None:
    writers = (
        build.csv_writer("replaced.csv", overwrite=True),
        build.csv_writer("added.csv", append=True),
    )
    (tmp_path / "w.bonsai").write_bytes(build.workflow(*writers))
    for name in ("replaced.csv", "added.csv"):
        (tmp_path / name).write_text("old\n")
    assert quiet_success(play(tmp_path / "w.bonsai"))
    assert not (tmp_path / "replaced.csv").read_text().startswith("old")
    assert (tmp_path / "added.csv").read_text().startswith("old\n0.0")


@pytest.mark.parametrize(
    ("suffix", "pattern"), [("FileCount", "out1.csv"), ("Timestamp", "out20*T*.csv")]
)
def test_suffixes_make_new_names(play, tmp_path, build, suffix, pattern) -> None:
    writer = build.csv_writer("out.csv").replace(">None<", f">{suffix}<")
    (tmp_path / "w.bonsai").write_bytes(build.workflow(writer))
    (tmp_path / "out.csv").touch()
    assert quiet_success(play(tmp_path / "w.bonsai"))
    assert len(list(tmp_path.glob(pattern))) == 1


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("out.csv", "out.csv"),
        ("logs\\out.csv", "logs/out.csv"),
        ("C:\\Data\\out.csv", "C/Data/out.csv"),
        ("\\\\server\\share\\out.csv", "server/share/out.csv"),
        ("../../out.csv", "out.csv"),
        ("/tmp/out.csv", "tmp/out.csv"),
    ],
)
def test_an_output_root_holds_everything(play, tmp_path, build, name, place) -> None:
    (tmp_path / "w.bonsai").write_bytes(build.workflow(build.csv_writer(name)))
    root = tmp_path / "session"
    assert quiet_success(play(tmp_path / "w.bonsai", OUTPUT_ROOT=str(root)))
    written = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    assert written == [Path(place)]


def test_a_path_in_the_output_root_stays(play, tmp_path, build) -> None:
    root = tmp_path / "session"
    writer = build.csv_writer(str(root / "a" / "out.csv"))
    (tmp_path / "w.bonsai").write_bytes(build.workflow(writer))
    assert quiet_success(play(tmp_path / "w.bonsai", OUTPUT_ROOT=str(root)))
    assert (root / "a" / "out.csv").is_file()


# Asking it to stop


@pytest.mark.parametrize("way", ["variable", "property"])
def test_a_stop_file_ends_it_with_everything_flushed(start_player, tmp_path, build, way) -> None:
    nodes = (
        build.csv_writer("out.csv"),
        build.mapping("Value", "Stop_File"),
        build.typed("StringProperty", ""),
    )
    (tmp_path / "w.bonsai").write_bytes(build.workflow(*nodes, edges=((1, 2),)))
    stop = tmp_path / "stop"
    given = {"OPENSCOPE_STOP_FILE": str(stop)} if way == "variable" else {}
    extra = [f"-p:Stop_File={stop}"] if way == "property" else []
    process = start_player(tmp_path / "w.bonsai", *extra, DURATION_S="20", **given)
    wait_until((tmp_path / "out.csv").exists)
    stop.touch()
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "out.csv").stat().st_size


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_child(pid: int) -> psutil.Process:
    parent = psutil.Process(pid)
    wait_until(parent.children)
    (child,) = parent.children()
    wait_until(lambda: "--no-boot" in child.cmdline())
    return child


def end_tree(process) -> None:
    for member in [*psutil.Process(process.pid).children(recursive=True), process]:
        member.kill()
    process.wait(timeout=60)
