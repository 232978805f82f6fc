"""Locks between processes that the operating system releases when their holder dies.

Standard library only, because the guard uses them too (the `filelock` package would also cost
80 ms of imports on the way to the first stimulus). One lock is one file; who holds it is written
beside it, so that a refused person can be told.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

_LOOK_S = 0.005

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _FAIL_IMMEDIATELY, _EXCLUSIVE, _LOCK_VIOLATION = 0x1, 0x2, 33

    class _Overlapped(ctypes.Structure):
        _fields_ = (
            ("Internal", ctypes.c_void_p),
            ("InternalHigh", ctypes.c_void_p),
            ("Offset", wintypes.DWORD),
            ("OffsetHigh", wintypes.DWORD),
            ("hEvent", wintypes.HANDLE),
        )

    def _lock(fd: int, *, wait: bool, shared: bool) -> bool:
        flags = (0 if shared else _EXCLUSIVE) | (0 if wait else _FAIL_IMMEDIATELY)
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(fd))
        if _kernel32.LockFileEx(handle, flags, 0, 1, 0, ctypes.byref(_Overlapped())):
            return True
        error = ctypes.get_last_error()
        if error == _LOCK_VIOLATION:
            return False
        raise ctypes.WinError(error)

    def _unlock(fd: int) -> None:
        # Windows says of a lock that is only closed that it goes "in time": the next process to
        # ask at once could be refused.
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(fd))
        _kernel32.UnlockFileEx(handle, 0, 1, 0, ctypes.byref(_Overlapped()))

else:
    import fcntl

    def _lock(fd: int, *, wait: bool, shared: bool) -> bool:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(fd, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        """Closing is enough here."""


class ProcessLock:
    """An exclusive lock on a file, held until `release` or the death of this process.

    Args:
        path: the lock file; created (with its folder) when it is not there, never deleted, since
            deleting a lock file that another process has open would let two processes hold it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock now."""
        return self._fd is not None

    def acquire(
        self,
        *,
        wait: bool = False,
        patience_s: float = 0.0,
        holder: dict[str, Any] | None = None,
        shared: bool = False,
    ) -> bool:
        """Take the lock.

        Args:
            wait: block until it is free; otherwise return False when it is not.
            patience_s: seconds to try again: whoever only looks whether a lock is held holds it
                for an instant, so that one refusal means nothing.
            holder: JSON object shown to those who are refused.
            shared: for those who only look, who then do not take each other for its holder.

        Returns:
            Whether the lock is held now.
        """
        if self._fd is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0)
        fd = os.open(self.path, flags, 0o600)
        deadline = time.monotonic() + patience_s
        try:
            while (
                not (locked := _lock(fd, wait=wait, shared=shared)) and time.monotonic() < deadline
            ):
                time.sleep(_LOOK_S)
        except BaseException:
            os.close(fd)
            raise
        if not locked:
            os.close(fd)
            return False
        self._fd = fd
        if holder is not None:
            with suppress(OSError):  # a full disk; it is held all the same
                self._holder_path().write_text(json.dumps(holder), encoding="utf-8")
        return True

    def fileno(self) -> int:
        """The descriptor that holds it: whoever has a copy of it holds the lock too (POSIX)."""
        if self._fd is None:
            raise ValueError(f"the lock is not held: {self.path}")
        return self._fd

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._fd is not None:
            _unlock(self._fd)
            os.close(self._fd)
            self._fd = None

    def holder(self) -> dict[str, Any]:
        """What the last holder said of itself, or an empty dict."""
        try:
            said = json.loads(self._holder_path().read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return said if isinstance(said, dict) else {}

    def _holder_path(self) -> Path:
        return self.path.with_name(self.path.name + ".holder.json")

    def __enter__(self) -> Self:
        self.acquire(wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether some process holds the lock on `path` at this moment; others that ask the same are
    not taken for it."""
    if not path.exists():
        return False
    probe = ProcessLock(path)
    free = probe.acquire(shared=True)
    probe.release()
    return not free
