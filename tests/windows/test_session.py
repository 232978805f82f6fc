"""Whole sessions on Windows, through the documented face and the command line."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.preflight import _RESTART_KEYS, check_restart

from .conftest import alive, under_wine, wait_for

WriteParameters = Callable[..., Path]
OpenScope = Callable[..., subprocess.CompletedProcess[str]]

TASK = """
import os, pathlib, sys
print("playing", sys.argv[1:])
pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "data.csv").write_text("trial,1")
"""


def events(folder: str | Path | None) -> list[dict[str, Any]]:
    """The session's journal."""
    lines = Path(str(folder), "journal.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def judged(folder: str | Path | None) -> dict[str, Any]:
    """What became of the acquisition."""
    found = [event["data"] for event in events(folder) if event["name"] == "acquisition.judged"]
    assert len(found) == 1
    return dict(found[0])


@pytest.fixture
def parameters(workplace: Path, write_parameters: WriteParameters) -> WriteParameters:
    """A parameter file of a session without a repository."""

    def write(**values: Any) -> Path:
        known = {"subject_id": "614173", "user_id": "Frieda Müller", "rig_id": "rig"}
        return write_parameters(**known, OutputFolder=str(workplace / "data"), **values)

    return write


def test_a_python_session(parameters: WriteParameters, workplace: Path) -> None:
    (workplace / "task.py").write_text(TASK)
    file = parameters(
        launcher="python", script_path="task.py", script_parameters={"Größe": "a b & c", "n": 3}
    )
    experiment = BaseExperiment()
    assert experiment.hJob, "a job object for process management"
    assert experiment.run(file), experiment.outcome
    folder = Path(str(experiment.session_directory))
    assert (folder / "data.csv").read_text() == "trial,1"
    said = (folder / "logs" / "stdout.log").read_text("utf-8")
    assert said == "playing ['--Größe', 'a b & c', '--n', '3']\n"
    assert events(folder)[-1]["name"] == "session.closed"
    sealed = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert "data.csv" in json.dumps(sealed) and "logs/stdout.log" in json.dumps(sealed)


def test_a_command_session_that_fails(parameters: WriteParameters) -> None:
    file = parameters(launcher="command", command=["cmd.exe", "/c", "exit 9"])
    experiment = BaseExperiment()
    assert not experiment.run(file)
    assert experiment.outcome.name == "failed"
    assert experiment.bonsai_process is not None and experiment.bonsai_process.returncode == 9


BATCH = "@echo off\r\necho got %1 %2\r\nexit /b 4\r\n"


def test_a_batch_file_gets_its_arguments(parameters: WriteParameters, workplace: Path) -> None:
    (workplace / "task.bat").write_text(BATCH)
    experiment = BaseExperiment()
    experiment.run(parameters(launcher="command", command=["./task.bat", "trial", "a b"]))
    assert experiment.bonsai_process is not None and experiment.bonsai_process.returncode == 4
    said = Path(str(experiment.session_directory), "logs", "stdout.log").read_text()
    assert said.split() == ["got", "trial", '"a', 'b"']


def test_a_batch_file_is_given_no_commands(
    parameters: WriteParameters, workplace: Path, openscope: OpenScope
) -> None:
    (workplace / "task.BAT").write_text(BATCH)
    file = parameters(launcher="command", command=["./task.BAT", "a&calc"])
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 1 and "batch file cannot be given &" in done.stderr, done.stderr
    assert not (workplace / "data").exists()


def test_the_command_line(parameters: WriteParameters, openscope: OpenScope) -> None:
    file = parameters(launcher="command", command=[sys.executable, "-c", "print('hello')"])
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    again = openscope("check", str(file))
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_path_that_windows_cannot_carry_is_refused(
    parameters: WriteParameters, workplace: Path, openscope: OpenScope
) -> None:
    long = workplace / ("long" * 20) / ("longer" * 20)
    file = parameters(launcher="command", command=[sys.executable, "-c", "pass"])
    done = openscope("run", str(file), "--yes", "--set", f"OutputFolder={long}")
    assert done.returncode == 1 and "Windows carries 260" in done.stderr, done.stderr
    assert "fix:" in done.stderr and not (workplace / ("long" * 20)).exists()


@pytest.mark.skipif(not under_wine(), reason="changes the registry")
@pytest.mark.parametrize("key", _RESTART_KEYS)
def test_a_pending_restart_is_warned_of(key: str) -> None:
    import winreg

    assert check_restart() == []
    winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, key).Close()
    try:
        (finding,) = check_restart()
    finally:
        winreg.DeleteKey(winreg.HKEY_LOCAL_MACHINE, key)
    assert finding.level == "warning" and finding.where.endswith(key)


STEP = """
import os, pathlib, subprocess, sys, time

def run_post_acquisition(param_file):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "pids").write_text(
        f"{os.getpid()} {child.pid} all"
    )
    time.sleep({seconds})
    return 0
"""


@pytest.mark.parametrize("killed", [True, False])
def test_a_step_ends_with_its_launcher_and_leaves_nothing(
    parameters: WriteParameters,
    workplace: Path,
    python_process: Callable[..., subprocess.Popen[str]],
    killed: bool,
) -> None:
    (workplace / "hook.py").write_text(STEP.replace("{seconds}", "60" if killed else "0"))
    (workplace / "task.py").write_text(TASK)
    step = {"module_type": "script_module", "module_path": "hook.py"}
    file = parameters(launcher="python", script_path="task.py", post_acquisition_pipeline=[step])
    launcher = python_process(LAUNCHER, str(file), creationflags=0x08000000)
    written = next_file(workplace / "data", "*/pids")
    wait_for(lambda: written().endswith("all"))
    pids = list(map(int, written().split()[:2]))
    if killed:
        assert all(map(alive, pids))
        launcher.kill()
    launcher.wait(60)
    wait_for(lambda: not any(map(alive, pids)), 30)


# -- deliberate ends ---------------------------------------------------------------------------

LAUNCHER = """
import ctypes, sys
from openscope_experimental_launcher.base.experiment import BaseExperiment
ctypes.WinDLL("kernel32").SetConsoleCtrlHandler(None, False)  # wine passes on no event otherwise
experiment = BaseExperiment()
experiment.run(sys.argv[1])
sys.exit(experiment.outcome.exit_code)
"""
CTRL_C_EVENT, CTRL_BREAK_EVENT, CTRL_CLOSE_EVENT = 0, 1, 2
WM_ENDSESSION = 0x16


def send_console_event(process: subprocess.Popen[str], event: int) -> None:
    """What the system does for a console event: it starts a thread in the process."""
    import win32api

    routine = win32api.GetProcAddress(win32api.GetModuleHandle("kernel32"), "CtrlRoutine")
    create = ctypes.WinDLL("kernel32").CreateRemoteThread
    handle, pointer = ctypes.c_void_p(int(process._handle)), ctypes.c_void_p  # type: ignore[attr-defined]
    assert create(handle, None, pointer(0), pointer(routine), pointer(event), 0, None)


def end_windows_session(process: subprocess.Popen[str]) -> None:
    """What the system tells the launcher's window at log-off."""
    import win32gui
    import win32process

    window = 0
    while window := win32gui.FindWindowEx(0, window, "OpenScopeSession", None):
        if win32process.GetWindowThreadProcessId(window)[1] == process.pid:
            win32gui.PostMessage(window, WM_ENDSESSION, 1, 0)
            return
    raise AssertionError("the launcher has no window")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda process: send_console_event(process, CTRL_C_EVENT), "Ctrl-C"),
        pytest.param(
            lambda process: send_console_event(process, CTRL_BREAK_EVENT),
            "Ctrl-Break",
            marks=pytest.mark.skipif(under_wine(), reason="wine's C library has no Ctrl-Break"),
        ),
        (lambda process: send_console_event(process, CTRL_CLOSE_EVENT), "the terminal was closed"),
        (end_windows_session, "the user logged off"),
    ],
    ids=["Ctrl-C", "Ctrl-Break", "console closed", "log-off"],
)
def test_the_session_is_closed_when(
    end: Callable[[Any], None],
    reason: str,
    parameters: WriteParameters,
    workplace: Path,
    python_process: Callable[..., subprocess.Popen[str]],
) -> None:
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    file = parameters(launcher="command", command=[sys.executable, "-c", program], stop_grace_s=0.5)
    launcher = python_process(LAUNCHER, str(file), creationflags=0x08000000)
    output = next_file(workplace / "data", "*/logs/stdout.log")
    wait_for(lambda: output().endswith("\n"))
    pid = int(output())
    end(launcher)
    launcher.wait(60)
    assert not alive(pid)
    [folder] = (workplace / "data").iterdir()
    assert events(folder)[-1]["name"] == "session.closed"
    assert judged(folder)["outcome"] == "aborted" and reason in judged(folder)["reason"]


def next_file(root: Path, pattern: str) -> Callable[[], str]:
    """The text of the file that will be there."""

    def text() -> str:
        found = list(root.glob(pattern))
        return found[0].read_text() if found else ""

    return text


# -- with git ----------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
def test_the_demo(openscope: OpenScope, tmp_path: Path) -> None:
    done = openscope("demo", str(tmp_path / "first steps"), timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    [folder] = (tmp_path / "first steps" / "data").iterdir()
    assert judged(folder)["outcome"] == "completed"
    assert events(folder)[-1]["name"] == "session.closed"
    assert (folder / "manifest.json").stat().st_size > 100
