"""Sleeping until a signal (SIGCHLD among them) arrives. POSIX, standard library only."""

from __future__ import annotations

import os
import select
import signal
import sys

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
