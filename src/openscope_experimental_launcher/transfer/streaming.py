"""Copying one large file: each byte is read once, and hashed and written at the same time."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Sequence
from io import FileIO
from queue import Queue

from .disk import BLOCK, OnBytes

_WAITING = 4


class Writer(threading.Thread):
    """Writes the blocks of a file, in order, in a thread of its own.

    Args:
        fd: the file, open for writing; closed in the end.
        begin: how many bytes are there already; they are passed over.
        finish: what is done when all is written, before it is brought to the disk.

    Attributes:
        error: what went wrong; then the rest is not written.
        written: how many bytes were written.
    """

    def __init__(self, fd: int, begin: int, finish: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.error: OSError | None = None
        self.written = 0
        self._fd = fd
        self._begin = begin
        self._finish_with = finish
        self._blocks: Queue[bytes | None] = Queue(_WAITING)
        os.lseek(fd, begin, os.SEEK_SET)

    def put(self, block: bytes | None) -> None:
        """Take the next block; None ends the file. Waits while too many are waiting."""
        self._blocks.put(block)

    def run(self) -> None:
        """Write, and bring all to the disk."""
        offset = 0
        try:
            while (block := self._blocks.get()) is not None:
                self._attempt(block, offset)
                offset += len(block)
            if self.error is None:
                self._finish()
        finally:
            os.close(self._fd)

    def _attempt(self, block: bytes, offset: int) -> None:
        rest = memoryview(block)[max(self._begin - offset, 0) :]
        try:
            while rest and self.error is None:
                count = os.write(self._fd, rest)
                self.written += count
                rest = rest[count:]
        except OSError as error:
            self.error = error

    def _finish(self) -> None:
        try:
            self._finish_with()
            os.fsync(self._fd)
        except OSError as error:
            self.error = error


def stream(
    source: FileIO, writers: Sequence[Writer], algorithm: str, on_bytes: OnBytes
) -> tuple[str, int]:
    """Read a file to its end, hash it and have it written.

    Args:
        source: the file, open and unbuffered.
        writers: who write it; they are started here, and have ended when this returns or raises.
        algorithm: of the checksum.
        on_bytes: told of each block; what it raises ends the copy.

    Returns:
        The checksum of what was read, and its size. The writers say whether they wrote it.
    """
    digest = hashlib.new(algorithm)
    blocks: Queue[bytes | None] = Queue(_WAITING)

    def hash_blocks() -> None:
        while (block := blocks.get()) is not None:
            digest.update(block)

    hasher = threading.Thread(target=hash_blocks, daemon=True)
    for thread in (hasher, *writers):
        thread.start()
    size = 0
    try:
        while block := source.read(BLOCK):
            blocks.put(block)
            for writer in writers:
                writer.put(block)
            size += len(block)
            on_bytes(len(block))
            if all(writer.error for writer in writers):
                break
    finally:
        blocks.put(None)
        for writer in writers:
            writer.put(None)
        for thread in (hasher, *writers):
            thread.join()
    return digest.hexdigest(), size
