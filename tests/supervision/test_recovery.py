"""A session is never lost: launchers and guards killed at any moment, and what comes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

Experiment = Callable[..., Path]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]

COUNTING = """
import os, pathlib, signal, sys, time
out = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "counts.txt").open("w")
signal.signal(signal.SIGTERM, lambda *_: (print("asked", flush=True), sys.exit(0)))
print("ready", flush=True)
for n in range({counts}):
    out.write(f"{n}\\n"); out.flush(); print(n, flush=True); time.sleep(0.05)
print("finished", flush=True)
""".replace("{n}", "{{n}}")


def launch(file: Path) -> subprocess.Popen[bytes]:
    """A launcher of its own session, so that a test can kill it alone."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "openscope_experimental_launcher",
            "run",
            str(file),
            "--yes",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until something is so, and give it back."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return found


def session_in(workplace: Path) -> Path | None:
    """The one session folder, once it has a journal."""
    return next((j.parent for j in workplace.glob("data/*/journal.jsonl")), None)


def events(session: Path) -> list[dict[str, Any]]:
    """The events of a journal."""
    lines = (session / "journal.jsonl").read_bytes().splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def names(session: Path) -> list[str]:
    """The names of the events."""
    return [event["name"] for event in events(session)]


def says(session: Path, word: str) -> Callable[[], bool]:
    """Whether the acquisition has printed a word."""
    log = session / "logs/stdout.log"
    return lambda: log.is_file() and word in log.read_text()


def assert_closed(session: Path) -> dict[str, Any]:
    """The session is closed exactly once, with a manifest that is true; its last event."""
    import hashlib

    found = events(session)
    assert [event["name"] for event in found].count("session.closed") == 1
    assert found[-1]["name"] == "session.closed"
    assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
    manifest = json.loads((session / "manifest.json").read_bytes())
    for name, entry in manifest["files"].items():
        assert hashlib.sha256((session / name).read_bytes()).hexdigest() == entry["sha256"], name
    return dict(found[-1]["data"])


def marked(session: Path) -> list[int]:
    """Living processes of the session's run. Its name alone does not tell it from the session of
    another test that began in the same second."""
    opened = next(e for e in events(session) if e["name"] == "session.opened")
    run = Path(opened["data"]["run_folder"]).name
    found = []
    for process in psutil.process_iter():
        try:
            cookie = process.environ().get("OPENSCOPE_RUN", "")
            if cookie == run and process.status() != "zombie":
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_a_killed_launcher_is_replaced_by_the_guards_recovery(
    python_experiment: Experiment, workplace: Path
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=100)))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    launcher.kill()
    launcher.wait()
    closed = wait_for(lambda: "session.closed" in names(session) and assert_closed(session))
    assert closed["outcome"] == "completed" and closed["closed_by"] == "recovery"
    assert says(session, "finished")()
    assert (session / "counts.txt").read_text().split() == [str(n) for n in range(100)]
    assert "launcher.lost" in names(session)
    ended = next(e for e in events(session) if e["name"] == "acquisition.ended")
    assert ended["data"]["exit_code"] == 0


def test_the_stop_policy_stops_when_the_launcher_is_lost(
    python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment(COUNTING.format(counts=2000), on_launcher_lost="stop")
    launcher = launch(file)
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    launcher.kill()
    launcher.wait()
    closed = wait_for(lambda: "session.closed" in names(session) and assert_closed(session))
    assert closed["outcome"] == "aborted"
    assert says(session, "asked")()


def test_attach_becomes_the_launcher_and_stop_ends_it(
    python_experiment: Experiment, workplace: Path, openscope: Openscope
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=2000)))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    assert "running" in openscope("recover", "--list").stdout
    launcher.kill()
    launcher.wait()
    assert "its launcher was lost" in openscope("recover", "--list").stdout
    attached = subprocess.Popen(
        [sys.executable, "-m", "openscope_experimental_launcher", "attach", session.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: "launcher.lost" not in names(session) or True)
    time.sleep(1.5)
    stopped = openscope("stop", session.name, "--reason", "the mouse sleeps")
    assert stopped.returncode == 0, stopped.stderr
    said, _ = attached.communicate(timeout=30)
    assert attached.returncode == 1
    assert "aborted" in said and "the mouse sleeps" in said
    assert assert_closed(session)["outcome"] == "aborted"
    assert openscope("recover", "--list").stdout == "No session is open.\n"


def kill_guard(pid: int) -> None:
    """Kill a guard, and whoever would go on in its place."""
    understudy = psutil.Process(pid).parent()
    if understudy is not None and understudy.cmdline()[-1].endswith("guard.py"):
        understudy.kill()
    os.kill(pid, signal.SIGKILL)


def test_launcher_and_guard_both_killed(
    python_experiment: Experiment, workplace: Path, openscope: Openscope
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=80)))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    started = wait_for(
        lambda: next((e for e in events(session) if e["name"] == "acquisition.started"), None)
    )
    launcher.kill()
    kill_guard(started["data"]["guard_pid"])
    launcher.wait()
    done = openscope("recover", str(session))
    assert done.returncode == 0, done.stdout
    assert assert_closed(session)["outcome"] == "lost"
    assert "exit is unknown" in done.stdout
    assert (session / "counts.txt").read_text().split() == [str(n) for n in range(80)]
    assert marked(session) == []


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.8, 1.0])
def test_recovery_is_safe_to_kill_and_to_repeat(
    python_experiment: Experiment, workplace: Path, openscope: Openscope, cut: float
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=3)))
    session = wait_for(lambda: session_in(workplace))
    assert launcher.wait(60) == 0
    whole = (session / "journal.jsonl").read_bytes()
    keep = whole[: int(len(whole) * cut)] if cut < 1 else whole[: whole.rindex(b"\n", 0, -1) + 5]
    (session / "journal.jsonl").write_bytes(keep)
    first = subprocess.Popen(
        [sys.executable, "-m", "openscope_experimental_launcher", "recover", str(session)],
        stdout=subprocess.DEVNULL,
    )
    time.sleep(0.35)
    first.kill()
    first.wait()
    for _ in range(2):
        assert openscope("recover", str(session)).returncode == 0
    lines = [line for line in (session / "journal.jsonl").read_bytes().splitlines() if line]
    readable = []
    for line in lines:
        try:
            readable.append(json.loads(line)["name"])
        except ValueError:
            continue  # the line that the cut tore
    assert readable.count("session.closed") == 1 and readable[-1] == "session.closed"


def test_a_stranger_is_told(openscope: Openscope, workplace: Path) -> None:
    (workplace / "no session").mkdir()
    for verb in ("attach", "stop"):
        done = openscope(verb, "no session")
        assert done.returncode == 1 and "no session folder" in done.stderr


def test_a_session_of_another_computer_is_left_to_it(openscope: Openscope, workplace: Path) -> None:
    session = workplace / "data" / "614173_2026-03-14_10-30-00"
    session.mkdir(parents=True)
    opened = {"session_uuid": session.name, "host": "another-rig", "launcher": "command"}
    event = {"seq": 1, "time": "2026-03-14T10:30:00.000+01:00", "mono": 1.0}
    line = json.dumps({**event, "name": "session.opened", "data": opened}) + "\n"
    (session / "journal.jsonl").write_text(line)
    refused = openscope("recover", "data")
    assert refused.returncode == 1
    assert "Another computer" in refused.stdout and "--from-elsewhere" in refused.stdout
    assert (session / "journal.jsonl").read_text() == line
    done = openscope("recover", "data", "--from-elsewhere")
    assert done.returncode == 0 and "Closed: failed" in done.stdout
    assert (session / "manifest.json").is_file()
