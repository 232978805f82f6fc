"""A checkout's index, looked through without starting a git: what a session must know of it each
time, although it is nearly always "nothing special"."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

_MANY_FILES = 20_000  # from here on git itself is faster
_HEADER = struct.Struct(">4sII")
_STAT_BYTES = 40
_FLAGS = struct.Struct(">H")
_ASSUME_UNCHANGED = 0x8000
_NAME_LENGTH = 0x0FFF
_ATTRIBUTES = ".gitattributes"


class Index(NamedTuple):
    """What an index says.

    Attributes:
        marked: whether git was told to look away from a file of it.
        attributes: the files `.gitattributes` in it, relative, with `/`.
    """

    marked: bool
    attributes: tuple[str, ...]


def read_index(checkout: Path, head: str) -> Index | None:
    """Read the index of a checkout; None when it is of a kind that only git should read.

    The format is git's gitformat-index(5). Only a plain index of version 2 is read: it cannot
    hold skip-worktree, and assume-unchanged is one bit of each entry.

    Args:
        checkout: its folder.
        head: hash of its commit, for the length of hashes.
    """
    file = git_dir(checkout) / "index"
    data = file.read_bytes() if file.is_file() else b""
    if not data:
        return Index(False, ())
    _, version, entries = _HEADER.unpack_from(data)
    if version != 2 or entries > _MANY_FILES:
        return None
    fixed = _STAT_BYTES + len(head) // 2 + _FLAGS.size
    start = _HEADER.size
    marked = False
    attributes = []
    for _ in range(entries):
        name_at = start + fixed
        (flags,) = _FLAGS.unpack_from(data, name_at - _FLAGS.size)
        length = flags & _NAME_LENGTH
        if length == _NAME_LENGTH:
            return None  # or longer
        marked = marked or bool(flags & _ASSUME_UNCHANGED)
        name = data[name_at : name_at + length]
        if name.endswith(_ATTRIBUTES.encode()):
            attributes.append(os.fsdecode(name))
        # At least one NUL stands behind the name, and each entry begins at a multiple of eight.
        start += (fixed + length + 8) // 8 * 8
    if data[start : start + 4] == b"link":
        return None  # the rest of it is in another file
    return Index(marked, tuple(attributes))


def git_dir(checkout: Path) -> Path:
    """The folder in which git keeps what belongs to a checkout."""
    folder = checkout / ".git"
    if folder.is_file():  # of a worktree: it names the folder
        return checkout / os.fsdecode(folder.read_bytes()).removeprefix("gitdir:").strip()
    return folder
