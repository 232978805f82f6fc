"""Sleeping until a signal (SIGCHLD among them) arrives. POSIX, standard library only."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from pathlib import Path

if sys.platform == "win32":
    raise ImportError("wakeup is for POSIX systems")


class Wakeup:
    """Makes every signal end a `wait`. One in a process: it owns the wake-up descriptor."""

    def __init__(self) -> None:
        self._read, write = os.pipe()
        for fd in (self._read, write):
            os.set_blocking(fd, False)
        # The handler does nothing: the wake-up byte is what ends the wait.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait(self, timeout_s: float) -> None:
        """Sleep until a signal arrives or the time is over."""
        ready, _, _ = select.select([self._read], [], [], max(timeout_s, 0.0))
        if ready:
            os.read(self._read, 4096)


def wake_on_change(folder: Path) -> bool:
    """Let whatever is written to a file in `folder` end a wait, for the life of this process.

    Returns:
        Whether this system and this file system tell of it (dnotify; see fcntl(2), F_NOTIFY).
    """
    if sys.platform != "linux":
        return False
    signal.signal(signal.SIGIO, lambda *_: None)
    fd = os.open(folder, os.O_RDONLY)  # closing it would end the notices
    try:
        fcntl.fcntl(fd, fcntl.F_NOTIFY, fcntl.DN_MODIFY | fcntl.DN_MULTISHOT)
    except OSError:
        os.close(fd)
        return False
    return True
