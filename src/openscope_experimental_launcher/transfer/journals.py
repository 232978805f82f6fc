"""The journal of a copy: it says whose the copy is, and is brought last of all."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..errors import TransferError
from ..files import sync_folder, write_atomic
from .paths import shown

_WRITING_S = 0.5


def bring_journal(source: Path, target: Path) -> None:
    """Copy a journal as it is now; events may be added to it at any time.

    A journal only grows, so one that is there must be the beginning of this one. Anything else is
    another session of the same name, which is never mixed with this one.

    Args:
        source: the session's journal.
        target: the copy's.

    Raises:
        TransferError: the copy's folder belongs to another session.
        OSError: it cannot be read or written.
    """
    content = _whole_lines(source)
    if not target.exists() and _made_first(target, content):
        return
    there = _there(target)
    _check(content, there, target)
    if len(content) > len(there) or target.is_symlink():
        write_atomic(target, content)


def check_journal(source: Path, target: Path) -> None:
    """See that a journal that is there is the session's own.

    Args:
        source: the session's journal; one that is not there vouches for nothing.
        target: the copy's.

    Raises:
        TransferError: the copy's folder belongs to another session.
        OSError: it cannot be read.
    """
    _check(_whole_lines(source) if source.is_file() else b"", _there(target), target)


def _whole_lines(journal: Path) -> bytes:
    content = journal.read_bytes()
    return content[: content.rfind(b"\n") + 1]


def _made_first(target: Path, content: bytes) -> bool:
    """Write a journal where none is; False when another computer was sooner.

    One that is cut off in the middle is the beginning of its session's, and so still its own.
    """
    try:
        with target.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except FileExistsError:
        return False
    sync_folder(target.parent)
    return True


def _there(target: Path) -> bytes:
    if target.is_symlink() or not target.is_file():
        return b""
    content = target.read_bytes()
    if not content:  # another computer is just writing it, or a crash cut it off
        time.sleep(_WRITING_S)
        content = target.read_bytes()
    return content


def _check(content: bytes, there: bytes, target: Path) -> None:
    if content.startswith(there) or (content and there.startswith(content)):
        return
    raise folder_taken(target.parent)


def folder_taken(copy: Path, whose: str = "") -> TransferError:
    """The error for a copy's folder that belongs to another session.

    Args:
        copy: the folder.
        whose: where that session is, as the end of a sentence.
    """
    return TransferError(
        f"Another session of the same name has been copied there{whose}.",
        code="copy-folder-taken",
        where=shown(copy),
        fix="Give each computer a folder of its own: another --to, network_dir or backup_dir.",
    )
