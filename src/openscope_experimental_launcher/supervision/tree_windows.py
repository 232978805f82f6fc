"""The acquisition's process tree on Windows: a job object. Standard library only.

The main process is put into the job before its first instruction, and whatever it starts is born
into the same job, which nothing can leave (breaking away is not allowed). The job ends everything
in it when its last handle is closed, so that the tree cannot outlive both guard and launcher.
Source of the numbers: Microsoft's documentation of `winnt.h` and `winbase.h`.
"""

from __future__ import annotations

import ctypes
import math
import msvcrt
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from ctypes import wintypes
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    raise ImportError("tree_windows is for Windows")

from openscope_experimental_launcher.supervision import windows_calls as calls

_KILL_LIMIT_S = 10.0
_KILL_LOOK_S = 0.005
_STRAY_LOOK_S = 0.02
_KILLED_EXIT_CODE = 1  # as Popen.kill and taskkill have it

_MEMORY_BOUND = 2
"""Times the limit of memory at which the job refuses more. It counts what is reserved, which is
more than what is used."""

_CREATE_SUSPENDED = 0x4
_LIMIT_ACTIVE_PROCESS = 0x8
_LIMIT_JOB_MEMORY = 0x200
_LIMIT_KILL_ON_JOB_CLOSE = 0x2000
_JOB_ACCOUNTING, _JOB_PROCESS_LIST, _JOB_LIMITS = 1, 3, 9
_ERROR_MORE_DATA = 234

_PROCESS_VM_READ = 0x10
_PROCESS_DUP_HANDLE = 0x40
_PROCESS_QUERY = 0x400
_SYNCHRONIZE = 0x100000
_READ_PROCESS = _PROCESS_QUERY | _PROCESS_VM_READ | _SYNCHRONIZE

_DUPLICATE_SAME_ACCESS = 0x2

_CTRL_BREAK_EVENT = 1
_WM_CLOSE = 0x10
_GW_OWNER = 4

_FILE_APPEND_DATA = 0x4
_FILE_SHARE_READ, _FILE_SHARE_WRITE = 0x1, 0x2
_CREATE_NEW = 1
_FILE_FLAG_OPEN_REPARSE_POINT = 0x200000

_SYSTEM_TIME_OF_DAY = 3
_ENDED_LAST = 0x100  # the lowest level for programs; the usual one is 0x280


def create_job() -> int:
    """A new unnamed job object that ends everything in it when its last handle is closed.

    Unnamed, so that no other program can open it.

    Returns:
        Its handle, which is not inherited by child processes.
    """
    job: int = calls.create_job(None, None)
    _limit_job(job)
    return job


def _limit_job(job: int, processes: int | None = None, memory_mb: float | None = None) -> None:
    limits = calls.ExtendedLimits()
    limits.basic.flags = _LIMIT_KILL_ON_JOB_CLOSE
    if processes is not None:
        limits.basic.flags |= _LIMIT_ACTIVE_PROCESS
        limits.basic.active_processes = processes
    if memory_mb is not None:
        limits.basic.flags |= _LIMIT_JOB_MEMORY
        limits.job_memory = int(memory_mb * 1e6)
    calls.set_job(job, _JOB_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits))


def join_job(launchers: Sequence[int] | None) -> int:
    """A handle of the guard's own for the job it shares with its launcher.

    Args:
        launchers: pid of the launcher and its handle of the job; None for a job that is the
            guard's alone, as it also is when the launcher is gone.
    """
    return _share_job(*launchers) if launchers else create_job()


def end_last() -> None:
    """At log-off, let the tree go before this process, so that it can record its end."""
    calls.set_shutdown_order(_ENDED_LAST, 0)


def _share_job(launcher: int, handle: int) -> int:
    own = wintypes.HANDLE()
    try:
        process = calls.open_process(_PROCESS_DUP_HANDLE, False, launcher)
    except OSError:
        return create_job()
    try:
        calls.duplicate(
            process,
            handle,
            calls.this_process(),
            ctypes.byref(own),
            0,
            False,
            _DUPLICATE_SAME_ACCESS,
        )
    finally:
        calls.close(process)
    return int(own.value or 0)


def start_in_job(job: int, arguments: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:
    """Start a process that is in a job before its first instruction.

    Args:
        job: the job's handle.
        arguments: the program and its arguments.
        settings: what `subprocess.Popen` is given besides.
    """
    settings["creationflags"] = settings.get("creationflags", 0) | _CREATE_SUSPENDED
    process = subprocess.Popen(arguments, **settings)
    handle = int(process._handle)  # type: ignore[attr-defined, unused-ignore]
    try:
        calls.assign(job, handle)
        _raise_for(calls.ntdll.NtResumeProcess(wintypes.HANDLE(handle)), "to start the process")
    except OSError:
        process.kill()
        raise
    return process


def open_output(path: Path) -> int:
    """A new file for the child's output: whoever writes to it appends, whatever else it tries.

    Python's own `O_APPEND` is a habit of the C runtime that the child would not share; the right
    to append and nothing else is kept by the system.

    Raises:
        FileExistsError: there is something of this name, be it a dangling link.
    """
    handle = calls.create_file(
        str(path),
        _FILE_APPEND_DATA | _SYNCHRONIZE,
        _FILE_SHARE_READ | _FILE_SHARE_WRITE,
        None,
        _CREATE_NEW,
        _FILE_FLAG_OPEN_REPARSE_POINT,
        None,
    )
    if handle == ctypes.c_void_p(-1).value:
        raise ctypes.WinError(ctypes.get_last_error())
    return msvcrt.open_osfhandle(handle, os.O_APPEND)


class Tree:
    """The main process and everything it started.

    After `spawn`: `pid`, `start_time` (its creation, in 100 ns since 1601, which together with the
    pid is its identity), and once the main process has ended `status`, its exit code.

    Args:
        job: handle of the job object that holds it.
        pid: the main process that another process started in the job, to be watched by this one
            too; 0 for none yet.

    Raises:
        OSError: there is no process `pid`.
    """

    def __init__(self, job: int, pid: int = 0) -> None:
        self._job = job
        self.pid = pid
        self._process = calls.open_process(_READ_PROCESS, False, pid) if pid else 0
        self.start_time = _created(self._process) if pid else ""
        self.status: int | None = None
        self._members: dict[int, int] = {}
        self._earlier_cpu_s = self._cpu_s()

    @staticmethod
    def boot_id() -> str:
        """What tells this boot of the machine from every other: the time of the boot, as it was
        taken then; the system keeps count of later changes of its clock, which are taken out."""
        now = calls.TimeOfDay()
        status = calls.ntdll.NtQuerySystemInformation(
            _SYSTEM_TIME_OF_DAY, ctypes.byref(now), ctypes.sizeof(now), None
        )
        _raise_for(status, "the time of the boot")
        return str(now.boot_time - now.boot_time_bias)

    def end_with_guard(self) -> None:
        """The job does so anyway, unless the launcher holds it too."""

    def hold(self, run: str, processes: int | None, memory_mb: float | None) -> None:
        """Let the job bound what is in it. Beyond the bound a new process or an allocation fails,
        in the middle of an experiment and without a word: so the bounds lie far above the limits
        that are watched, and are met only by a runaway that is faster than the watch.

        Args:
            run: not needed here.
            processes: as many as there may be; None for no bound.
            memory_mb: the limit of memory that is watched; None for no bound.
        """
        most_mb = None if memory_mb is None else _MEMORY_BOUND * memory_mb
        _limit_job(self._job, processes, most_mb)

    def let_go(self) -> None:
        """Linux only: the job goes with its handles."""

    def adopt(self, pid: int, start_time: str, run: str) -> bool:
        """Take the main process of a guard that was killed for this one's own. Whether it is there,
        or its exit, which is known as long as somebody, as its launcher, holds a handle of it."""
        self.pid, self.start_time = pid, start_time
        with suppress(OSError):
            process = calls.open_process(_READ_PROCESS, False, pid)
            if _created(process) == start_time:
                self._process = process
                return True
            calls.close(process)
        return False

    def spawn(self, arguments: Sequence[str], folder: str, stdout: int, stderr: int) -> None:
        """Start the main process inside the job, with output straight to files.

        It gets no console flags: a console program shares the guard's hidden console, which
        nobody can close or press Ctrl-C in, and a program with windows shows them as ever. Its
        process group is its own, so that a Ctrl-Break meant for it reaches nothing else.
        """
        process = start_in_job(
            self._job,
            arguments,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
        self._process = calls.open_process(_READ_PROCESS, False, process.pid)
        process.returncode = 0  # this class waits for it
        self.pid = process.pid
        self.start_time = _created(self._process)

    def wait(self, timeout_s: float) -> None:
        """Sleep until the main process ends or the time is over; once it has ended, briefly."""
        if self.status is None and self._process:
            calls.wait_for(self._process, max(math.ceil(timeout_s * 1000), 0))
        else:
            time.sleep(max(min(timeout_s, _STRAY_LOOK_S), 0.0))

    def reap(self) -> bool:
        """Collect the main process if it has ended. Returns whether anything is still alive."""
        if self.status is None and self._process and calls.wait_for(self._process, 0) == 0:
            code = wintypes.DWORD()
            calls.get_exit_code(self._process, ctypes.byref(code))
            self.status = code.value
        return bool(self._accounting().active_processes)

    def exit_code(self) -> tuple[int | None, int | None]:
        """Exit code of the main process; the second, its signal, is always None here."""
        return self.status, None

    def measure(self) -> tuple[float, float, int, bool]:
        """Memory in MB (working sets), processor seconds so far, number of processes, and whether
        the main process is stopped, which Windows cannot say cheaply: always False."""
        self._refresh()
        memory = sum(map(_working_set, self._members.values()))
        active: int = self._accounting().active_processes
        return memory / 1e6, self._cpu_s() - self._earlier_cpu_s, active, False

    def ask(self) -> None:
        """Ask the main process to end: Ctrl-Break for a console program, and where there is no
        console to send it through, WM_CLOSE to the tree's windows."""
        if not calls.console_event(_CTRL_BREAK_EVENT, self.pid):
            self.close_windows()

    def terminate(self) -> None:
        """Does nothing: between asking and killing Windows has nothing to offer."""

    def close_windows(self) -> None:
        """Ask the tree's windows to close, as a click on their close button does."""
        user32 = ctypes.WinDLL("user32")
        user32.GetWindow.restype = wintypes.HWND
        for window, pid in _top_windows(user32):
            handle = wintypes.HWND(window)
            owned = user32.GetWindow(handle, _GW_OWNER)
            if user32.IsWindowVisible(handle) and not owned and self._holds(pid):
                user32.PostMessageW(handle, _WM_CLOSE, wintypes.WPARAM(0), wintypes.LPARAM(0))

    def kill(self) -> list[int]:
        """End everything in the job and wait until nothing is left.

        Returns:
            Pids that outlived ten seconds of it (stuck in a driver); normally none.
        """
        deadline = time.monotonic() + _KILL_LIMIT_S
        while self.reap():
            calls.terminate_job(self._job, _KILLED_EXIT_CODE)
            if time.monotonic() > deadline:
                return self.pids()
            time.sleep(_KILL_LOOK_S)
        return []

    def _accounting(self) -> calls.Accounting:
        accounting = calls.Accounting()
        size = ctypes.sizeof(accounting)
        calls.query_job(self._job, _JOB_ACCOUNTING, ctypes.byref(accounting), size, None)
        return accounting

    def _cpu_s(self) -> float:
        used = self._accounting()
        return float(used.user_time + used.kernel_time) / 1e7

    def pids(self) -> list[int]:
        """Process ids of everything in the job."""
        room = int(self._accounting().active_processes) + 16
        while True:
            listed = (ctypes.c_size_t * (room + 1))()  # two counts, in the place of one pid
            try:
                size = ctypes.sizeof(listed)
                calls.query_job(self._job, _JOB_PROCESS_LIST, ctypes.byref(listed), size, None)
            except OSError as error:
                if error.winerror != _ERROR_MORE_DATA:
                    raise
                room *= 2
                continue
            return list(listed[1 : 1 + (listed[0] >> 32)])

    def _refresh(self) -> None:
        """Hold a handle of every process of the tree: while it is open, the pid stays theirs."""
        pids = set(self.pids())
        for pid in self._members.keys() - pids:
            calls.close(self._members.pop(pid))
        for pid in pids - self._members.keys():
            handle = self._open_member(pid)
            if handle is not None:
                self._members[pid] = handle

    def _open_member(self, pid: int) -> int | None:
        """A handle of a process of this job; None when the pid belongs to another by now."""
        try:
            handle: int = calls.open_process(_READ_PROCESS, False, pid)
        except OSError:
            return None
        inside = wintypes.BOOL()
        if calls.is_in_job(handle, self._job, ctypes.byref(inside)) and inside:
            return handle
        calls.close(handle)
        return None

    def _holds(self, pid: int) -> bool:
        handle = self._open_member(pid)
        if handle is None:
            return False
        calls.close(handle)
        return True


def _raise_for(status: int, what: str) -> None:
    if status < 0:
        raise OSError(f"Windows refused {what} (status 0x{status & 0xFFFFFFFF:08X})")


def _created(process: int) -> str:
    created, *others = (wintypes.FILETIME() for _ in range(4))
    calls.get_times(process, ctypes.byref(created), *map(ctypes.byref, others))
    return str((created.dwHighDateTime << 32) | created.dwLowDateTime)


def _working_set(process: int) -> int:
    memory = calls.ProcessMemory(size=ctypes.sizeof(calls.ProcessMemory))
    calls.get_memory(process, ctypes.byref(memory), memory.size)
    return int(memory.working_set)


def _top_windows(user32: Any) -> list[tuple[int, int]]:
    """Handles of all top-level windows, each with the pid of its process."""
    found: list[tuple[int, int]] = []

    def note(window: int, _: int) -> bool:
        pid = wintypes.DWORD()
        user32.GetWindowThreadProcessId(wintypes.HWND(window), ctypes.byref(pid))
        found.append((window, pid.value))
        return True

    callback = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.HWND, wintypes.LPARAM)
    user32.EnumWindows(callback(note), wintypes.LPARAM(0))
    return found


def system_memory_percent() -> float:
    """System memory in use, percent, counted as psutil does (total less available)."""
    memory = calls.SystemMemory(size=ctypes.sizeof(calls.SystemMemory))
    calls.get_system_memory(ctypes.byref(memory))
    return 100.0 * float(memory.total - memory.available) / float(memory.total)
