"""The guard on Windows: job object, output, stopping, limits, a lost launcher or guard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from openscope_experimental_launcher.engines import Ask
from openscope_experimental_launcher.errors import EngineError
from openscope_experimental_launcher.session.journal import Journal
from openscope_experimental_launcher.supervision.job import new_job, start_inside
from openscope_experimental_launcher.supervision.spawn import NOT_STARTED, order_guard
from openscope_experimental_launcher.supervision.supervisor import Acquisition

from .conftest import alive, spec_for, under_wine, wait_for

Guarded = Callable[..., Acquisition]
PythonProcess = Callable[..., subprocess.Popen[str]]

SLEEP = "import time; time.sleep(60)"
FAMILY = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], creationflags=0x8)
print(child.pid)
time.sleep(60)
"""
ORPHAN = FAMILY.replace("time.sleep(60)\n", "sys.exit(4)\n")
WINDOW = """
import sys, win32api, win32gui
def close(window, *_):
    print("saved"); win32gui.DestroyWindow(window)
kind = win32gui.WNDCLASS()
kind.lpszClassName, kind.hInstance = "Workflow", win32api.GetModuleHandle(None)
kind.lpfnWndProc = {0x10: close, 0x2: lambda *_: win32gui.PostQuitMessage(0)}
atom = win32gui.RegisterClass(kind)
place = (0, 0, 50, 50)
window = win32gui.CreateWindow(atom, "Workflow", 0x10CF0000, *place, 0, 0, kind.hInstance, None)
print("ready")
win32gui.PumpMessages()
sys.exit(33)
"""


def says(session: Path, text: str) -> Callable[[], bool]:
    """Whether the acquisition has printed `text`."""
    return lambda: text in (session / "stdout.log").read_text()


def printed_pid(session: Path) -> int:
    wait_for(says(session, "\n"))
    return int((session / "stdout.log").read_text())


def record(acquisition: Acquisition, name: str) -> dict[str, Any]:
    """The data of the guard's first record of this name."""
    lines = (acquisition.run_folder / "guard.jsonl").read_text("utf-8").splitlines()
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return next(r["data"] for r in records if r["name"] == name)


def test_output_and_exit_code(guarded: Guarded, session: Path) -> None:
    program = "import sys; print('trial 1'); print('dropped', file=sys.stderr); sys.exit(-3)"
    assert guarded(program).wait(90) == 0xFFFFFFFD
    assert (session / "stdout.log").read_bytes() == b"trial 1\r\n"
    assert (session / "stderr.log").read_bytes() == b"dropped\r\n"
    assert (session / "stdout.times").read_text().startswith("9\t")


def test_output_can_only_be_appended_to(guarded: Guarded, session: Path) -> None:
    program = """
import os
os.write(1, b"first ")
os.lseek(1, 0, os.SEEK_SET)
os.write(1, b"second")
"""
    assert guarded(program).wait(90) == 0
    assert (session / "stdout.log").read_bytes() == b"first second"


def test_nothing_is_started_when_an_output_file_is_there(guarded: Guarded, session: Path) -> None:
    (session / "stdout.log").write_text("of another session")
    with pytest.raises(EngineError, match="could not be started"):
        guarded("print('new')")
    assert (session / "stdout.log").read_text() == "of another session"


def test_a_program_that_is_not_there(tmp_path: Path, session: Path) -> None:
    with pytest.raises(EngineError, match="could not be started"):
        Acquisition.start(
            tmp_path / "run", spec_for(["C:\\no such program.exe"], session), dict(os.environ)
        )


def test_identity(guarded: Guarded) -> None:
    acquisition = guarded(SLEEP)
    started = record(acquisition, "acquisition.started")
    created = psutil.Process(acquisition.pid).create_time()
    assert int(started["start_time"]) / 1e7 - 11_644_473_600 == pytest.approx(created, abs=1e-3)
    from openscope_experimental_launcher.supervision.tree_windows import Tree

    assert started["boot_id"] == Tree.boot_id()


def test_samples_are_of_the_whole_tree(guarded: Guarded, session: Path) -> None:
    acquisition = guarded(
        FAMILY.replace("time.sleep(60)\n", "x = bytearray(200_000_000)\n" + SLEEP)
    )
    pid = printed_pid(session)

    def samples() -> list[dict[str, Any]]:
        found = [r for r in acquisition.new_records() if r["name"] == "acquisition.sampled"]
        return [r["data"] for r in found if r["data"]["memory_mb"] > 200]

    wait_for(lambda: any(sample["processes"] == 2 for sample in samples()))
    assert alive(pid)


def test_a_kill_ends_the_grandchildren(guarded: Guarded, session: Path) -> None:
    acquisition = guarded(FAMILY)
    pid = printed_pid(session)
    asked = time.monotonic()
    acquisition.request_kill("test", "now")
    assert acquisition.wait(90) == 1
    assert time.monotonic() - asked < 2
    assert not alive(pid) and not alive(acquisition.pid)
    assert acquisition.ended is not None and acquisition.ended["killed"]


def test_what_outlives_the_main_process_is_ended(guarded: Guarded, session: Path) -> None:
    acquisition = guarded(ORPHAN)
    assert acquisition.wait(90) == 4
    assert acquisition.ended is not None and acquisition.ended["strays"] == 1
    assert not alive(printed_pid(session))


def test_nothing_can_break_away(guarded: Guarded, session: Path) -> None:
    away = FAMILY.replace("creationflags=0x8", "creationflags=0x01000000")
    assert guarded(away).wait(90) == 1
    assert "PermissionError" in (session / "stderr.log").read_text()


def test_stop_by_closing_its_window(guarded: Guarded, session: Path) -> None:
    acquisition = guarded(WINDOW, ask=Ask("window"))
    wait_for(says(session, "ready"))
    acquisition.request_stop("operator", "enough")
    assert acquisition.wait(90) == 33
    assert "saved" in (session / "stdout.log").read_text()
    assert acquisition.ended is not None and not acquisition.ended["killed"]


def test_stop_by_a_stop_file(guarded: Guarded, session: Path) -> None:
    file = session / "stop"
    program = "import os, sys, time\nwhile not os.path.exists(sys.argv[-1]): time.sleep(0.05)"
    program = program.replace("sys.argv[-1]", repr(str(file)))
    acquisition = guarded(program, ask=Ask("stop_file", stop_file=str(file)))
    acquisition.request_stop("operator")
    assert acquisition.wait(90) == 0


@pytest.mark.skipif(under_wine(), reason="wine delivers no Ctrl-Break")
def test_stop_by_ctrl_break(guarded: Guarded, session: Path) -> None:
    program = """
import signal, sys, time
signal.signal(signal.SIGBREAK, lambda *_: sys.exit(5))
print("ready")
while True: time.sleep(0.05)
"""
    acquisition = guarded(program)
    wait_for(says(session, "ready"))
    acquisition.request_stop("operator")
    assert acquisition.wait(90) == 5


def test_who_does_not_listen_is_killed_after_the_grace(guarded: Guarded, session: Path) -> None:
    acquisition = guarded(FAMILY, ask=Ask("window"), stop_grace_s=0.5, terminate_grace_s=30)
    pid = printed_pid(session)
    asked = time.monotonic()
    acquisition.request_stop("operator")
    acquisition.wait(90)
    # There is nothing between asking and killing here, so the second grace is not waited for.
    assert 0.5 <= time.monotonic() - asked < 5
    assert not alive(pid)


def test_memory_limit(guarded: Guarded) -> None:
    program = "import time\nx = []\nwhile True: x.append(bytearray(5_000_000)); time.sleep(0.05)"
    acquisition = guarded(program, limits={"memory_limit_mb": 100})
    assert acquisition.wait(30) == 1
    ended = acquisition.ended
    assert ended is not None and ended["stop"]["limit"] == "memory_limit_mb"
    assert 100 <= ended["peak_memory_mb"] < 250


def test_maximum_duration(guarded: Guarded) -> None:
    acquisition = guarded(SLEEP, limits={"max_duration_s": 1}, ask=Ask("none"))
    acquisition.wait(90)
    ended = acquisition.ended
    assert ended is not None and ended["stop"]["limit"] == "max_duration_s"


LAUNCHER = """
import json, os, sys, time
from pathlib import Path
from openscope_experimental_launcher.supervision.job import new_job
from openscope_experimental_launcher.session.journal import Journal
from openscope_experimental_launcher.supervision.job import new_job, start_inside
from openscope_experimental_launcher.supervision.spawn import NOT_STARTED, order_guard
from openscope_experimental_launcher.supervision.supervisor import Acquisition
run, spec = sys.argv[1:]
acquisition = Acquisition.start(Path(run), json.loads(spec), dict(os.environ), new_job())
print(acquisition.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("policy", ["continue", "stop"])
def test_a_lost_launcher(
    policy: str, tmp_path: Path, session: Path, python_process: PythonProcess
) -> None:
    child = "import time; time.sleep(3.5); print('done'); raise SystemExit(6)"
    changes = {"on_launcher_lost": policy, "ask": Ask("none")}
    spec = spec_for([sys.executable, "-c", child], session, **changes)
    launcher = python_process(LAUNCHER, str(tmp_path / "run"), json.dumps(spec))
    assert launcher.stdout is not None
    pid = int(launcher.stdout.readline())
    launcher.kill()
    launcher.wait()
    assert alive(pid)
    wait_for(lambda: not alive(pid), 60)
    acquisition = Acquisition.attach(tmp_path / "run")
    assert acquisition.wait(90) == (6 if policy == "continue" else 1)
    assert ((session / "stdout.log").read_text() == "done\n") == (policy == "continue")
    acquisition.close()


def test_a_killed_guard_takes_its_tree_along(guarded: Guarded, session: Path) -> None:
    acquisition = guarded(FAMILY)
    pid = printed_pid(session)
    psutil.Process(record(acquisition, "acquisition.started")["guard_pid"]).kill()
    wait_for(lambda: not alive(pid) and not alive(acquisition.pid), 60)
    assert acquisition.wait(90) is None


def guards(acquisition: Acquisition) -> list[int]:
    """The pids of all guards the acquisition has had."""
    lines = (acquisition.run_folder / "guard.jsonl").read_text("utf-8").splitlines()
    return [r["data"]["guard_pid"] for r in map(json.loads, lines) if "guard_pid" in r["data"]]


def kill_guard(acquisition: Acquisition, number: int) -> None:
    """Kill the guard of this number, from 0, once it is there."""
    wait_for(lambda: len(guards(acquisition)) > number)
    psutil.Process(guards(acquisition)[number]).kill()


def test_a_killed_guard_is_replaced_and_limits_and_exit_code_are_kept(
    guarded: Guarded, session: Path
) -> None:
    program = "import time; print('ready'); time.sleep(4); raise SystemExit(6)"
    acquisition = guarded(program, job=new_job(), limits={"memory_limit_mb": 2000})
    wait_for(says(session, "ready"))
    kill_guard(acquisition, 0)
    assert acquisition.wait(90) == 6 and len(guards(acquisition)) == 2
    replaced = record(acquisition, "guard.replaced")
    assert replaced["guard_pid"] != record(acquisition, "acquisition.started")["guard_pid"]
    assert acquisition.ended is not None and acquisition.ended["duration_s"] > 3.5
    sequence = [r["seq"] for r in acquisition.new_records()]
    assert sequence == list(range(1, len(sequence) + 1))


def test_a_limit_acts_after_the_guard_was_killed(guarded: Guarded, session: Path) -> None:
    acquisition = guarded(FAMILY, job=new_job(), limits={"max_duration_s": 5}, ask=Ask("none"))
    pid = printed_pid(session)
    kill_guard(acquisition, 0)
    acquisition.wait(90)
    assert acquisition.ended is not None
    assert acquisition.ended["stop"]["limit"] == "max_duration_s"
    assert not alive(pid) and not alive(acquisition.pid)


def test_by_policy_a_killed_guard_is_the_end(guarded: Guarded, session: Path) -> None:
    acquisition = guarded(FAMILY, job=new_job(), on_launcher_lost="stop", ask=Ask("none"))
    pid = printed_pid(session)
    kill_guard(acquisition, 0)
    acquisition.wait(90)
    assert acquisition.ended is not None
    assert acquisition.ended["stop"]["reason"] == "a guard was killed"
    assert not alive(pid) and not alive(acquisition.pid)


@pytest.mark.parametrize(("policy", "code"), [("continue", 6), ("stop", 1)])
def test_when_every_guard_is_killed_the_launcher_cares_for_what_is_left(
    guarded: Guarded, session: Path, tmp_path: Path, policy: str, code: int
) -> None:
    flag = tmp_path / "go on"
    program = f"""
import os, time
print("ready")
while not os.path.exists({str(flag)!r}): time.sleep(0.05)
raise SystemExit(6)
"""
    acquisition = guarded(
        program, job=new_job(), on_launcher_lost=policy, stop_grace_s=300, ask=Ask("window")
    )
    wait_for(says(session, "ready"))
    for number in range(4):
        kill_guard(acquisition, number)
    acquisition.wait(90)
    assert acquisition.ended is None and alive(acquisition.pid)
    spec = json.loads((acquisition.run_folder / "spec.json").read_text("utf-8"))
    (acquisition.run_folder / "spec.json").write_text(json.dumps({**spec, "stop_grace_s": 0.3}))
    if policy == "continue":
        threading.Timer(1.0, flag.touch).start()
    journal = Journal(tmp_path / "fallback")
    journal.open(tmp_path / "journal.jsonl")
    acquisition.orphans.wait(journal)
    journal.close()
    assert acquisition.returncode == code and not alive(acquisition.pid)
    found = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert [event["name"] for event in found] == ["finding.reported", "acquisition.ended"]
    assert (found[1]["data"]["stop"] is None) == (policy == "continue")


def test_what_a_guard_started_and_never_recorded_is_ended(tmp_path: Path, session: Path) -> None:
    job, run = new_job(), tmp_path / "run"
    child = start_inside(job, [sys.executable, "-c", SLEEP])
    run.mkdir()
    spec = spec_for([sys.executable, "-c", SLEEP], session)
    (run / "spec.json").write_text(json.dumps(spec), "utf-8")
    guard, there = order_guard(run, dict(os.environ), job, fallen=4)
    assert not there and guard.wait(90) == NOT_STARTED
    assert child.wait(90) == 1
    assert "acquisition.not_started" in (run / "guard.jsonl").read_text("utf-8")


@pytest.mark.skipif(under_wine(), reason="wine's jobs bound nothing")
def test_the_job_bounds_the_number_of_processes(guarded: Guarded, session: Path) -> None:
    program = f"""
import subprocess, sys, time
for number in range(40):
    try: subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
    except OSError: break
print(number)
time.sleep(60)
"""
    acquisition = guarded(program, limits={"max_processes": 5})
    acquisition.wait(90)
    assert acquisition.ended is not None and acquisition.ended["stop"]["limit"] == "max_processes"
    said = (session / "stdout.log").read_text()
    assert not said or int(said) < 20


def test_too_many_processes_are_ended(guarded: Guarded) -> None:
    family = FAMILY.replace("time.sleep(60)\n", "".join(FAMILY.splitlines(True)[2:4]) * 3 + SLEEP)
    acquisition = guarded(family, limits={"max_processes": 3})
    acquisition.wait(90)
    assert acquisition.ended is not None and acquisition.ended["killed"]
    assert acquisition.ended["stop"]["limit"] == "max_processes"


def test_launcher_and_guard_both_killed(
    tmp_path: Path, session: Path, python_process: PythonProcess
) -> None:
    spec = spec_for([sys.executable, "-c", FAMILY], session)
    launcher = python_process(LAUNCHER, str(tmp_path / "run"), json.dumps(spec))
    assert launcher.stdout is not None
    main = int(launcher.stdout.readline())
    wait_for(lambda: (session / "stdout.log").stat().st_size > 1)
    pid = printed_pid(session)
    lines = (tmp_path / "run" / "guard.jsonl").read_text().splitlines()
    psutil.Process(json.loads(lines[0])["data"]["guard_pid"]).kill()
    launcher.kill()
    wait_for(lambda: not alive(pid) and not alive(main), 60)
