"""Copying one file so that what arrived is known to be what was sent.

The bytes are hashed while they are read, written under a temporary name, flushed to the disk, read
back and hashed again, and only then given the file's name. A copy that was cut off leaves nothing
under that name.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import TransferError
from ..files import replace_file, sync_folder

_BLOCK = 1024 * 1024
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def digest_of(path: Path, algorithm: str) -> str:
    """The checksum of a file's bytes, read from the disk where the system can be told to.

    Args:
        path: the file.
        algorithm: a name that `hashlib` knows.
    """
    with path.open("rb") as stream:
        _forget_cached(stream)
        return hashlib.file_digest(stream, algorithm).hexdigest()


def copy_verified(source: Path, target: Path, algorithm: str, *, retries: int = 2) -> str:
    """Copy a file and verify the copy by reading it back.

    Args:
        source: the file.
        target: where the copy goes; its folder must be there. Replaced when it is there.
        algorithm: of the checksum, a name that `hashlib` knows.
        retries: how often a copy that arrived damaged is made again.

    Returns:
        The checksum, in hexadecimal.

    Raises:
        OSError: it cannot be read or written.
        TransferError: it arrived damaged every time, or changed while it was copied.
    """
    for _ in range(retries + 1):
        digest = _copy_once(source, target, algorithm)
        if digest is not None:
            return digest
    raise TransferError(
        f"The copy of {source.name} was damaged on its way {retries + 1} times.",
        code="copy-damaged",
        where=str(target),
        fix="Check the disk and the network; the original is complete.",
    )


def _copy_once(source: Path, target: Path, algorithm: str) -> str | None:
    """Copy once; the checksum, or None when what arrived is not what was sent."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        sent = _write(source, temporary, algorithm)
        if digest_of(temporary, algorithm) != sent:
            return None
        replace_file(temporary, target)
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(target.parent)
    return sent


def _write(source: Path, temporary: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_FOLLOW, 0o644)
    with source.open("rb") as stream, os.fdopen(fd, "wb") as copy:
        before = os.fstat(stream.fileno())
        while block := stream.read(_BLOCK):
            digest.update(block)
            copy.write(block)
        after = os.fstat(stream.fileno())
        copy.flush()
        os.fsync(copy.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise TransferError(
            f"{source.name} changed while it was copied.",
            code="copy-source-changed",
            where=str(source),
            fix="Let the program that writes it come to its end, and copy again.",
        )
    with suppress(OSError):  # some shares keep no times
        os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
    return digest.hexdigest()


def _forget_cached(stream: BinaryIO) -> None:
    """Have the system read from the disk what was written just now."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
