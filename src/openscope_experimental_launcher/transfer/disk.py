"""What the disk really has, past the system's cache; and how what was written gets there.

A copy that is read back from the cache proves nothing of the disk or the network. Files are
therefore read without it: O_DIRECT on Linux, FILE_FLAG_NO_BUFFERING on Windows, both into memory
that begins at a page. A file system that knows no such thing is told to forget the file first.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from queue import SimpleQueue

BLOCK = 4 * 1024 * 1024
"""Bytes that are read, hashed and written at a time."""

_AHEAD = 3
_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_own = threading.local()

OnBytes = Callable[[int], object]
"""Told how many more bytes have been dealt with; may raise to end the work."""


def digest_on_disk(path: Path, algorithm: str, on_bytes: OnBytes = lambda _: None) -> str:
    """The checksum of a file's bytes as the disk has them.

    Args:
        path: the file.
        algorithm: a name that `hashlib` knows.
        on_bytes: told after each block.

    Raises:
        OSError: it cannot be read.
    """
    try:
        stream = _open_direct(path)
        if stream is not None:
            with stream:
                return _digest(stream, algorithm, on_bytes)
    except OSError as error:
        # A file system may open a file so and then not read it.
        if error.errno != errno.EINVAL:
            raise
    with open_source(path) as stream:
        forget_cached(stream)
        return _digest(stream, algorithm, on_bytes)


def open_source(path: Path | str) -> FileIO:
    """Open a file for reading, unbuffered. A link is not followed where the system has a way."""
    return FileIO(os.open(path, _READ | _BINARY), "rb")


_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)


def forget_cached(stream: FileIO) -> None:
    """Have the system read from the disk what was written just now."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _digest(stream: FileIO, algorithm: str, on_bytes: OnBytes) -> str:
    digest = hashlib.new(algorithm)
    size = os.fstat(stream.fileno()).st_size
    blocks = _blocks_ahead(stream, size) if size > BLOCK else _only_block(stream, size)
    for block in blocks:
        digest.update(block)
        on_bytes(len(block))
    return digest.hexdigest()


def _only_block(stream: FileIO, size: int) -> Iterator[memoryview]:
    if not hasattr(_own, "buffer"):
        _own.buffer = mmap.mmap(-1, BLOCK)  # memory of its own begins at a page
    # Whole pages: without the cache, disks are read by their sectors.
    wanted = min(-(-size // mmap.PAGESIZE) * mmap.PAGESIZE, BLOCK)
    with memoryview(_own.buffer) as view:
        done = 0
        while done < size and (count := _read_into(stream, view[done:wanted])):
            done += count
        yield view[:done]


def _read_into(stream: FileIO, view: memoryview) -> int:
    return stream.readinto(view) or 0


def _blocks_ahead(stream: FileIO, size: int) -> Iterator[memoryview]:
    """The blocks of a file, each read while the one before it is hashed."""
    free: SimpleQueue[memoryview | None] = SimpleQueue()
    full: SimpleQueue[memoryview | OSError | None] = SimpleQueue()
    for _ in range(_AHEAD):
        free.put(memoryview(mmap.mmap(-1, BLOCK)))

    def read() -> None:
        done = 0
        try:
            while done < size and (buffer := free.get()) is not None:
                count = _read_into(stream, buffer)
                if count == 0:
                    break
                done += count
                full.put(buffer[:count])
        except OSError as error:
            full.put(error)
        full.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while (block := full.get()) is not None:
            if isinstance(block, OSError):
                raise block
            yield block
            free.put(memoryview(block.obj))
    finally:
        free.put(None)
        reader.join()


# -- reading without the cache ---------------------------------------------------------------------

if sys.platform == "win32":
    import msvcrt
    from ctypes import wintypes

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.CreateFileW.restype = wintypes.HANDLE
    _GENERIC_READ, _SHARE_ALL, _OPEN_EXISTING = 0x80000000, 0x7, 3
    _NO_BUFFERING, _SEQUENTIAL = 0x20000000, 0x08000000

    def _open_direct(path: Path) -> FileIO | None:
        flags = _NO_BUFFERING | _SEQUENTIAL
        handle = _kernel32.CreateFileW(
            str(path), _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, flags, None
        )
        if handle in (None, wintypes.HANDLE(-1).value):
            raise ctypes.WinError(ctypes.get_last_error())
        return FileIO(msvcrt.open_osfhandle(handle, os.O_RDONLY | _BINARY), "rb")

elif sys.platform == "linux":

    def _open_direct(path: Path) -> FileIO | None:
        try:
            return FileIO(os.open(path, _READ | os.O_DIRECT), "rb")
        except OSError as error:
            if error.errno != errno.EINVAL:  # the file system knows no such thing
                raise
            return None

else:

    def _open_direct(path: Path) -> FileIO | None:
        del path
        return None


# -- getting there ---------------------------------------------------------------------------------


def _find_syncfs() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):  # a C library without it
        return None


_syncfs = _find_syncfs()
SYNCS_AT_ONCE = _syncfs is not None
"""Whether many files can be brought to the disk together (`sync_all`), which takes a fraction of
the time of one after the other."""


def sync_all(folder: Path) -> None:
    """Bring everything that was written to a folder's file system to its disk.

    Raises:
        OSError: the disk is full or gone.
    """
    assert _syncfs is not None  # noqa: S101 - callers looked at SYNCS_AT_ONCE
    fd = os.open(folder, _READ)
    try:
        if _syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(fd)
