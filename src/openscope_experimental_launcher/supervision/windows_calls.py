"""The calls to Windows that the guard's job and tree are made of. Standard library only.

Source of the structures and numbers: Microsoft's documentation of `winnt.h`, `winbase.h`,
`psapi.h` and `winternl.h`. What is made by `_checked` raises an OSError where Windows reports a
failure; of the others the caller looks at the result.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import wintypes
from typing import Any

if sys.platform != "win32":
    raise ImportError("windows_calls is for Windows")


class BasicLimits(ctypes.Structure):
    _fields_ = (
        ("per_process_user_time", ctypes.c_int64),
        ("per_job_user_time", ctypes.c_int64),
        ("flags", wintypes.DWORD),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", wintypes.DWORD),
        ("affinity", ctypes.c_size_t),
        ("priority_class", wintypes.DWORD),
        ("scheduling_class", wintypes.DWORD),
    )


class ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("basic", BasicLimits),
        ("io", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class Accounting(ctypes.Structure):
    _fields_ = (
        ("user_time", ctypes.c_int64),  # 100 ns, of the ended processes too
        ("kernel_time", ctypes.c_int64),
        ("period_user_time", ctypes.c_int64),
        ("period_kernel_time", ctypes.c_int64),
        ("page_faults", wintypes.DWORD),
        ("total_processes", wintypes.DWORD),
        ("active_processes", wintypes.DWORD),
        ("terminated_processes", wintypes.DWORD),
    )


class ProcessMemory(ctypes.Structure):
    _fields_ = (
        ("size", wintypes.DWORD),
        ("page_faults", wintypes.DWORD),
        ("peak_working_set", ctypes.c_size_t),
        ("working_set", ctypes.c_size_t),
        ("quotas", ctypes.c_size_t * 4),
        ("pagefile", ctypes.c_size_t),
        ("peak_pagefile", ctypes.c_size_t),
    )


class SystemMemory(ctypes.Structure):
    _fields_ = (
        ("size", wintypes.DWORD),
        ("load_percent", wintypes.DWORD),
        ("total", ctypes.c_uint64),
        ("available", ctypes.c_uint64),
        ("others", ctypes.c_uint64 * 5),
    )


class TimeOfDay(ctypes.Structure):
    _fields_ = (
        ("boot_time", ctypes.c_int64),
        ("current_time", ctypes.c_int64),
        ("time_zone_bias", ctypes.c_int64),
        ("time_zone_id", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("boot_time_bias", ctypes.c_int64),
        ("sleep_time_bias", ctypes.c_int64),
    )


kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
ntdll = ctypes.WinDLL("ntdll")


def _function(name: str, result: Any, *arguments: Any) -> Any:
    function = getattr(kernel32, name)
    function.restype, function.argtypes = result, arguments
    return function


def _checked(name: str, result: Any, *arguments: Any) -> Any:
    """A function whose failure (0 or NULL) is raised as an OSError."""
    function = _function(name, result, *arguments)

    def check(value: Any, *_: Any) -> Any:
        if not value:
            raise ctypes.WinError(ctypes.get_last_error())
        return value

    function.errcheck = check
    return function


_HANDLE, _DWORD, _BOOL, _POINTER = (
    wintypes.HANDLE,
    wintypes.DWORD,
    wintypes.BOOL,
    ctypes.c_void_p,
)
close = _function("CloseHandle", _BOOL, _HANDLE)
create_job = _checked("CreateJobObjectW", _HANDLE, _POINTER, wintypes.LPCWSTR)
set_job = _checked("SetInformationJobObject", _BOOL, _HANDLE, ctypes.c_int, _POINTER, _DWORD)
query_job = _checked(
    "QueryInformationJobObject", _BOOL, _HANDLE, ctypes.c_int, _POINTER, _DWORD, _POINTER
)
assign = _checked("AssignProcessToJobObject", _BOOL, _HANDLE, _HANDLE)
terminate_job = _function("TerminateJobObject", _BOOL, _HANDLE, wintypes.UINT)
is_in_job = _function("IsProcessInJob", _BOOL, _HANDLE, _HANDLE, ctypes.POINTER(_BOOL))
open_process = _checked("OpenProcess", _HANDLE, _DWORD, _BOOL, _DWORD)
this_process = _function("GetCurrentProcess", _HANDLE)
duplicate = _checked(
    "DuplicateHandle", _BOOL, _HANDLE, _HANDLE, _HANDLE, _POINTER, _DWORD, _BOOL, _DWORD
)
wait_for = _function("WaitForSingleObject", _DWORD, _HANDLE, _DWORD)
get_exit_code = _checked("GetExitCodeProcess", _BOOL, _HANDLE, ctypes.POINTER(_DWORD))
get_times = _checked("GetProcessTimes", _BOOL, _HANDLE, *[ctypes.POINTER(wintypes.FILETIME)] * 4)
get_memory = _function("K32GetProcessMemoryInfo", _BOOL, _HANDLE, _POINTER, _DWORD)
get_system_memory = _checked("GlobalMemoryStatusEx", _BOOL, _POINTER)
console_event = _function("GenerateConsoleCtrlEvent", _BOOL, _DWORD, _DWORD)
set_shutdown_order = _function("SetProcessShutdownParameters", _BOOL, _DWORD, _DWORD)
create_file = _function(
    "CreateFileW", _HANDLE, wintypes.LPCWSTR, _DWORD, _DWORD, _POINTER, _DWORD, _DWORD, _HANDLE
)
