"""Steps that hang, crash, flood or end their interpreter, in whole sessions."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

Begin = Callable[..., Any]

HOSTILE = """
import os, pathlib, subprocess, sys, time
def hang():
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "pid").write_text(str(child.pid))
    time.sleep(600)
def crash():
    import ctypes
    ctypes.string_at(0)
def flood():
    while True:
        sys.stdout.write("x" * 1_000_000)
def leave():
    sys.exit(7)
def vanish():
    os._exit(0)
def spoil():
    raise BaseException("\\x1b[2J\\x00")
if __name__ == "__main__":
    print("the task ran")
"""


def entry(function: str, **more: Any) -> dict[str, Any]:
    return {
        "module_type": "script_module",
        "module_path": "task.py",
        "function": function,
        "timeout_s": 20,
        **more,
    }


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_every_kind_of_hostile_step_before_and_after(begin: Begin) -> None:
    """The acquisition is as if they were not there, and the session is closed properly."""
    kinds = ["crash", "leave", "vanish", "spoil"]
    session = begin(
        HOSTILE,
        pre_acquisition_pipeline=[entry("hang", timeout_s=1), *map(entry, kinds)],
        post_acquisition_pipeline=[entry("hang", timeout_s=1), *map(entry, kinds)],
    )
    began = time.monotonic()
    assert session.launcher.wait(60) == 0
    assert time.monotonic() - began < 40
    closed = session.event("session.closed")
    assert (closed["outcome"], closed["pending"]) == ("completed", [])
    ended = session.events("step.finished")
    assert [step["outcome"] for step in ended] == ["timed out", *["failed"] * 4] * 2
    messages = [step["message"] for step in ended]
    assert "within 1 s" in messages[0]
    assert messages[1] == "It was ended by SIGSEGV."
    assert messages[2] == "It called sys.exit(7)."
    assert messages[3] == "It ended with exit code 0 and without a result."
    assert "\x1b" not in messages[4] and "BaseException" in messages[4]
    assert session.output() == "the task ran\n"
    child = int((session.folder / "pid").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie"
    listed = json.loads((session.folder / "manifest.json").read_bytes())["files"]
    assert len([name for name in listed if name.startswith("logs/step_")]) == 10


def test_a_step_that_floods_is_ended_and_its_log_is_bounded(
    begin: Begin,
) -> None:
    session = begin(HOSTILE, post_acquisition_pipeline=[entry("flood"), entry("leave")])
    assert session.launcher.wait(60) == 0
    flood, after = session.events("step.finished")
    assert (flood["outcome"], after["outcome"]) == ("failed", "failed")
    assert "It printed more than" in flood["message"]
    assert sum(map(len, flood["last_lines"])) < 10_000
    log = session.folder / "logs" / "step_after_0_task.py.log"
    assert 250e6 < log.stat().st_size < 2e9
    assert session.event("session.closed")["outcome"] == "completed"


def test_a_hostile_step_that_must_not_fail_stops_the_session_before_it_begins(
    begin: Begin,
) -> None:
    session = begin(
        HOSTILE,
        pre_acquisition_pipeline=[entry("vanish", on_failure="abort"), entry("leave")],
    )
    assert session.launcher.wait(60) == 1
    assert len(session.events("step.finished")) == 1
    assert session.events("acquisition.started") == []
    assert session.event("session.closed")["outcome"] == "failed"
