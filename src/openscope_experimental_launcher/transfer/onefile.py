"""One file on its way: what is known of it, how it is written, and what can be wrong with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from ..errors import TransferError
from .disk import SYNCS_AT_ONCE
from .failures import in_words
from .paths import shown
from .places import Place, is_link
from .streaming import Writer
from .trust import Look

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_WRITE = (
    os.O_WRONLY
    | os.O_CREAT
    | _NO_FOLLOW
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOINHERIT", 0)
    | getattr(os, "O_BINARY", 0)
)


class Item(NamedTuple):
    """A file that is to be copied.

    Attributes:
        name: its path in the source folder, with `/`.
        sealed: the checksum that it must have; empty when that is not known.
    """

    name: str
    sealed: str = ""


class Written(NamedTuple):
    """A file that was written under its temporary name.

    Attributes:
        item: the file.
        partial: the temporary name, in the folder of the final one.
        target: its final name.
        source: what the original looks like.
        digest: the checksum of what was read.
    """

    item: Item
    partial: Path
    target: Path
    source: Look
    digest: str


class Passing(Exception):
    """A file cannot be copied now, but perhaps in a moment."""

    def __init__(self, error: TransferError) -> None:
        super().__init__(error.message)
        self.error = error


@contextmanager
def reading(original: Path) -> Iterator[Path]:
    """Read an original; what the system has against it may pass.

    Raises:
        Passing: it cannot be read.
    """
    try:
        yield original
    except OSError as error:
        if isinstance(error, TransferError):
            raise
        raise Passing(_unreadable(original, error)) from error


def write_whole(place: Place, file: Written, content: bytes) -> None:
    """Write a small file under its temporary name.

    Raises:
        OSError: the place does not take it.
    """
    with FileIO(_open_partial(place, file, os.O_TRUNC), "wb") as copy:
        rest = memoryview(content)
        while rest:
            rest = rest[copy.write(rest) :]
        keep_time(file, copy.fileno())
        if not SYNCS_AT_ONCE:
            os.fsync(copy.fileno())


def open_writer(place: Place, file: Written) -> Writer:
    """Open the temporary name of a large file; what is there of an earlier try is gone on with.

    Raises:
        OSError: the place does not take it.
    """
    fd = _open_partial(place, file, 0)
    try:
        begin = os.fstat(fd).st_size
        if begin > file.source.size:
            os.ftruncate(fd, 0)
            begin = 0
        return Writer(fd, begin, lambda: keep_time(file, fd))
    except BaseException:
        os.close(fd)
        raise


def _open_partial(place: Place, file: Written, flags: int) -> int:
    place.make_folder(file.item.name.rpartition("/")[0])
    if _NO_FOLLOW == 0:
        _remove_link(file.partial)
    try:
        return os.open(file.partial, _WRITE | flags, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        _remove_link(file.partial)
        return os.open(file.partial, _WRITE | flags, 0o644)


def _remove_link(partial: Path) -> None:
    """Remove a planted link: it is never written through."""
    with suppress(FileNotFoundError):
        if is_link(partial.lstat()):
            partial.unlink()


def keep_time(file: Written, fd: int | None = None) -> None:
    """Give a copy the time of its original. Some shares keep none.

    Args:
        file: the copy, under its temporary name.
        fd: the same, open; where times cannot be set through it (on Windows), nothing is done.
    """
    if fd is not None and os.utime not in os.supports_fd:
        return
    with suppress(OSError):
        os.utime(file.partial if fd is None else fd, ns=(file.source.mtime_ns,) * 2)


def _unreadable(original: Path, error: OSError) -> TransferError:
    return TransferError(
        f"{original.name} cannot be read: {in_words(error)}.",
        code="copy-source-unreadable",
        where=shown(original),
        fix="Close the program that holds it, or look after its disk; then copy again.",
    )


def changed(original: Path) -> TransferError:
    """The error for a file that changed while it was read."""
    return TransferError(
        f"{original.name} changed while it was copied.",
        code="copy-source-changed",
        where=shown(original),
        fix="Let the program that writes it come to its end, and copy again.",
    )


def not_as_sealed(original: Path) -> TransferError:
    """The error for a file that is not what the manifest says."""
    return TransferError(
        f"{original.name} is not what it was when the session was sealed.",
        code="copy-source-not-as-sealed",
        where=shown(original),
        fix="See what changed it: openscope verify SESSION. When the change is meant, add --as-is.",
    )


def damaged_again(file: Written, times: int) -> TransferError:
    """The error for a copy that arrived damaged every time."""
    return TransferError(
        f"The copy of {file.target.name} was damaged on its way {times} times.",
        code="copy-damaged",
        where=shown(file.target),
        fix="Check the disk and the network; the original is complete.",
    )
