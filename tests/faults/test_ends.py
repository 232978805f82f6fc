"""Launchers, guards and terminals that end, freeze or are told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import psutil
import pytest

from faults.running import OPENSCOPE, WAITS, Running, is_gone, processes_with, wait_for

Begin = Callable[..., Running]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Experiment = Callable[..., Path]

COUNTS_SIGNALS = """
import signal, sys, time
def told(number, _): print("got", signal.Signals(number).name, flush=True)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, told)
print("ready", flush=True)
for _ in range(int({seconds} * 20)): time.sleep(0.05)
print("finished", flush=True)
"""
POLITE = """
import signal, sys, time
def end(*_): print("asked", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(0.05)  # a signal just before a long sleep would wait for its end
"""


# -- 2: the guard killed ---------------------------------------------------------------------------

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's child subreaper")


@linux_only
def test_a_killed_guard_is_replaced_and_limits_and_exit_code_are_kept(begin: Begin) -> None:
    session = begin(POLITE.replace("sys.exit(0)", "sys.exit(7)"), max_duration_s=2)
    session.says("ready")
    os.kill(session.guard(), signal.SIGKILL)
    replaced = session.event("guard.replaced")
    assert replaced["fallen"] == session.guard() != replaced["guard_pid"]
    closed = session.closed()
    assert closed["outcome"] == "killed" and closed["closed_by"] == "launcher"
    ended = session.event("acquisition.ended")
    assert ended["exit_code"] == 7 and 1.9 < ended["duration_s"] < 5
    assert "asked" in session.output()
    sequence = [event["guard_seq"] for event in session.events() if "guard_seq" in event]
    assert sequence == list(range(1, len(sequence) + 1))


@linux_only
def test_a_guard_that_takes_over_does_without_the_times_of_the_output(begin: Begin) -> None:
    session = begin(POLITE, max_duration_s=3)
    session.says("ready")
    (session.folder / "logs" / "stdout.times").unlink()
    os.kill(session.guard(), signal.SIGKILL)
    session.event("guard.replaced")
    assert session.closed()["outcome"] == "killed"
    assert "asked" in session.output()
    assert len(session.events("guard.replaced")) == 1
    assert "acquisition-unguarded" not in [
        found["code"] for found in session.events("finding.reported")
    ]


@linux_only
def test_a_stop_that_a_killed_guard_began_is_gone_on_with(begin: Begin) -> None:
    session = begin(COUNTS_SIGNALS.format(seconds=60), stop_grace_s=2)
    session.says("ready")
    began = time.monotonic()
    session.launcher.send_signal(signal.SIGINT)
    session.says("got SIGTERM")
    os.kill(session.guard(), signal.SIGKILL)
    assert session.closed()["outcome"] == "aborted"
    assert 1.9 < time.monotonic() - began < 4
    assert session.output() == "ready\ngot SIGTERM\n"  # it was asked once
    assert session.event("acquisition.ended")["killed"]


@linux_only
def test_without_guard_and_understudy_the_launcher_still_learns_the_exit(
    begin: Begin, tmp_path: Path
) -> None:
    flag = tmp_path / "go on"
    session = begin(WAITS.format(flag=str(flag)) + "raise SystemExit(5)")
    session.says("ready")
    session.kill_guard()
    session.event("finding.reported")
    flag.touch()
    closed = session.closed()
    assert closed["outcome"] == "failed" and "5" in closed["reason"]
    ended = session.event("acquisition.ended")
    assert ended["exit_code"] == 5 and ended["adopted"]
    (finding,) = session.events("finding.reported")[:1]
    assert finding["code"] == "acquisition-unguarded"


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_ends_what_a_killed_guard_left_behind(begin: Begin, presses: int) -> None:
    polite = POLITE if presses == 1 else COUNTS_SIGNALS.format(seconds=60)
    session = begin(polite)
    session.says("ready")
    child = session.event("acquisition.started")["pid"]
    session.kill_guard()
    # The launcher says so, and leaves the acquisition running: its animal cannot be had again.
    wait_for(
        lambda: any(
            f["code"] == "acquisition-unguarded" for f in session.events("finding.reported")
        )
    )
    assert not is_gone(child)
    for _ in range(presses):
        session.launcher.send_signal(signal.SIGINT)
        session.says("asked" if presses == 1 else "got SIGTERM")
    assert session.launcher.wait(60) == 130
    assert is_gone(child)
    closed = session.closed()
    assert closed["outcome"] == "aborted" and "Ctrl-C" in closed["reason"]
    assert session.event("acquisition.ended")["killed"] == (presses == 2)


def test_whoever_attaches_after_launcher_and_guard_were_killed_can_stop_the_rest(
    begin: Begin, openscope: Openscope
) -> None:
    session = begin(POLITE)
    session.says("ready")
    session.kill_guard()
    session.launcher.kill()
    session.launcher.wait()

    def told() -> int:
        return str(session.events("finding.reported")).count("acquisition-unguarded")

    before = told()  # the launcher may have had the time to say so, or not
    attached = pexpect.spawn(
        OPENSCOPE[0], [*OPENSCOPE[1:], "attach", str(session.folder)], timeout=60
    )
    wait_for(lambda: told() > before)
    attached.sendintr()
    attached.expect(pexpect.EOF)
    assert "asked" in session.output()
    assert session.closed()["outcome"] == "lost"


# -- 3: launcher and guard killed ------------------------------------------------------------------

FAMILY = """
import os, signal, subprocess, sys, time
stay = "import os, signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; {then}"
for then in ("time.sleep(60)", "os.setsid(); time.sleep(60)"):
    child = subprocess.Popen([sys.executable, "-c", stay.replace("{then}", then)], env={})
    print("child", child.pid, flush=True)
def end(*_): print("asked", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(0.05)  # a signal just before a long sleep would wait for its end
"""


@linux_only
def test_launcher_and_guard_killed_the_stop_policy_ends_the_whole_tree(begin: Begin) -> None:
    session = begin(FAMILY, on_launcher_lost="stop", stop_grace_s=1)
    session.says("ready")
    lines = session.output().splitlines()
    family = [int(line.split()[1]) for line in lines if line.startswith("child")]
    family.append(session.event("acquisition.started")["pid"])
    guard = session.guard()
    session.launcher.kill()
    os.kill(guard, signal.SIGKILL)
    session.launcher.wait()
    wait_for(lambda: all(map(is_gone, family)), 8)
    assert session.output().count("asked") == 1
    closed = session.closed()
    assert closed["outcome"] == "aborted" and closed["closed_by"] == "recovery"
    assert "a guard was killed" in closed["reason"]
    assert session.event("acquisition.ended")["exit_code"] == 0


@linux_only
def test_launcher_guard_and_understudy_killed_the_stop_policy_still_ends_it(
    begin: Begin, openscope: Openscope
) -> None:
    session = begin(POLITE, on_launcher_lost="stop")
    session.says("ready")
    child = session.event("acquisition.started")["pid"]
    session.kill_guard()
    session.launcher.kill()
    session.launcher.wait()
    wait_for(lambda: is_gone(child), 10)
    # The system asks at the death of each parent: of the guard, then of the launcher.
    assert session.output() in ("ready\nasked\n", "ready\nasked\nasked\n")
    assert openscope("recover", str(session.folder)).returncode == 0
    assert session.closed()["outcome"] == "lost"


@linux_only
def test_launcher_and_guard_killed_it_finishes_and_the_exit_is_known(begin: Begin) -> None:
    session = begin(COUNTS_SIGNALS.format(seconds=2) + "sys.exit(3)\n")
    session.says("ready")
    guard = session.guard()
    session.launcher.kill()
    os.kill(guard, signal.SIGKILL)
    session.launcher.wait()
    closed = session.closed()
    assert closed["outcome"] == "failed" and closed["closed_by"] == "recovery"
    assert session.output() == "ready\nfinished\n"
    assert session.event("acquisition.ended")["exit_code"] == 3


# -- 5: Ctrl-C once, twice -------------------------------------------------------------------------


def in_terminal(file: Path, *options: str) -> pexpect.spawn[bytes]:
    """A launcher on a terminal of its own, whose foreground process it is."""
    arguments = [*OPENSCOPE[1:], "run", str(file), "--yes", *options]
    return pexpect.spawn(OPENSCOPE[0], arguments, timeout=60, dimensions=(30, 100))


@pytest.mark.parametrize("answer", ["the mouse sleeps", "", "\x03"], ids=["why", "skip", "Ctrl-C"])
def test_ctrl_c_on_a_terminal_reaches_the_child_as_one_sigterm(
    python_experiment: Experiment, workplace: Path, answer: str
) -> None:
    file = python_experiment(COUNTS_SIGNALS.format(seconds=4), stop_grace_s=10)
    terminal = in_terminal(file)
    session = Running(workplace / "data", None)
    session.says("ready")
    terminal.sendintr()
    terminal.expect("left before it is ended by force")  # the countdown
    terminal.expect("Why was it stopped")
    terminal.send(answer or "\r") if answer in ("", "\x03") else terminal.sendline(answer)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert session.output().split("\n") == ["ready", "got SIGTERM", "finished", ""]
    closed = session.closed()
    why = answer if answer.isprintable() and answer else "Ctrl-C"
    assert (closed["outcome"], closed["reason"]) == ("aborted", f"Stopped by the operator: {why}.")
    notes = [note["text"] for note in session.events("note.added")]
    assert notes == ([f"Why it was stopped: {why}"] if why != "Ctrl-C" else [])
    (stop,) = session.events("acquisition.stop_requested")
    assert stop["by"] == "operator" and stop["reason"] == "Ctrl-C" and stop["kill_in_s"] == 10


def test_ctrl_c_twice_on_a_terminal_kills_at_once(
    python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment(COUNTS_SIGNALS.format(seconds=60), stop_grace_s=60)
    terminal = in_terminal(file)
    session = Running(workplace / "data", None)
    session.says("ready")
    terminal.sendintr()
    session.says("got SIGTERM")
    terminal.sendintr()
    terminal.expect(pexpect.EOF, timeout=30)
    terminal.close()
    assert terminal.exitstatus == 130
    assert session.output() == "ready\ngot SIGTERM\n"
    assert session.event("acquisition.ended")["killed"]
    assert session.closed()["outcome"] == "aborted"


@linux_only
@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.02])
def test_ctrl_c_while_it_is_being_started_is_a_stop_of_what_runs(
    begin: Begin, own_state: Path, after_s: float
) -> None:
    session = begin(COUNTS_SIGNALS.format(seconds=60), stop_grace_s=0.5)
    wait_for(lambda: next((own_state / "runs").glob("*/spec.json"), None))
    time.sleep(after_s)
    session.launcher.send_signal(signal.SIGINT)
    assert session.closed()["outcome"] == "aborted"
    assert session.event("acquisition.stop_requested")["reason"] == "Ctrl-C"
    assert session.event("acquisition.ended")["stop"]["by"] == "operator"
    assert processes_with(session.cookie()) == []


# -- 6: the terminal closed ------------------------------------------------------------------------


def test_a_closed_terminal_stops_gracefully_and_the_session_is_closed(
    python_experiment: Experiment, workplace: Path
) -> None:
    terminal = in_terminal(python_experiment(POLITE))
    session = Running(workplace / "data", None)
    session.says("ready")
    os.close(terminal.fileno())  # the system hangs up
    closed = session.closed()
    assert closed["outcome"] == "aborted" and closed["closed_by"] == "launcher"
    assert "asked" in session.output()
    assert session.event("acquisition.stop_requested")["reason"] == "the terminal was closed"
    assert session.event("acquisition.ended")["exit_code"] == 0


def test_a_closed_window_may_be_no_reason_to_stop(
    python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment(COUNTS_SIGNALS.format(seconds=1.5), on_window_closed="continue")
    terminal = in_terminal(file)
    session = Running(workplace / "data", None)
    session.says("ready")
    os.close(terminal.fileno())
    closed = session.closed()
    assert closed["outcome"] == "completed" and closed["closed_by"] == "launcher"
    assert session.output() == "ready\nfinished\n"


# -- 7: frozen terminals and launchers -------------------------------------------------------------

CHATTY = """
import sys, time
for n in range(3000): print(n, "x" * 100, flush=True)
print("finished", flush=True)
"""


def test_a_frozen_launcher_and_a_terminal_nobody_reads_never_block_the_child(
    python_experiment: Experiment, workplace: Path, own_state: Path
) -> None:
    waits = "import time\nprint('ready', flush=True)\ntime.sleep(1.5)\n"
    terminal = in_terminal(python_experiment(waits + CHATTY))
    session = Running(workplace / "data", None)
    session.says("ready")
    launcher = psutil.Process(terminal.pid)
    launcher.suspend()
    try:
        session.says("finished")
        (run,) = (own_state / "runs").iterdir()
        wait_for(lambda: "acquisition.ended" in (run / "guard.jsonl").read_text())
        assert launcher.status() == psutil.STATUS_STOPPED
    finally:
        launcher.resume()
    assert session.closed()["outcome"] == "completed"
    assert len(session.output().splitlines()) == 3002
    terminal.expect(pexpect.EOF)


def test_a_terminal_that_is_never_read_blocks_neither_child_nor_launcher(
    python_experiment: Experiment, workplace: Path
) -> None:
    terminal = in_terminal(python_experiment(CHATTY + "time.sleep(1)"))
    session = Running(workplace / "data", None)
    assert session.closed()["outcome"] == "completed"
    terminal.close(force=True)
