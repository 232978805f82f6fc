"""Programs that an interactive step leaves to the operator, such as an editor.

They are registered in the session, so that whatever ends the step or sweeps after it leaves them
alone, and a later step can ask them to close.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..files import write_json

_CLOSE_WAIT_S = 10.0
_OWN_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


class LeftRunning(NamedTuple):
    """A registered program.

    Attributes:
        step: name of the step that started it.
        pid: its process.
        created: when the process was created, seconds since 1970; with the pid it tells the
            process from a later one of the same number.
        command: its command line.
    """

    step: str
    pid: int
    created: float
    command: tuple[str, ...]


def leave_running(session_folder: Path, step: str, arguments: Sequence[str]) -> int:
    """Start a program that outlives the step, and register it.

    Args:
        session_folder: the session folder, which is its working directory.
        step: name of the step.
        arguments: the program and its arguments.

    Returns:
        Its process id.

    Raises:
        OSError: it cannot be started.
    """
    import psutil

    process: subprocess.Popen[bytes] = subprocess.Popen(
        list(arguments),
        cwd=session_folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        creationflags=_OWN_GROUP,
        start_new_session=sys.platform != "win32",
    )
    created = 0.0
    with suppress(psutil.Error):
        created = psutil.Process(process.pid).create_time()
    known = registered(session_folder)
    new = LeftRunning(step, process.pid, created, tuple(arguments))
    file = _register(session_folder)
    file.parent.mkdir(exist_ok=True)
    write_json(file, [entry._asdict() for entry in (*known, new)])
    process.returncode = 0  # it is not this process's any more, and not to be waited for
    return process.pid


def registered(session_folder: Path) -> list[LeftRunning]:
    """The programs that steps of a session left running, those that have ended too."""
    try:
        entries = json.loads(_register(session_folder).read_bytes())
        return [
            LeftRunning(e["step"], int(e["pid"]), float(e["created"]), tuple(e["command"]))
            for e in entries
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def still_running(session_folder: Path) -> list[LeftRunning]:
    """The registered programs that have not ended."""
    import psutil

    living = []
    for entry in registered(session_folder):
        with suppress(psutil.Error):
            process = psutil.Process(entry.pid)
            if process.create_time() == entry.created and process.status() != "zombie":
                living.append(entry)
    return living


def ask_to_close(session_folder: Path) -> list[LeftRunning]:
    """Ask the registered programs to close, and wait a little. None is made to: there may be
    unsaved text in it.

    Returns:
        Those that are still there.
    """
    import time

    for entry in still_running(session_folder):
        _ask(entry.pid)
    deadline = time.monotonic() + _CLOSE_WAIT_S
    while (left := still_running(session_folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _ask(pid: int) -> None:
    import psutil

    if sys.platform == "win32":
        # Without /F this posts WM_CLOSE to its windows, as a click on their cross does.
        subprocess.run(
            ["taskkill", "/PID", str(pid)], capture_output=True, check=False, timeout=_CLOSE_WAIT_S
        )
        return
    with suppress(psutil.Error):
        psutil.Process(pid).terminate()


def _register(session_folder: Path) -> Path:
    return session_folder / "experiment_metadata" / "left_running.json"
