"""The acquisition's process tree on Linux. Standard library only.

The guard is a child subreaper (prctl(2)): whatever a descendant does to get away (double fork, own
session, wiped environment), it becomes the guard's child when its parent ends, so walking down
from the guard finds everything, and `waitpid` with no child left proves that nothing is alive.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import suppress
from functools import partial

from openscope_experimental_launcher.supervision.holding import ControlGroup, lower_limit
from openscope_experimental_launcher.supervision.wakeup import Wakeup

if sys.platform == "win32":
    raise ImportError("tree_linux is for Linux")

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_THREADS_EVERY_S = 1.0
_KILL_LIMIT_S = 10.0
_FREEZE_LIMIT_S = 10.0
_GATHER_LIMIT_S = 1.0
_OTHER_FILES = 64
"""Files that the guard opens beside two for each process of the tree."""

BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


def become_subreaper() -> None:
    """Let every descendant that loses its parent become this process's child."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


class _Member:
    """One process, through open handles on its files in /proc: a handle stays bound to the
    process it was opened for, so a reused pid is never mistaken for it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._children = -1
        try:
            self._children = os.open(f"/proc/{pid}/task/{pid}/children", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.close()
            raise

    def stat(self) -> list[bytes] | None:
        """Fields of /proc/PID/stat after the name, or None when the process is gone."""
        try:
            return os.pread(self._stat, 1024, 0).rpartition(b") ")[2].split()
        except OSError:
            return None

    def children(self, *, of_all_threads: bool) -> list[int]:
        """Pids of the children the main thread made, or those of every thread."""
        try:
            listed = os.pread(self._children, 1 << 16, 0)
            if of_all_threads:
                for thread in os.listdir(f"/proc/{self.pid}/task"):  # noqa: PTH208
                    if int(thread) != self.pid:
                        listed += b" " + _read(f"/proc/{self.pid}/task/{thread}/children")
        except OSError:
            return []
        return [int(pid) for pid in listed.split()]

    def close(self) -> None:
        os.close(self._stat)
        if self._children >= 0:
            os.close(self._children)


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:  # noqa: PTH123 - a hot path of short reads
        return stream.read()


class Tree:
    """The main process and everything it started.

    After `spawn`: `pid`, `start_time` (its start in clock ticks after boot, its identity together
    with the boot id), and once the main process has ended `status`, its wait status.
    """

    def __init__(self) -> None:
        become_subreaper()
        self.pid = 0
        self.start_time = ""
        self.status: int | None = None
        self._guard = _Member(os.getpid())
        self._members: dict[int, _Member] = {}
        self._most_members = (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _OTHER_FILES) // 2
        self._threads_checked = 0.0
        self._in_child: list[Callable[[], None]] = []
        self._group: ControlGroup | None = None
        self._wakeup = Wakeup()

    @staticmethod
    def boot_id() -> str:
        """What tells this boot of the machine from every other."""
        return _read(BOOT_ID_FILE).decode().strip()

    def end_with_guard(self) -> None:
        """Let the system ask the main process to end (SIGTERM) when whoever guards it dies."""
        self._in_child.append(_end_with_parent)

    def hold(self, run: str, processes: int | None, memory_mb: float | None) -> None:
        """Let the system bound what is spawned.

        Args:
            run: the run's name.
            processes: as many as there may be; None for no bound.
            memory_mb: not bounded here, where the system would kill at random instead.
        """
        if processes is None:
            return
        if os.geteuid() == 0:
            self._group = ControlGroup(run)
            self._group.make(processes)
        else:
            self._in_child.append(partial(lower_limit, processes))

    def gather(self) -> None:
        """Bring what was spawned into its bound, where it was not born in it."""
        if self._group is None:
            return
        group = self._group
        group.take_in(self.pid)
        self._until_none_is_new(lambda pid, _: group.take_in(pid), _GATHER_LIMIT_S, {self.pid})

    def let_go(self) -> None:
        """Remove the bound, when nothing is alive any more."""
        if self._group is not None:
            self._group.remove()

    def adopt(self, pid: int, start_time: str, run: str) -> bool:
        """Take the main process of a guard that was killed for this one's own. Whether it is there:
        that guard may have seen its end."""
        self.pid, self.start_time, self._group = pid, start_time, ControlGroup(run)
        return _is_child(pid)

    def spawn(self, arguments: Sequence[str], folder: str, stdout: int, stderr: int) -> None:
        """Start the main process in a process group of its own, with output straight to files."""
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
            preexec_fn=self._prepare_child if self._in_child else None,
        )
        # This class reaps it; Popen must neither wait for it nor warn about it.
        process.returncode = 0
        self.pid = process.pid
        fields = _read(f"/proc/{self.pid}/stat").rpartition(b") ")[2].split()
        self.start_time = fields[19].decode()

    def _prepare_child(self) -> None:
        for prepare in self._in_child:
            prepare()

    def wait(self, timeout_s: float) -> None:
        """Sleep until a process of the tree ends, a signal arrives, or the time is over."""
        self._wakeup.wait(timeout_s)

    def reap(self) -> bool:
        """Collect every process that has ended. Returns whether anything is still alive."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.pid and self.status is None:
                self.status = status

    def exit_code(self) -> tuple[int | None, int | None]:
        """Exit code and signal of the main process; one of them is None."""
        if self.status is None:
            return None, None
        code = os.waitstatus_to_exitcode(self.status)
        return (code, None) if code >= 0 else (None, -code)

    def measure(self) -> tuple[float, float, int, bool]:
        """Memory in MB, processor seconds so far, number of processes, and whether the main
        process is stopped (SIGSTOP, a debugger)."""
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        ticks, pages, frozen = 0, 0, False
        present = self._present()
        for pid, fields in present.items():
            ticks += sum(map(int, fields[11:15]))
            pages += int(fields[21])
            frozen = frozen or (pid == self.pid and fields[0] in (b"T", b"t"))
        cpu_s = usage.ru_utime + usage.ru_stime + ticks / _TICK
        return pages * _PAGE / 1e6, cpu_s, len(present), frozen

    def ask(self) -> None:
        """Ask the main process to end: SIGTERM, once, and SIGCONT so that a stopped one can."""
        if self.status is None:  # until it is collected, its pid is nobody else's
            _signal(self.pid, signal.SIGTERM)
        self._signal_all(signal.SIGCONT)

    def terminate(self) -> None:
        """Ask everything that is left."""
        self._signal_all(signal.SIGTERM, signal.SIGCONT)

    def close_windows(self) -> None:
        """Windows only; elsewhere the engine never chooses it."""

    def kill(self) -> list[int]:
        """Freeze the whole tree, so that nothing can fork away, and kill it until none is left.

        Thousands of processes leave the guard little of the processor: it goes on as long as they
        become fewer.

        Returns:
            Pids that outlived ten seconds of it (stuck in the kernel); normally none.
        """
        fewest, give_up_at = math.inf, math.inf
        while self.reap():
            self._until_none_is_new(self._freeze, _FREEZE_LIMIT_S)
            left = self._signal_all(signal.SIGKILL)
            if left < fewest:
                fewest, give_up_at = left, time.monotonic() + _KILL_LIMIT_S
            elif time.monotonic() > give_up_at:
                return [pid for pid, _ in self._walk()]
            self.wait(0.01)
        return []

    def _freeze(self, pid: int, parent: int) -> None:
        self._signal_descendant(pid, parent, signal.SIGSTOP)

    def _until_none_is_new(
        self, act: Callable[[int, int], None], limit_s: float, before: Set[int] = frozenset()
    ) -> None:
        """Do something to every descendant; what starts others meanwhile is found in another round.

        Those that have ended are collected before each round. What forks and ends at once, over
        and over, would otherwise fill the machine with them while it is being looked for.

        Args:
            act: called with the pid of each and its parent's.
            limit_s: seconds after which no further round is begun.
            before: pids to which it was done already.
        """
        deadline = time.monotonic() + limit_s
        while self.reap() and time.monotonic() < deadline:
            found = set()
            for pid, parent in self._walk():
                found.add(pid)
                if pid not in before:
                    act(pid, parent)
            if found <= before:
                return
            before = found

    def _signal_all(self, *numbers: int) -> int:
        """Send signals to all descendants. Returns how many there are."""
        count = 0
        for pid, parent in self._walk():
            self._signal_descendant(pid, parent, *numbers)
            count += 1
        return count

    def _signal_descendant(self, pid: int, parent: int, *numbers: int) -> None:
        """Send signals to a process of the tree, and to nobody who was given its pid since.

        The pid of a child of the guard is its own until the guard collects it. For all others, a
        descriptor stays bound to its process, whatever becomes of the pid; and whose process it is,
        its parent tells.
        """
        if parent == self._guard.pid:
            if _is_child(pid):
                for number in numbers:
                    _signal(pid, number)
            return
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except OSError:  # not in this kernel
            for number in numbers:
                _signal(pid, number)
            return
        try:
            fields = _stat_now(pid)
            if fields is not None and int(fields[1]) in (parent, self._guard.pid):
                for number in numbers:
                    _signal(process, number, send=signal.pidfd_send_signal)
        finally:
            os.close(process)

    def _walk(self) -> Iterator[tuple[int, int]]:
        """Pids of all descendants with their parents', from the kernel's present lists."""
        pending, seen = [self._guard.pid], set()
        while pending:
            pid = pending.pop()
            for child in _children_now(pid):
                if child not in seen:
                    seen.add(child)
                    pending.append(child)
                    yield child, pid

    def _present(self) -> dict[int, list[bytes]]:
        """What `stat` says of every living member, through cached handles where possible."""
        now = time.monotonic()
        of_all_threads = now - self._threads_checked >= _THREADS_EVERY_S
        if of_all_threads:
            self._threads_checked = now
        pending = self._guard.children(of_all_threads=of_all_threads)
        present: dict[int, list[bytes]] = {}
        while pending:
            pid = pending.pop()
            fields, children = self._look_at(pid, of_all_threads=of_all_threads)
            if fields is not None and pid not in present:
                present[pid] = fields
                pending += children
        for pid in self._members.keys() - present.keys():
            # What another thread started is reached only by a look at all threads.
            fields = None if of_all_threads else self._members[pid].stat()
            if fields is None:
                self._forget(pid)
            else:
                present[pid] = fields
        return present

    def _look_at(self, pid: int, *, of_all_threads: bool) -> tuple[list[bytes] | None, list[int]]:
        """What `stat` says of a process, and its children."""
        member = self._members.get(pid)
        fields = member.stat() if member is not None else None
        if fields is None:
            member = self._remember(pid)
            if member is None:
                return _stat_now(pid), _children_now(pid)
            fields = member.stat()
        assert member is not None  # noqa: S101 - it gave the fields
        return fields, member.children(of_all_threads=of_all_threads)

    def _remember(self, pid: int) -> _Member | None:
        """Hold handles of a process; None when it is gone, or there are too many already."""
        self._forget(pid)
        if len(self._members) >= self._most_members:
            return None
        try:
            member = _Member(pid)
        except OSError:
            return None
        self._members[pid] = member
        return member

    def _forget(self, pid: int) -> None:
        member = self._members.pop(pid, None)
        if member is not None:
            member.close()


def _is_child(pid: int) -> bool:
    """Whether a process is a child of this one that was not collected yet."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _children_now(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
        listed = b" ".join(_read(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def _stat_now(pid: int) -> list[bytes] | None:
    """Fields of /proc/PID/stat after the name; None when the process is gone."""
    try:
        return _read(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
    except OSError:
        return None


def _signal(process: int, number: int, send: Callable[[int, int], None] = os.kill) -> None:
    # It may have ended a moment ago, or become another user, whom the kill's report names.
    with suppress(ProcessLookupError, PermissionError):
        send(process, number)


def system_memory_percent() -> float:
    """System memory in use, percent, counted as psutil does (total less available)."""
    values = {}
    with open("/proc/meminfo", "rb") as stream:  # noqa: PTH123
        for line in stream:
            name, _, rest = line.partition(b":")
            values[name] = rest
            if name == b"MemAvailable":
                break
    total, available = (int(values[n].split()[0]) for n in (b"MemTotal", b"MemAvailable"))
    return 100.0 * (total - available) / total
