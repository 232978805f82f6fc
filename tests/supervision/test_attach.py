"""Whoever attaches to a session without a launcher is its launcher, to the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.session.state import has_launcher
from supervision.test_recovery import (
    assert_closed,
    events,
    launch,
    names,
    says,
    session_in,
    wait_for,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

Experiment = Callable[..., Path]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Attach = Callable[..., "tuple[Path, subprocess.Popen[str]]"]

TASK = """
import os, pathlib, signal, sys, time
def slow():
    pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "slow").touch()
    while not pathlib.Path({flag!r}).exists(): time.sleep(0.02)
if __name__ == "__main__":
    def told(*_):
        print("asked", flush=True)
        {then}
    signal.signal(signal.SIGTERM, told)
    print("ready", flush=True)
    while not pathlib.Path({end!r}).exists(): time.sleep(0.02)
"""


@pytest.fixture
def attach(
    python_experiment: Experiment, workplace: Path, openscope: Openscope
) -> Iterator[Attach]:
    """A session that lost its launcher while it ran, and somebody who attached to it."""
    attached: list[tuple[Path, subprocess.Popen[str]]] = []

    def begin(*, then: str = "sys.exit(0)", **values: Any) -> tuple[Path, subprocess.Popen[str]]:
        flag, end = str(workplace / "go on"), str(workplace / "end")
        script = TASK.format(flag=flag, end=end, then=then)
        launcher = launch(python_experiment(script, **values))
        session = wait_for(lambda: session_in(workplace))
        wait_for(says(session, "ready"))
        launcher.kill()
        launcher.wait()
        process = subprocess.Popen(
            [sys.executable, "-m", "openscope_experimental_launcher", "attach", session.name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        attached.append((session, process))
        assert process.stdout is not None
        assert "its launcher was lost" in process.stdout.readline()
        wait_for(lambda: has_launcher(session))
        return session, process

    yield begin
    for session, process in attached:
        (workplace / "go on").touch()
        openscope("stop", session.name, "--now")
        process.kill()
        process.communicate()


SLOW_STEP = {"module_type": "script_module", "module_path": "task.py", "function": "slow"}


def test_ctrl_c_stops_it_as_an_interrupted_run(attach: Attach) -> None:
    session, attached = attach()
    attached.send_signal(signal.SIGINT)
    said, _ = attached.communicate(timeout=60)
    assert attached.returncode == 130 and "aborted" in said
    assert assert_closed(session)["outcome"] == "aborted" and says(session, "asked")()


def test_a_second_ctrl_c_kills_it(attach: Attach) -> None:
    session, attached = attach(then="pass", stop_grace_s=60)
    for number in (signal.SIGTERM, signal.SIGTERM):  # what a system says twice, it says once
        attached.send_signal(number)
        wait_for(says(session, "asked"))
        time.sleep(0.3)
    assert "acquisition.ended" not in names(session)
    attached.send_signal(signal.SIGINT)
    attached.communicate(timeout=60)
    assert attached.returncode == 130
    assert assert_closed(session)["outcome"] == "aborted"
    ended = next(e for e in events(session) if e["name"] == "acquisition.ended")
    assert ended["data"]["killed"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_the_records_are_finished_the_second_leaves_them_open(
    attach: Attach, workplace: Path, openscope: Openscope, number: signal.Signals
) -> None:
    session, attached = attach(post_acquisition_pipeline=[SLOW_STEP])
    (workplace / "end").touch()
    wait_for((session / "slow").exists)
    attached.send_signal(number)
    assert attached.stdout is not None
    while "The records are being finished" not in (line := attached.stdout.readline()):
        assert line
    attached.send_signal(number)
    said, _ = attached.communicate(timeout=20)
    assert attached.returncode == 130
    assert f"was left open: openscope recover {session}" in said
    assert "session.closed" not in names(session)
    (workplace / "go on").touch()
    assert openscope("recover", session.name).returncode == 0
    assert assert_closed(session)["outcome"] == "completed"


def test_it_gets_its_report_as_after_a_run(attach: Attach, workplace: Path) -> None:
    session, attached = attach(session_report=True)
    (workplace / "end").touch()
    attached.communicate(timeout=60)
    assert attached.returncode == 0
    wait_for((session / "report.html").exists)
    wait_for(
        lambda: (
            names(session)[-1] == "session.closed" and names(session).count("session.closed") == 2
        )
    )
