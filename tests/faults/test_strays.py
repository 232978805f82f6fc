"""Processes that nobody watches any more, and strangers that must not be taken for them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from faults.running import OPENSCOPE, WAITS, Running, end_runs, is_gone, processes_with, wait_for

Begin = Callable[..., Running]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]

POLITE = """
import signal, sys, time
def end(*_): print("asked", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(0.05)  # a signal just before a long sleep would wait for its end
"""


# -- 2: killed while it sweeps ---------------------------------------------------------------------

STRAY = """
import os, signal, subprocess, sys
stays = "import signal, time; signal.signal(15, signal.SIG_IGN); print('stray', flush=True)"
subprocess.Popen([sys.executable, "-c", stays + "; time.sleep(60)"])
log = os.environ["OPENSCOPE_SESSION_DIRECTORY"] + "/logs/stdout.log"
while "stray" not in open(log).read(): pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs an understudy")
def test_a_guard_killed_while_it_sweeps_is_gone_on_for(begin: Begin) -> None:
    session = begin(STRAY)
    session.says("stray")
    main = session.event("acquisition.started")["pid"]
    guard = psutil.Process(session.guard())
    wait_for(lambda: not psutil.pid_exists(main))  # the guard has seen its end, and asks the stray
    guard.kill()
    # What is left is no acquisition that would have to be waited for.
    assert session.closed()["outcome"] in ("completed", "lost")
    assert session.event("acquisition.ended")["left_over"] == []
    assert processes_with(session.cookie()) == []


# -- 10: killed between the spawn and its record ---------------------------------------------------


def test_a_stray_without_any_record_is_found_by_its_cookie(
    begin: Begin, openscope: Openscope, own_state: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "go on"
    session = begin(WAITS.format(flag=str(flag)))
    session.says("ready")
    child, cookie = session.event("acquisition.started")["pid"], session.cookie()
    session.kill_guard()
    session.launcher.kill()
    session.launcher.wait()
    # As if the power of the disk had gone with them: neither has recorded that anything started.
    forget_since_start(own_state / "runs" / cookie / "guard.jsonl")
    forget_since_start(session.folder / "journal.jsonl")
    assert [process.pid for process in processes_with(cookie)] == [child]
    file = next(session.data.parent.glob("*.json"))
    refused = openscope("run", str(file), "--yes")
    assert refused.returncode == 1 and "in use" in refused.stderr, refused.stdout
    recovery = subprocess.Popen([*OPENSCOPE, "recover", str(session.folder)])
    wait_for(lambda: "acquisition-unguarded" in str(session.events("finding.reported")))
    flag.touch()  # it is left to finish its work
    assert recovery.wait(60) == 0
    assert is_gone(child) and processes_with(cookie) == []
    assert session.output() == "ready\nfinished\n"
    assert session.closed()["closed_by"] == "recovery"
    assert str(child) in str(session.events("finding.reported"))


def forget_since_start(records: Path) -> None:
    """Cut a file of records before the acquisition's start."""
    whole = records.read_bytes()
    place = whole.find(b"acquisition.started")
    records.write_bytes(whole if place < 0 else whole[: whole.rfind(b"\n", 0, place) + 1])


# -- 11: a pid that was given to somebody else -----------------------------------------------------


def test_a_stranger_with_the_recorded_pid_is_left_alone(
    begin: Begin, openscope: Openscope, own_state: Path
) -> None:
    session = begin(POLITE)
    session.says("ready")
    child, cookie = session.event("acquisition.started")["pid"], session.cookie()
    session.kill_guard()
    session.launcher.kill()
    session.launcher.wait()
    end_runs(own_state)
    wait_for(lambda: is_gone(child))
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        for records in (
            own_state / "runs" / cookie / "guard.jsonl",
            session.folder / "journal.jsonl",
        ):
            text = records.read_text("utf-8")
            records.write_text(text.replace(f'"pid":{child},', f'"pid":{stranger.pid},'), "utf-8")
        stopped = openscope("stop", session.folder.name, "--now")
        assert stopped.returncode == 1 and "No acquisition" in stopped.stderr
        assert openscope("recover", str(session.folder)).returncode == 0
        assert session.closed()["outcome"] == "lost"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
