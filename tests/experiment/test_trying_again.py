"""An acquisition that failed is tried again: by itself, or as the operator wishes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bonsai.conftest import workflow_xml
from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.engines.bonsai.launch import PLAYER_MODULE
from openscope_experimental_launcher.session.attempts import data_entries, set_aside
from openscope_experimental_launcher.session.folder import SessionFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="terminals and shell scripts")

FAILS_TWICE = """
import os, pathlib, sys
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
count = pathlib.Path(os.environ["COUNT_FILE"])
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
(folder / "videos").mkdir(exist_ok=True)
with open(folder / "videos" / "eye.avi", "x") as file:  # fails when it is there
    file.write(f"attempt {number}")
print("this is attempt", number)
if number < 3:
    sys.exit("the camera was not there")
"""


def events(session: Path, name: str) -> list[dict[str, Any]]:
    lines = (session / "journal.jsonl").read_bytes().splitlines()
    found = [json.loads(line) for line in lines]
    return [event["data"] for event in found if event["name"] == name]


def only_session(workplace: Path) -> Path:
    (session,) = (workplace / "data").iterdir()
    return session


@pytest.fixture
def bonsai_that_fails(
    make_repository: Callable[..., tuple[Path, str]],
    write_parameters: Callable[..., Path],
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Path]:
    """A workflow under a Bonsai that fails as often as asked, then plays."""

    def make(failures: int, **values: Any) -> Path:
        monkeypatch.setenv("OPENSCOPE_PLAYER_DURATION_S", "0.1")
        repository, commit = make_repository({"w.bonsai": workflow_xml().decode("utf-8-sig")})
        exe = workplace / "Bonsai.exe"
        exe.write_text(
            f"""#!/bin/sh
echo x >> "{workplace}/count"
echo data > "$OPENSCOPE_SESSION_DIRECTORY/table.csv"
if [ $(wc -l < "{workplace}/count") -le {failures} ]; then
    echo "System.IO.IOException: The port 'COM3' does not exist." >&2
    exit 0
fi
exec "{sys.executable}" -P -m {PLAYER_MODULE} "$@"
"""
        )
        exe.chmod(0o755)
        return write_parameters(
            **{
                "repository_url": str(repository),
                "repository_commit_hash": commit,
                "local_repository_path": str(workplace / "checkouts"),
                "script_path": "w.bonsai",
                "bonsai_exe_path": str(exe),
                "subject_id": "614173",
                "user_id": "ana",
                "OutputFolder": str(workplace / "data"),
                "bonsai_retry_delay_sec": 0.1,
                **values,
            }
        )

    return make


def test_bonsai_is_started_again_as_often_as_the_parameters_say(
    bonsai_that_fails, openscope, workplace
) -> None:
    done = openscope("run", str(bonsai_that_fails(2, bonsai_max_retries=3)), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    session = only_session(workplace)
    judged = events(session, "acquisition.judged")
    assert [(j["attempt"], j["outcome"]) for j in judged] == [
        (1, "failed"),
        (2, "failed"),
        (3, "completed"),
    ]
    retried = events(session, "acquisition.retried")
    assert [(r["attempt"], r["by"], r["kept_in"]) for r in retried] == [
        (2, "bonsai_max_retries", "attempt_1"),
        (3, "bonsai_max_retries", "attempt_2"),
    ]
    for place in ("attempt_1", "attempt_2", "."):
        assert (session / place / "table.csv").read_text() == "data\n"
    assert "COM3" in (session / "logs" / "stderr_2.log").read_text()
    assert (session / "logs" / "stderr_3.log").read_text() == ""
    listed = json.loads((session / "manifest.json").read_bytes())
    assert listed["outcome"] == "completed"
    assert {"attempt_1/table.csv", "attempt_2/table.csv"} <= listed["files"].keys()


def test_an_end_that_is_asked_between_two_attempts_is_not_forgotten(
    bonsai_that_fails, workplace
) -> None:
    class Lab(BaseExperiment):
        def _prepare_attempts(self) -> Any:
            attempts = super()._prepare_attempts()
            assert attempts is not None
            # Where the way for another attempt is being cleared.
            attempts._report = lambda *_: signal.raise_signal(signal.SIGINT)
            return attempts

    experiment = Lab()
    assert not experiment.run(bonsai_that_fails(9, bonsai_max_retries=3))
    session = only_session(workplace)
    assert [j["attempt"] for j in events(session, "acquisition.judged")] == [1]
    assert events(session, "acquisition.retried") == []
    assert len(events(session, "session.closed")) == 1


def test_the_retries_are_bounded(bonsai_that_fails, openscope, workplace) -> None:
    done = openscope("run", str(bonsai_that_fails(9, bonsai_max_retries=2)), "--yes")
    assert done.returncode == 1
    assert (workplace / "count").read_text().count("x") == 3
    session = only_session(workplace)
    assert len(events(session, "session.closed")) == 1
    assert events(session, "session.closed")[0]["outcome"] == "failed"


def test_without_the_parameter_there_is_one_attempt(
    bonsai_that_fails, openscope, workplace
) -> None:
    assert openscope("run", str(bonsai_that_fails(1)), "--yes").returncode == 1
    assert (workplace / "count").read_text().count("x") == 1


def test_the_engines_checks_are_made_again_first(bonsai_that_fails, openscope, workplace) -> None:
    file = bonsai_that_fails(5, bonsai_max_retries=3, stop_file=str(workplace / "stop"))
    exe = workplace / "Bonsai.exe"
    exe.write_text(exe.read_text().replace("exit 0", f'touch "{workplace}/stop"; exit 0'))
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 1
    assert (workplace / "count").read_text().count("x") == 1
    codes = [f["code"] for f in events(only_session(workplace), "finding.reported")]
    assert "bonsai-stop-file-exists" in codes


def test_a_launcher_killed_in_the_second_attempt_is_judged_by_that(
    bonsai_that_fails, openscope, workplace, monkeypatch
) -> None:
    file = bonsai_that_fails(1, bonsai_max_retries=1)
    monkeypatch.setenv("OPENSCOPE_PLAYER_DURATION_S", "2")
    import subprocess

    launcher = subprocess.Popen(
        [sys.executable, "-m", "openscope_experimental_launcher", "run", str(file), "--yes"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while True:
        folders = list((workplace / "data").glob("*")) if (workplace / "data").is_dir() else []
        journals = [f for f in folders if (f / "journal.jsonl").is_file()]
        if journals and len(events_so_far(journals[0], "acquisition.started")) == 2:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    launcher.kill()
    launcher.wait()
    session = only_session(workplace)
    while not events_so_far(session, "session.closed"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    judged = events(session, "acquisition.judged")
    assert [(j["attempt"], j["outcome"]) for j in judged] == [(1, "failed"), (2, "completed")]


def events_so_far(session: Path, name: str) -> list[dict[str, Any]]:
    whole = (session / "journal.jsonl").read_bytes().rpartition(b"\n")[0]
    return [e for e in map(json.loads, whole.splitlines()) if e["name"] == name]


# The operator, on a real terminal


@pytest.fixture
def terminal(workplace: Path) -> Callable[..., Any]:
    """`openscope` on a terminal of its own."""
    pexpect = pytest.importorskip("pexpect")

    def start(*arguments: str, **variables: str) -> Any:
        return pexpect.spawn(
            sys.executable,
            ["-m", "openscope_experimental_launcher", *arguments],
            cwd=str(workplace),
            env={**os.environ, "TERM": "dumb", "PYTHONUTF8": "1", **variables},
            encoding="utf-8",
            timeout=30,
            dimensions=(40, 200),
        )

    return start


def test_the_operator_may_try_again_with_the_answers_kept(
    python_experiment, terminal, workplace
) -> None:
    file = python_experiment(FAILS_TWICE, subject_id=None)
    screen = terminal("run", str(file), COUNT_FILE=str(workplace / "count"))
    screen.expect("Subject")
    screen.sendline("614173")
    screen.expect("Press Enter")
    screen.sendline("")
    for _ in range(2):
        screen.expect("exit code 1")
        screen.expect(r"\(t\)ry again")
        screen.sendline("t")
    screen.expect("Completed")
    screen.wait()
    session = only_session(workplace)
    assert session.name.startswith("614173_")
    assert [r["by"] for r in events(session, "acquisition.retried")] == ["operator"] * 2
    assert (session / "videos" / "eye.avi").read_text() == "attempt 3"
    assert (session / "attempt_1" / "videos" / "eye.avi").read_text() == "attempt 1"
    assert "attempt 2" in (session / "logs" / "stdout_2.log").read_text()


@pytest.mark.parametrize("answer", ["c", "", "\x03", "\x04"], ids=["c", "Enter", "Ctrl-C", "end"])
def test_the_operator_may_leave_it_at_the_failure(
    python_experiment, terminal, workplace, answer
) -> None:
    screen = terminal("run", str(python_experiment("raise SystemExit(7)")))
    screen.expect("Press Enter")
    screen.sendline("")
    screen.expect(r"\(t\)ry again")
    screen.send(answer if answer in ("\x03", "\x04") else answer + "\r")
    screen.expect("Failed")
    screen.wait()
    assert screen.exitstatus == 1
    assert events(only_session(workplace), "session.closed")[0]["outcome"] == "failed"


def test_what_kept_it_from_starting_may_be_mended(python_experiment, terminal, workplace) -> None:
    file = python_experiment("print('runs')", subject_id=None, script_path="tasks.py")
    screen = terminal("run", str(file))
    screen.expect("Subject")
    screen.sendline("614173")
    screen.expect("The script is not there")
    screen.expect(r"\(t\)ry again")
    file.write_text(file.read_text().replace("tasks.py", "task.py"))
    screen.sendline("t")
    screen.expect("614173")
    screen.expect("Press Enter")
    screen.sendline("")
    screen.expect("Completed")
    screen.wait()
    assert screen.exitstatus == 0
    assert only_session(workplace).name.startswith("614173_")


def test_with_yes_nobody_is_asked(python_experiment, terminal) -> None:
    screen = terminal("run", "--yes", str(python_experiment("raise SystemExit(7)")))
    screen.expect("Failed")
    screen.wait()
    assert screen.exitstatus == 1


def test_what_somebody_stopped_is_not_tried_again(python_experiment, terminal) -> None:
    file = python_experiment("import time\nprint('going', flush=True)\ntime.sleep(60)")
    screen = terminal("run", str(file))
    screen.expect("Press Enter")
    screen.sendline("")
    screen.expect("going")
    screen.kill(signal.SIGINT)
    screen.expect("Aborted")
    screen.wait()
    assert screen.exitstatus == 130


def test_from_a_script_nobody_is_asked(python_experiment) -> None:
    assert not BaseExperiment().run(python_experiment("raise SystemExit(7)"))


# Putting aside


def test_only_what_was_added_is_put_aside(tmp_path: Path) -> None:
    folder = SessionFolder(tmp_path)
    for name in ("journal.jsonl", "logs/stdout.log", "experiment_metadata/x.json", "weight.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "kept").mkdir()
    before = data_entries(folder)
    assert sorted(map(str, before)) == ["kept", "weight.csv"]
    assert set_aside(folder, before, 1) == ""
    for name in ("a/b/video.avi", "kept/new.csv", "table.csv", "a/logs/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "empty").mkdir()
    assert set_aside(folder, before, 1) == "attempt_1"
    after = {str(entry) for entry in data_entries(folder) - before}
    assert {entry for entry in after if (tmp_path / entry).is_file()} == {
        "attempt_1/a/b/video.avi",
        "attempt_1/a/logs/x",
        "attempt_1/kept/new.csv",
        "attempt_1/table.csv",
    }
    assert {entry for entry in after if not entry.startswith("attempt_1")} == set()
    assert (tmp_path / "attempt_1" / "empty").is_dir()
    assert (tmp_path / "kept").is_dir()
