"""Starting a guard: the program, waiting for its order. Standard library only, light to import.

A guard can be started before it is known what it will guard: it waits on its standard input for
one line, and ends when that closes without one. A run does so first of all, so that the guard
starts up on another processor while the launcher is still reading its parameters.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COOKIE = "OPENSCOPE_RUN"
"""Environment variable that marks every process of a run, so that strays can be found."""

GUARDED, NOT_STARTED = 0, 4
"""Exit codes of a guard; Python's own, for a program that broke down, is 1."""

GUARD_PROGRAM = Path(__file__).with_name("guard.py")

_waiting: list[subprocess.Popen[bytes]] = []


def start_guard_early() -> None:
    """Start a guard that the next run will use."""
    if not _waiting:
        _waiting.append(_start())


def order_guard(
    run_folder: Path, environment: Mapping[str, str], job: Any = None, *, fallen: int = 0
) -> tuple[subprocess.Popen[bytes], bool]:
    """Let a guard, a waiting one if there is one, start a run or go on with one.

    Args:
        run_folder: the run's folder, with `spec.json` in it.
        environment: the whole environment of the acquisition. It goes through a pipe, not a
            file, since it may hold secrets.
        job: this process's job object (Windows), which guard and launcher then both hold; with
            None the acquisition lives no longer than its guard.
        fallen: process id of the guard that was killed, whose run this one goes on with; 0 to
            start one.

    Returns:
        The guard, and whether there is an acquisition in its care.
    """
    order = {
        "run_folder": str(run_folder),
        "environment": dict(environment),
        "job": None if job is None else [os.getpid(), int(job)],
        "fallen": fallen,
    }
    line = json.dumps(order).encode() + b"\n"
    if _waiting:
        guard = _waiting.pop()
        if _tell(guard, line):
            return guard, _answer(guard)
        guard.wait()  # it was killed while it waited
    guard = _start()
    return guard, _tell(guard, line) and _answer(guard)


def _tell(guard: subprocess.Popen[bytes], line: bytes) -> bool:
    assert guard.stdin is not None  # noqa: S101 - it is a pipe
    try:
        with guard.stdin as order:
            order.write(line)
    except OSError:
        return False
    return True


def _answer(guard: subprocess.Popen[bytes]) -> bool:
    assert guard.stdout is not None  # noqa: S101 - it is a pipe
    with guard.stdout as answer:
        return answer.readline().strip() == b"started"


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", str(GUARD_PROGRAM)],
        cwd=Path(sys.executable).anchor,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **own_session(),
    )


def own_session() -> dict[str, Any]:
    """Popen arguments that keep the terminal's Ctrl-C and hang-up away from a process."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
        return {"creationflags": flags}
    return {"start_new_session": True}
