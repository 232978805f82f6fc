"""The journal of a copy: it says whose the copy is, and is brought last of all."""

from __future__ import annotations

from pathlib import Path

from ..errors import TransferError
from ..files import write_atomic
from .paths import shown


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
    content = source.read_bytes()
    content = content[: content.rfind(b"\n") + 1]
    known = target.is_file() and not target.is_symlink()
    there = target.read_bytes() if known else b""
    if not content.startswith(there):
        if there.startswith(content):
            return
        raise TransferError(
            "Another session of the same name has been copied there.",
            code="copy-folder-taken",
            where=shown(target.parent),
            fix="Name another destination, or look at the two sessions.",
        )
    if not known or there != content:
        write_atomic(target, content)
