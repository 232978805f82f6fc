"""A bound on the number of an acquisition's processes that Linux itself keeps. Standard library.

Watching sees a program that starts processes without end only some tenths of a second later, and a
machine can be out of processes by then. Where the guard may make a control group (as root, or in a
user's own systemd session), the acquisition lives in one with a limit (cgroups(7), `pids.max`).
Elsewhere the user's own limit is lowered for it (getrlimit(2), `RLIMIT_NPROC`). That one counts
everything the user runs and does not bind root. Both count threads too.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    raise ImportError("holding is for POSIX systems")

_MOUNT = Path("/sys/fs/cgroup")


class Hold:
    """The bound of one run.

    Args:
        run: the run's name, by which its control group is found again.
    """

    def __init__(self, run: str) -> None:
        self._name = f"openscope-{run}"

    def make(self, processes: int) -> Callable[[], None]:
        """Make the bound. Returns what the main process must call before its first instruction.

        Args:
            processes: as many as there may be, threads counted.
        """
        for group in self._groups():
            with suppress(OSError):
                group.mkdir()
                try:
                    (group / "pids.max").write_text(str(processes))
                    members = os.open(group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                except OSError:  # one for other purposes
                    group.rmdir()
                    raise
                return lambda: _join(members)
        most = _tasks_of_the_machine() + processes
        return lambda: _lower_limit(most)

    def remove(self) -> None:
        """Remove what `make` made, when nothing of the run lives any more."""
        for group in self._groups():
            with suppress(OSError):
                group.rmdir()

    def _groups(self) -> Iterator[Path]:
        return (parent / self._name for parent in _parents() if (parent / "cgroup.procs").is_file())


def _parents() -> Iterator[Path]:
    """Control groups in which this process may be able to make another one for its child."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if controllers == "pids":  # version 1
            yield _MOUNT / "pids" / inside
        elif not controllers:  # version 2, where only groups without processes pass a limit on
            yield (_MOUNT / inside).parent if inside else _MOUNT


def _tasks_of_the_machine() -> int:
    """Processes and threads of all users, which are at least as many as this one's."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    return 0


def _join(members: int) -> None:
    with suppress(OSError):
        os.write(members, b"0")


def _lower_limit(most: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft == resource.RLIM_INFINITY or most < soft:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NPROC, (most, hard))
