"""Other Bonsai programs on this computer, which may hold a camera or a port."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

PROGRAM = "bonsai.exe"


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
    """Number and beginning of the command line of each process that may be looked at."""
    if sys.platform == "linux":
        # A millisecond, where psutil takes thirty, import included: this is on the way to a start.
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                yield int(entry.name), command.decode("utf-8", "replace").split("\0")
        return
    import psutil

    for process in psutil.process_iter():
        try:
            # Of another user's process Windows tells the name, and not the command line.
            command = [process.name()] if sys.platform == "win32" else process.cmdline()
        except (psutil.Error, OSError):
            continue
        yield process.pid, command
