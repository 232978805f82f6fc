"""What goes wrong in the launcher itself while an acquisition runs must not reach that."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from faults.running import WAITS, Running, is_gone, wait_for
from openscope_experimental_launcher.base.experiment import BaseExperiment

Begin = Callable[..., Running]
Experiment = Callable[..., Path]
Disk = Callable[[int], Path]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

SAVES = """
import signal, sys, time
def end(*_): print("asked", flush=True); time.sleep(0.3); print("saved", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(0.05)
"""
LAB = """
import os, sys, threading, time
from openscope_experimental_launcher.base.experiment import BaseExperiment

class Lab(BaseExperiment):
    def post_experiment_processing(self):
        print("processing", flush=True)
        time.sleep({processing_s})
        return True

experiment = Lab()
{do}
"""


def lab(data: Path, do: str, processing_s: float = 0) -> Running:
    """Begin a lab's own launcher script."""
    script = LAB.format(do=do, processing_s=processing_s)
    with (data.parent / "launcher.txt").open("wb") as said:
        launcher = subprocess.Popen(
            [sys.executable, "-c", script], stdout=said, stderr=subprocess.STDOUT
        )
    return Running(data, launcher)


def said_by(session: Running) -> str:
    return (session.data.parent / "launcher.txt").read_text("utf-8")


# -- 12: what is beside the acquisition raises -----------------------------------------------------


def test_a_monitor_that_raises_is_told_and_the_acquisition_goes_on(
    python_experiment: Experiment, workplace: Path
) -> None:
    class Broken:
        kill_threshold = 90.0

        def monitor_process(self, *_: Any) -> None:
            raise ZeroDivisionError("in a lab's monitor")

    experiment = BaseExperiment()
    experiment.process_monitor = Broken()  # type: ignore[assignment]
    assert experiment.run(python_experiment("import time; time.sleep(0.5); print('done')"))
    session = Running(workplace / "data", None)
    assert session.event("acquisition.ended")["exit_code"] == 0
    (found,) = session.events("finding.reported")
    assert found["code"] == "monitor-failed" and session.closed()["outcome"] == "completed"


def test_a_launcher_without_descriptors_for_a_while_loses_no_record(
    python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment("import time; time.sleep(3); print('done')")
    do = f"""
def take_all():
    while experiment.bonsai_process is None: time.sleep(0.02)
    time.sleep(0.5)
    taken, end = [], time.monotonic() + 1.5
    while time.monotonic() < end:
        try: taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError: time.sleep(0.01)
    for number in taken: os.close(number)
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
threading.Thread(target=take_all, daemon=True).start()
sys.exit(not experiment.run({str(file)!r}))
"""
    session = lab(workplace / "data", do)
    assert session.launcher.wait(60) == 0, said_by(session)
    assert session.closed()["outcome"] == "completed"
    numbers = [event["guard_seq"] for event in session.events() if "guard_seq" in event]
    assert numbers == list(range(1, len(numbers) + 1))
    assert session.event("acquisition.ended")["exit_code"] == 0
    assert len(session.events("acquisition.sampled")) >= 3


# -- 5: Ctrl-C, at any time ------------------------------------------------------------------------


def test_ctrl_c_while_data_are_processed_breaks_that_off_when_asked_twice(
    python_experiment: Experiment, workplace: Path
) -> None:
    file = python_experiment("print('done')")
    session = lab(workplace / "data", f"experiment.run({str(file)!r})", processing_s=600)
    wait_for(lambda: "processing" in said_by(session))
    session.launcher.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert session.launcher.poll() is None
    session.launcher.send_signal(signal.SIGINT)
    session.launcher.wait(60)
    assert session.closed()["outcome"] == "completed"
    (found,) = session.events("finding.reported")
    assert found["code"] == "post-processing-failed" and "broken off" in found["message"]


SLOW_STEP = """
import time
def wait(): time.sleep(600)
if __name__ == "__main__": print("done")
"""


def test_a_session_that_is_left_open_is_never_called_completed(begin: Begin) -> None:
    slow = {"module_type": "script_module", "module_path": "task.py", "function": "wait"}
    session = begin(SLOW_STEP, post_acquisition_pipeline=[slow])
    wait_for(lambda: "steps after" in str(session.events("stage.entered")))
    time.sleep(0.5)
    session.launcher.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert session.launcher.poll() is None
    session.launcher.send_signal(signal.SIGINT)
    assert session.launcher.wait(60) == 130
    said = said_by(session)
    assert "left open" in said and "openscope recover" in said and "✓" not in said
    assert session.events("session.closed") == []


@pytest.mark.parametrize("end", ["another thread", "Ctrl-C"])
def test_a_session_of_a_script_is_judged_and_closed_by_stop(workplace: Path, end: str) -> None:
    given = {"subject_id": "614173", "user_id": "Frieda", "OutputFolder": str(workplace / "data")}
    file = workplace / "params.json"
    command = [sys.executable, "-c", SAVES]
    file.write_text(json.dumps({**given, "launcher": "command", "command": command}))
    do = f"experiment.load_parameters({str(file)!r})\n"
    if end == "Ctrl-C":
        do += """
try: experiment.start_bonsai()
except KeyboardInterrupt: pass
finally: experiment.stop()
"""
    else:
        do += """
def output(): return open(experiment.session_directory + "/logs/stdout.log").read()
threading.Thread(target=experiment.start_bonsai).start()
while experiment.bonsai_process is None or "ready" not in output():
    time.sleep(0.01)
experiment.stop()
"""
    session = lab(workplace / "data", do)
    if end == "Ctrl-C":
        session.says("ready")
        session.launcher.send_signal(signal.SIGINT)
    session.launcher.wait(60)
    assert session.closed()["outcome"] == "aborted", said_by(session)
    assert session.event("acquisition.ended")["exit_code"] == 0
    assert len(session.events("acquisition.judged")) == 1
    assert session.output() == "ready\nasked\nsaved\n"


# -- 24: the launcher's own disk is full -----------------------------------------------------------


@pytest.mark.parametrize("way", ["openscope stop", "Ctrl-C"])
def test_with_a_full_state_disk_it_can_still_be_stopped(
    begin: Begin, small_disk: Disk, openscope: Callable[..., Any], way: str
) -> None:
    disk = small_disk(8)
    environment = {"OPENSCOPE_STATE_DIRECTORY": str(disk / "state")}
    session = begin(SAVES, env=environment)
    session.says("ready")
    wait_for(lambda: session.events("acquisition.sampled"))
    with suppress(OSError), (disk / "full").open("wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))
    if way == "Ctrl-C":
        session.launcher.send_signal(signal.SIGINT)
    else:
        done = openscope("stop", session.folder.name, env=environment)
        assert "Traceback" not in done.stdout + done.stderr
    session.launcher.wait(60)
    assert session.output() == "ready\nasked\nsaved\n"
    assert "Traceback" not in said_by(session)


# -- 3: nothing is closed while it runs ------------------------------------------------------------


def test_what_breaks_off_after_the_start_closes_nothing_that_runs(
    python_experiment: Experiment, workplace: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "go on"
    file = python_experiment(WAITS.format(flag=str(flag)))
    do = f"""
class Breaks(Lab):
    def _monitor(self, acquisition): raise KeyboardInterrupt
experiment = Breaks()
experiment.run({str(file)!r})
"""
    session = lab(workplace / "data", do)
    threading.Timer(3, flag.touch).start()
    session.launcher.wait(60)
    assert session.closed()["outcome"] in ("aborted", "killed", "completed")
    names = [event["name"] for event in session.events()]
    assert names.index("acquisition.ended") < names.index("acquisition.judged")
    assert names.index("acquisition.ended") < names.index("manifest.sealed")
    assert is_gone(session.event("acquisition.started")["pid"])
