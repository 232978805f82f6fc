"""Who may end a session, what is said before, and what keeps the machine awake meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import psutil
import pytest

from faults.running import OPENSCOPE, WAITS, Running, is_gone, wait_for

Begin = Callable[..., Running]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Experiment = Callable[..., Path]

SAVES = """
import signal, sys, time
def end(*_): print("asked", flush=True); time.sleep(1.5); print("saved", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(0.05)  # a signal just before a long sleep would wait for its end
"""


def command(*arguments: str) -> pexpect.spawn[bytes]:
    """`openscope` on a terminal of its own."""
    return pexpect.spawn(
        OPENSCOPE[0], [*OPENSCOPE[1:], *arguments], timeout=60, dimensions=(30, 160)
    )


# -- 6: told to end --------------------------------------------------------------------------------


def test_a_launcher_that_is_told_to_end_stops_gracefully(begin: Begin) -> None:
    session = begin(SAVES)
    session.says("ready")
    session.launcher.terminate()
    assert session.launcher.wait(60) == 130
    closed = session.closed()
    assert closed["outcome"] == "aborted" and closed["closed_by"] == "launcher"
    assert "the launcher was told to end" in closed["reason"]
    assert session.output() == "ready\nasked\nsaved\n"


def test_a_system_that_ends_the_launcher_first_leaves_a_closed_session(begin: Begin) -> None:
    session = begin(SAVES)
    session.says("ready")
    session.launcher.send_signal(signal.SIGHUP)
    session.says("asked")
    session.launcher.kill()
    closed = session.closed()
    assert closed["outcome"] == "aborted" and closed["closed_by"] == "recovery"
    assert "the terminal was closed" in closed["reason"]
    assert session.output() == "ready\nasked\nsaved\n"


def test_a_shutdown_that_reaches_the_guard_stops_gracefully(begin: Begin) -> None:
    session = begin(SAVES)
    session.says("ready")
    os.kill(session.guard(), signal.SIGTERM)
    closed = session.closed()
    assert closed["outcome"] == "aborted" and "shutdown" in closed["reason"]
    assert session.event("acquisition.stop_requested")["by"] == "system"
    assert session.output() == "ready\nasked\nsaved\n"


# -- 14: a child that is stopped -------------------------------------------------------------------


def test_a_paused_child_is_told_and_a_stop_still_lets_it_save(begin: Begin) -> None:
    session = begin(SAVES)
    session.says("ready")
    child = psutil.Process(session.event("acquisition.started")["pid"])
    child.suspend()
    assert "paused" in session.event("acquisition.warned")["message"]
    wait_for(lambda: "paused" in (session.data.parent / "launcher.txt").read_text("utf-8"))
    session.launcher.send_signal(signal.SIGINT)
    assert session.closed()["outcome"] == "aborted"
    assert session.output() == "ready\nasked\nsaved\n"


# -- what a stop loses -----------------------------------------------------------------------------

WORKFLOW = Path(__file__).parents[1] / "bonsai" / "workflows" / "minimal.bonsai"


def test_what_a_stop_loses_is_said_before_it_is_done(
    write_parameters: Callable[..., Path], workplace: Path, openscope: Openscope
) -> None:
    shutil.copy(WORKFLOW, workplace)
    file = write_parameters(
        launcher="bonsai", bonsai_path=WORKFLOW.name, bonsai_exe_path="Bonsai.exe",
        subject_id="1", user_id="u", rehearsal_duration_s=60, session_report=False,
    )  # fmt: skip
    running = command("run", str(file), "--rehearse", "--yes")
    session = Running(workplace / "rehearsal" / "data", None)
    session.event("acquisition.started")
    running.expect("stop.*will be lost: Bonsai without the editor cannot be asked")
    asking = command("stop", session.folder.name)
    asking.expect("will be lost: Bonsai without the editor cannot be asked")
    asking.expect("Stop it")
    asking.sendline("n")
    asking.expect(pexpect.EOF)
    asking.close()
    assert asking.exitstatus == 130
    assert session.events("acquisition.stop_requested") == []
    asking = command("stop", session.folder.name, "--reason", "the mouse sleeps")
    asking.expect("Stop it")
    asking.sendline("y")
    asking.expect("closed: aborted")
    running.expect(pexpect.EOF)
    assert "the mouse sleeps" in session.closed()["reason"]


# -- the end is told as it was ---------------------------------------------------------------------


def test_the_end_tells_code_last_words_and_why(begin: Begin) -> None:
    session = begin("print('trial 7', flush=True)\nraise RuntimeError('the valve is stuck')")
    session.closed()
    session.launcher.wait(60)
    said = (session.data.parent / "launcher.txt").read_text("utf-8")
    assert "| trial 7" in said and "exit code 1" in said
    assert said.count("RuntimeError: the valve is stuck") >= 2  # its own words, and the reason
    last = said.rstrip().splitlines()[-2:]
    assert "Failed" in last[0] and "the valve is stuck" in last[0]
    assert str(session.folder) in last[1]


def test_a_death_by_signal_is_named(begin: Begin) -> None:
    session = begin("import os\nos.abort()")
    closed = session.closed()
    assert closed["outcome"] == "failed" and "SIGABRT" in closed["reason"]
    assert session.event("acquisition.ended")["signal"] == signal.SIGABRT


# -- a session that was never closed is offered ----------------------------------------------------


def test_a_run_offers_to_close_what_was_never_closed(begin: Begin, workplace: Path) -> None:
    session = begin(SAVES)
    session.says("ready")
    session.kill_guard()
    session.launcher.kill()
    session.launcher.wait()
    os.kill(session.event("acquisition.started")["pid"], signal.SIGKILL)
    file = next(workplace.glob("*.json"))
    running = command("run", str(file), "--set", "max_duration_s=2")
    running.expect("interrupted")
    running.expect("Close it now")
    running.sendline("y")
    running.expect("Closed: lost")
    running.expect("Press Enter to start")
    assert session.closed()["closed_by"] == "recovery"
    running.sendintr()
    running.expect(pexpect.EOF)


def test_a_session_that_cannot_be_closed_does_not_keep_another_from_running(
    begin: Begin, workplace: Path, openscope: Openscope, own_state: Path
) -> None:
    flag = workplace / "go on"
    session = begin(WAITS.format(flag=str(flag)))
    session.says("ready")
    flag.touch()
    session.closed()
    session.launcher.wait(60)
    (note,) = (own_state / "history" / "new").glob("*.txt")
    (own_state / "open").mkdir(exist_ok=True)
    shutil.copy(note, own_state / "open")
    # Not a file that could be read: a directory, a device that is gone.
    (own_state / "open" / "spoiled.txt").mkdir()
    (file,) = workplace.glob("*.json")
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr


# -- the machine does not sleep --------------------------------------------------------------------

INHIBIT = """#!{python}
import os, subprocess, sys
options = [word for word in sys.argv[1:] if word.startswith("--")][:3]
open({note!r}, "w").write(" ".join(options))
code = subprocess.call(sys.argv[1 + len(options):])
open({note!r}, "a").write(" over")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="systemd's way")
def test_the_machine_is_kept_awake_until_the_acquisition_has_ended(
    begin: Begin, tmp_path: Path
) -> None:
    """With a program in the place of systemd's, which needs a whole running systemd."""
    programs, note, flag = tmp_path / "bin", tmp_path / "note", tmp_path / "go on"
    programs.mkdir()
    (programs / "systemd-inhibit").write_text(INHIBIT.format(python=sys.executable, note=str(note)))
    (programs / "systemd-inhibit").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    session = begin(WAITS.format(flag=str(flag)), env={"PATH": path})
    session.says("ready")
    wait_for(lambda: note.is_file() and note.read_text())
    assert "--what=sleep:idle" in note.read_text()
    guard = session.guard()
    understudy = psutil.Process(guard).parent()
    assert understudy is not None
    # Also when the launcher is lost, for as long as the acquisition goes on.
    session.launcher.kill()
    session.launcher.wait()
    time.sleep(1.5)
    assert "over" not in note.read_text()
    flag.touch()
    session.closed()
    wait_for(lambda: is_gone(guard))
    # Where the machine's first process collects nobody, as in some containers, it seems to live.
    wait_for(lambda: note.read_text().endswith("over") or is_zombie(understudy))


def is_zombie(process: psutil.Process) -> bool:
    """Whether a process has ended and was not collected."""
    return process.is_running() and process.status() == psutil.STATUS_ZOMBIE
