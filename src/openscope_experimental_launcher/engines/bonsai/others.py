"""Other Bonsai programs on this computer, which may hold a camera or a port."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import PureWindowsPath

PROGRAM = "bonsai.exe"

_LONGEST = 4096


def running_bonsai() -> list[int]:
    """Process ids of the Bonsai programs that run now."""
    return [pid for pid, command in _processes() if _is_bonsai(command)]


def _is_bonsai(command: list[str]) -> bool:
    """Whether a command line is that of Bonsai, also where mono runs it."""
    names = [PureWindowsPath(part).name.lower() for part in command[:2]]
    if names and names[0].startswith("mono"):
        names = names[1:]
    return names[:1] == [PROGRAM]


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Number and beginning of the command line of each process that may be Bonsai."""
    if sys.platform == "linux":
        # Without psutil, and looking closely at few of them: this is on the way to a start.
        with os.scandir("/proc") as entries:
            pids = [entry.name for entry in entries if entry.name.isdigit()]
        for pid in pids:
            if PROGRAM in (command := _command_line(pid)).lower():
                yield int(pid), command.split("\0")
        return
    import psutil

    for process in psutil.process_iter():
        try:
            # Of another user's process Windows tells the name, and not the command line.
            command = [process.name()] if sys.platform == "win32" else process.cmdline()
        except (psutil.Error, OSError):
            continue
        yield process.pid, command


def _command_line(pid: str) -> str:
    try:
        file = os.open(f"/proc/{pid}/cmdline", os.O_RDONLY)
    except OSError:
        return ""  # it has ended
    try:
        return os.read(file, _LONGEST).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(file)
