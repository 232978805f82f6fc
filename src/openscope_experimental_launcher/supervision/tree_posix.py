"""The acquisition's process tree on macOS and other POSIX systems, through `ps`. UNTESTED there.

Without a child subreaper a process that leaves both its parent and its process group between two
looks can get away; once seen, it is followed by pid and start time. Standard library only.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from openscope_experimental_launcher.supervision.wakeup import Wakeup

if sys.platform == "win32":
    raise ImportError("tree_posix is for POSIX systems")

_KILL_LIMIT_S = 10.0


class _Process(NamedTuple):
    pid: int
    parent: int
    group: int
    memory_mb: float
    cpu_s: float
    state: str
    started: str


def _processes() -> dict[int, _Process]:
    columns = "pid=,ppid=,pgid=,rss=,time=,state=,lstart="
    listed = subprocess.run(
        ["ps", "-A", "-o", columns], capture_output=True, text=True, check=True, timeout=10
    )
    rows = (line.split(None, 6) for line in listed.stdout.splitlines())
    found = [
        _Process(int(r[0]), int(r[1]), int(r[2]), int(r[3]) / 1e3, _seconds(r[4]), r[5], r[6])
        for r in rows
    ]
    return {process.pid: process for process in found}


def _seconds(clock: str) -> float:
    """Seconds of ps's [[dd-]hh:]mm:ss[.ss]."""
    days, _, rest = clock.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds + 86400 * int(days or 0)


class Tree:
    """The main process and everything it started; the same face as on Linux."""

    def __init__(self) -> None:
        self.pid = 0
        self.start_time = ""
        self.status: int | None = None
        self._known: dict[int, str] = {}
        self._measured_at = float("-inf")
        self._measured = (0.0, 0.0, 0, False)
        self._wakeup = Wakeup()

    @staticmethod
    def boot_id() -> str:
        """What tells this boot of the machine from every other: the time of the boot."""
        said = subprocess.run(
            ["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False
        )
        return said.stdout.strip()

    def end_with_guard(self) -> None:
        """Linux only; elsewhere the system knows of no such wish."""

    def hold(self, run: str, processes: int | None, memory_mb: float | None) -> None:
        """Linux and Windows only; elsewhere the number of processes is only watched."""

    def let_go(self) -> None:
        """Linux only: there is nothing to remove here."""

    def adopt(self, pid: int, start_time: str, run: str) -> bool:
        """Linux and Windows only; here nothing goes on for a guard that was killed."""
        return False

    def spawn(self, arguments: Sequence[str], folder: str, stdout: int, stderr: int) -> None:
        """Start the main process in a process group of its own, with output straight to files."""
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
        )
        process.returncode = 0  # this class reaps it
        self.pid = process.pid
        self.start_time = _processes()[self.pid].started
        self._known[self.pid] = self.start_time

    def wait(self, timeout_s: float) -> None:
        """Sleep until a child ends, a signal arrives, or the time is over."""
        self._wakeup.wait(timeout_s)

    def reap(self) -> bool:
        """Collect the main process if it has ended. Returns whether anything is still alive."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid == 0:
                return True
            self.status = status
        return bool(self._members())

    def exit_code(self) -> tuple[int | None, int | None]:
        """Exit code and signal of the main process; one of them is None."""
        if self.status is None:
            return None, None
        code = os.waitstatus_to_exitcode(self.status)
        return (code, None) if code >= 0 else (None, -code)

    def measure(self) -> tuple[float, float, int, bool]:
        """Memory in MB, processor seconds, number of processes, whether the main one is stopped.
        `ps` is a process of its own, so one measurement serves a second."""
        if time.monotonic() - self._measured_at >= 1.0:
            self._measured_at = time.monotonic()
            members = self._members()
            frozen = any(m.pid == self.pid and m.state.startswith("T") for m in members)
            memory_mb = sum(member.memory_mb for member in members)
            cpu_s = sum(member.cpu_s for member in members)
            self._measured = (memory_mb, cpu_s, len(members), frozen)
        return self._measured

    def ask(self) -> None:
        """Ask the main process to end: SIGTERM, once, and SIGCONT so that a stopped one can."""
        if self.status is None:
            _signal(self.pid, signal.SIGTERM)
        self._signal_all(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask everything that is left."""
        self._signal_all(signal.SIGTERM, signal.SIGCONT)

    def close_windows(self) -> None:
        """Windows only; elsewhere the engine never chooses it."""

    def kill(self) -> list[int]:
        """Freeze and kill until none is left; returns the pids that outlived ten seconds of it."""
        deadline = time.monotonic() + _KILL_LIMIT_S
        while self.reap():
            self._signal_all(signal.SIGSTOP)
            self._signal_all(signal.SIGKILL)
            if time.monotonic() > deadline:
                return [member.pid for member in self._members()]
            self.wait(0.02)
        return []

    def _members(self) -> list[_Process]:
        processes = _processes()
        self._known = {
            pid: started
            for pid, started in self._known.items()
            if pid in processes and processes[pid].started == started
        }
        grew = True
        while grew:
            fresh = [
                process
                for process in processes.values()
                if process.pid not in self._known
                and (process.parent in self._known or process.group == self.pid)
            ]
            grew = bool(fresh)
            self._known.update((process.pid, process.started) for process in fresh)
        return [processes[pid] for pid in self._known if not processes[pid].state.startswith("Z")]

    def _signal_all(self, *numbers: int) -> None:
        for member in self._members():
            for number in numbers:
                _signal(member.pid, number)


def _signal(pid: int, number: int) -> None:
    # It may have ended a moment ago, or become another user.
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def system_memory_percent() -> float:
    """System memory in use, percent: pages that are neither free nor reclaimable (vm_stat)."""
    said = subprocess.run(["vm_stat"], capture_output=True, text=True, check=True, timeout=10)
    pages = {}
    for line in said.stdout.splitlines()[1:]:
        name, _, value = line.partition(":")
        if value.strip().rstrip(".").isdigit():
            pages[name.strip('"')] = int(value.strip().rstrip("."))
    free = sum(pages.get(f"Pages {name}", 0) for name in ("free", "inactive", "speculative"))
    used = sum(pages.get(f"Pages {name}", 0) for name in ("active", "wired down"))
    return 100.0 * used / max(free + used, 1)
