"""The command as a person uses it, without a terminal."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Experiment = Callable[..., Path]

TASK = """
import os, pathlib, sys
print("trial 1", sys.argv[1:], flush=True)
pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "data.csv").write_text("1")
for name in ("SESSION_UUID", "SUBJECT_ID", "USER_ID", "PARAMETERS_FILE"):
    print(name, os.environ["OPENSCOPE_" + name], flush=True)
"""
SLOW = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"


def events(session: Path) -> list[dict[str, object]]:
    """The journal of a session."""
    return [json.loads(line) for line in (session / "journal.jsonl").read_bytes().splitlines()]


def only_session(workplace: Path) -> Path:
    """The one session folder below `data`."""
    (session,) = (workplace / "data").iterdir()
    return session


def test_a_session_proves_what_ran(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment(TASK, script_parameters={"trials": 3, "note": "ü {subject_id}"})
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stderr
    session = only_session(workplace)
    said = (session / "logs/stdout.log").read_text(encoding="utf-8")
    assert "['--trials', '3', '--note', 'ü 614173']" in said
    assert f"SESSION_UUID {session.name}\nSUBJECT_ID 614173\nUSER_ID Frieda Müller" in said
    metadata = session / "experiment_metadata"
    assert (metadata / f"original_{file.name}").read_bytes() == file.read_bytes()
    commit = json.loads(file.read_bytes())["repository_commit_hash"]
    assert json.loads((metadata / "repository.json").read_bytes())["commit"] == commit
    assert "pydantic" in json.loads((metadata / "environment.json").read_bytes())["packages"]
    assert (
        json.loads((metadata / "runtime_information.json").read_bytes())["outcome"] == "completed"
    )
    assert (session / "logs" / f"experiment_{session.name}.log").stat().st_size > 0
    manifest = json.loads((session / "manifest.json").read_bytes())
    on_disk = {
        path.relative_to(session).as_posix(): path
        for path in session.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", "journal.jsonl")
    }
    assert set(manifest["files"]) == set(on_disk)
    for name, path in on_disk.items():
        content = path.read_bytes()
        expected = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        assert manifest["files"][name] == expected, name
    assert events(session)[-1]["name"] == "session.closed"
    assert "Completed" in done.stdout and str(session) in done.stdout


def test_a_failing_task_is_told_in_plain_words(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    done = openscope("run", str(python_experiment("raise RuntimeError('camera is away')")))
    assert done.returncode == 1
    assert "RuntimeError: camera is away" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    closed = events(only_session(workplace))[-1]
    assert closed["name"] == "session.closed"
    assert closed["data"]["outcome"] == "failed"  # type: ignore[index]


@pytest.mark.parametrize(("presses", "outcome", "code"), [(1, "aborted", 130), (2, "aborted", 130)])
def test_ctrl_c(
    python_experiment: Experiment, workplace: Path, presses: int, outcome: str, code: int
) -> None:
    stubborn = (
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if presses > 1 else ""
    )
    file = python_experiment(stubborn + SLOW, stop_grace_s=60)
    launcher = subprocess.Popen(
        [sys.executable, "-m", "openscope_experimental_launcher", "run", str(file), "--yes"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    wait_until(
        lambda: any("ready" in p.read_text() for p in workplace.glob("data/*/logs/stdout.log"))
    )
    began = time.monotonic()
    for _ in range(presses):
        launcher.send_signal(signal.SIGINT)
        time.sleep(0.5)
    said, _ = launcher.communicate(timeout=30)
    assert launcher.returncode == code, said
    assert time.monotonic() - began < 10
    assert b"Traceback" not in said
    session = only_session(workplace)
    assert events(session)[-1]["data"]["outcome"] == outcome  # type: ignore[index]
    stops = [e for e in events(session) if e["name"] == "acquisition.stop_requested"]
    assert len(stops) == presses


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def test_a_second_session_on_the_rig_is_refused(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment(SLOW)
    first = subprocess.Popen(
        [sys.executable, "-m", "openscope_experimental_launcher", "run", str(file), "--yes"],
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    wait_until(
        lambda: any("ready" in p.read_text() for p in workplace.glob("data/*/logs/stdout.log"))
    )
    second = openscope("run", str(file), "--yes")
    assert second.returncode == 1
    (session,) = (workplace / "data").iterdir()
    assert second.stderr.count("in use") == 1
    assert f"The rig is in use: {session.name} started by Frieda" in second.stderr
    assert "stop it in its own window" in second.stderr
    beside = openscope("check", str(file), "--set", "rig_id=another")
    assert beside.returncode == 1
    assert "The checkout is in use" in beside.stdout and "local_repository_path" in beside.stdout
    # The launcher is lost, the acquisition goes on under its guard: the rig is still in use.
    first.kill()
    first.wait()
    third = openscope("run", str(file), "--yes")
    assert third.returncode == 1 and third.stderr.count("in use") == 1
    assert f"openscope attach {session.name}; or end it: openscope stop {session.name}\n" in (
        third.stderr
    )
    assert "in its own window" not in third.stderr
    run = next((Path(os.environ["OPENSCOPE_STATE_DIRECTORY"]) / "runs").iterdir())
    with (run / "control.jsonl").open("a") as control:
        control.write('{"request": "kill", "by": "test"}\n')
    wait_until(lambda: "acquisition.ended" in (run / "guard.jsonl").read_text())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a": 1,}', "line 1"),
        ("[1]", "object"),
        ('{"subject_id": "../x"}', "folder name"),
        ('{"launcher": "pyton", "subject_id": "1", "user_id": "u"}', "Did you mean 'python'?"),
        ('{"launcher": "command", "subject_id": "1", "user_id": "u"}', "needs a command"),
        (
            '{"launcher": "command", "command": ["/nowhere/x"], "subject_id": "1", "user_id": "u"}',
            "not there",
        ),
    ],
)
def test_bad_input_is_one_plain_error_and_nothing_is_made(
    openscope: Openscope, workplace: Path, content: str, words: str
) -> None:
    (workplace / "bad.json").write_text(content)
    done = openscope("run", "bad.json", "--yes")
    assert done.returncode == 1
    assert words in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in workplace.iterdir()] == ["bad.json"]


def test_an_empty_output_folder_is_refused(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment(TASK)
    for given in (["--output", ""], ["--output", " "], ["--set", "OutputFolder="]):
        done = openscope("run", str(file), "--yes", *given)
        assert done.returncode == 1 and "is empty" in done.stderr
    assert not (workplace / "data").exists()


def test_check_changes_nothing_and_plan_is_json(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment(TASK, subject_id=None)
    before = sorted(path for path in workplace.rglob("*") if ".git" not in path.parts)
    checked = openscope("check", str(file))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "subject_id is asked for" in checked.stdout
    planned = openscope("plan", str(file), "--json")
    plan = json.loads(planned.stdout)
    assert plan["subject_id"] is None and plan["arguments"][1].endswith("task.py")
    origins = openscope("plan", str(file), "--set", "stop_grace_s=3")
    assert "command line" in origins.stdout and "test_subject" not in origins.stdout
    assert f"\n  command     {shlex.join(plan['arguments'])}\n" in origins.stdout
    assert f"\n  started in  {plan['working_directory']}\n" in origins.stdout
    after = sorted(path for path in workplace.rglob("*") if ".git" not in path.parts)
    assert before == after


def test_a_rehearsal_touches_nothing_outside(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment(
        "raise SystemExit('the real task ran')",
        rehearsal_duration_s=0.3,
        OutputFolder="D:\\rig data\\sessions",
    )
    done = openscope("run", str(file), "--rehearse", "--yes")
    assert done.returncode == 0, done.stderr
    (session,) = (workplace / "rehearsal/D/rig data/sessions").iterdir()
    for name in session.glob("experiment_metadata/*.json"):
        if not name.name.startswith("original_"):
            assert json.loads(name.read_bytes())["rehearsal"] is True, name
    assert json.loads((session / "manifest.json").read_bytes())["rehearsal"] is True
    opened = next(e for e in events(session) if e["name"] == "session.opened")
    assert opened["data"]["rehearsal"] is True  # type: ignore[index]


def test_secrets_are_nowhere(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    secret = "s3cr3t-" + "value"
    file = python_experiment(TASK, api_token=secret, note=f"https://me:{secret}@example.org/x")
    assert openscope("run", str(file), "--yes").returncode == 0
    for path in only_session(workplace).rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


def test_typos_are_named(openscope: Openscope) -> None:
    done = openscope("chek")
    assert done.returncode == 1 and "Did you mean 'check'?" in done.stderr
    done = openscope("run", "x.json", "--ofline")
    assert done.returncode == 1 and "Did you mean '--offline'?" in done.stderr


def test_help_and_version(openscope: Openscope) -> None:
    listed = " ".join(openscope("--help").stdout.split())
    assert "openscope demo" in listed
    assert "there to answer, a copy that is not complete. step" in listed  # whole first sentences
    assert "example:" in openscope("run", "--help").stdout
    assert openscope("--version").stdout.startswith("openscope 1.")
    schema = json.loads(openscope("schema").stdout)
    assert "bonsai_path" in schema["properties"] and "script_path" in schema["properties"]


@pytest.mark.parametrize("place", ["a file", "a file/below", "/proc/openscope-demo"])
def test_a_demo_that_cannot_be_put_there_is_one_plain_error(
    openscope: Openscope, workplace: Path, place: str
) -> None:
    if place.startswith("/proc") and sys.platform != "linux":
        pytest.skip("there is no such folder here")
    (workplace / "a file").touch()
    done = openscope("demo", place)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("✗  The example cannot be put there: ")
    assert done.stderr.count("fix:") == 1


def test_a_demo_that_is_not_started_shows_nothing_of_another_session(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    other = workplace / "a demo" / "data" / "999999_2026-01-01_10-00-00"
    other.mkdir(parents=True)
    (other / "journal.jsonl").touch()
    file = python_experiment(SLOW)
    first = subprocess.Popen(
        [sys.executable, "-m", "openscope_experimental_launcher", "run", str(file), "--yes"],
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    wait_until(
        lambda: any("ready" in p.read_text() for p in workplace.glob("data/*/logs/stdout.log"))
    )
    done = openscope("demo", "a demo")
    first.send_signal(signal.SIGINT)
    assert first.wait(30) == 130
    assert done.returncode == 1 and "Not started" in done.stdout
    assert "999999" not in done.stdout and "Edit" not in done.stdout


def test_the_demo_is_a_real_session(openscope: Openscope, workplace: Path) -> None:
    done = openscope("demo", "a demo", timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    (session,) = (workplace / "a demo" / "data").iterdir()
    assert (session / "stimulus_table.csv").is_file() and (session / "running_wheel.csv").is_file()
    assert events(session)[-1]["data"]["outcome"] == "completed"  # type: ignore[index]
    assert "stimulus_table.csv" in done.stdout
    parameters = workplace / "a demo" / "visual_oddball.json"
    again = openscope(
        "run", str(parameters), "--subject", "7", "--user", "me",
        "--set", "script_parameters.number_of_trials=2", timeout=90,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(list((workplace / "a demo" / "data").iterdir())) == 2
