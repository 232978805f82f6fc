"""Keeping the machine from going to sleep while an acquisition runs. Standard library only.

On Windows a thread says so itself, and the guard does, for as long as it lives. Elsewhere it takes
a helper program (systemd's or Apple's), which must not be a child of the guard, since the guard
counts all its descendants as the acquisition's: the launcher starts it, and it ends by itself with
the guard, whatever becomes of the launcher. A machine without the helper may sleep.
"""

from __future__ import annotations

import os
import subprocess
import sys

_ES_SYSTEM_REQUIRED, _ES_CONTINUOUS = 0x1, 0x80000000


def stay_awake() -> None:
    """Keep Windows from sleeping until the calling thread ends; elsewhere nothing.

    The screen may go dark, and a person can still choose sleep from the menu.
    """
    if sys.platform == "win32":
        import ctypes

        ctypes.WinDLL("kernel32").SetThreadExecutionState(_ES_CONTINUOUS | _ES_SYSTEM_REQUIRED)


def keep_awake_for(pid: int) -> subprocess.Popen[bytes] | None:
    """Keep this machine from sleeping until the process `pid` has ended.

    Returns:
        The helper, to be waited for after the process has ended, which it notices within a
        second; None where there is none, and on Windows, where `stay_awake` serves.
    """
    import shutil  # not for the guard, which imports this module too

    command = _helper(pid)
    program = shutil.which(command[0]) if command else None
    if program is None:
        return None
    return subprocess.Popen(
        [program, *command[1:]],
        cwd=os.sep,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _helper(pid: int) -> list[str]:
    if sys.platform == "darwin":
        return ["caffeinate", "-i", "-w", str(pid)]
    if sys.platform == "win32":
        return []
    return [
        "systemd-inhibit",
        "--what=sleep:idle",
        "--who=OpenScope",
        "--why=An experimental session is running",
        "tail",
        f"--pid={pid}",
        "--follow",
        os.devnull,
    ]
