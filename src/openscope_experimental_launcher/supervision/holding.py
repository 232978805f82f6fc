"""A bound on the number of an acquisition's processes that Linux itself keeps. Standard library.

Watching sees a program that starts processes without end only some tenths of a second later, and a
machine can be out of processes by then. So the user's own limit is lowered for the acquisition
(getrlimit(2), `RLIMIT_NPROC`), which costs nothing. It does not bind root, whose acquisitions are
put into a control group with a limit (cgroups(7), `pids.max`) instead. That takes the kernel some
10 ms, and is done when the acquisition runs already. Both count threads too.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    raise ImportError("holding is for POSIX systems")

_MOUNT = Path("/sys/fs/cgroup")


def lower_limit(processes: int) -> None:
    """In the main process, before its first instruction: let this user have only so many processes
    more than the whole machine has now."""
    most = _tasks_of_the_machine() + processes
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if soft == resource.RLIM_INFINITY or most < soft:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NPROC, (most, hard))


def _tasks_of_the_machine() -> int:
    """Processes and threads of all users, which are at least as many as this one's."""
    return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])


class ControlGroup:
    """The control group of one run.

    Args:
        run: the run's name, by which the group is found again.
    """

    def __init__(self, run: str) -> None:
        self._name = f"openscope-{run}"
        self._members = -1

    def make(self, processes: int) -> None:
        """Make it, where that is possible.

        Args:
            processes: as many as there may be in it, threads counted.
        """
        for group in self._places():
            with suppress(OSError):
                group.mkdir()
                try:
                    (group / "pids.max").write_text(str(processes))
                    self._members = os.open(group / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                except OSError:  # one for other purposes
                    group.rmdir()
                    raise
                return

    def take_in(self, pid: int) -> None:
        """Put a process into it, if there is one; what it starts from now on is in it too."""
        if self._members >= 0:
            with suppress(OSError):  # it has ended
                os.write(self._members, str(pid).encode())

    def remove(self) -> None:
        """Remove it, when nothing in it lives any more."""
        for group in self._places():
            with suppress(OSError):
                group.rmdir()

    def _places(self) -> Iterator[Path]:
        return (parent / self._name for parent in _parents() if (parent / "cgroup.procs").is_file())


def _parents() -> Iterator[Path]:
    """Control groups in which this process may be able to make another one for its child."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            inside = path.lstrip("/")
            if controllers == "pids":  # version 1
                yield _MOUNT / "pids" / inside
            elif not controllers:  # version 2: only groups without processes pass a limit on
                yield (_MOUNT / inside).parent if inside else _MOUNT
