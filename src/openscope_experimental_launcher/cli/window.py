"""A console window that was opened by a double click, and would close with its message unread."""

from __future__ import annotations

import sys
from contextlib import suppress


def keep_open() -> None:
    """Wait for Enter when this program's window would vanish with it (Windows only)."""
    if sys.platform == "win32" and _alone_in_window() and sys.stdin.isatty():
        sys.stdout.write("\nPress Enter to close this window. ")
        sys.stdout.flush()
        with suppress(EOFError, KeyboardInterrupt):
            input()


def _alone_in_window() -> bool:
    if sys.platform != "win32":
        return False
    import ctypes

    # The console's processes: this one and the `openscope.exe` that started it, and no shell.
    room = (ctypes.c_uint32 * 8)()
    return 0 < int(ctypes.windll.kernel32.GetConsoleProcessList(room, len(room))) <= 2
