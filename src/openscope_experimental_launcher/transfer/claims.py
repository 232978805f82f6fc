"""Whose copy a folder holds. Computers that share one session give their folders the same name, so
a folder is claimed before anything is written to it, and another one's is left as it is.

A journal says it best, since it only grows: one that is there must be the beginning of this one.
Where none is, a receipt says it, or a small file that whoever comes first makes.
"""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

from ..errors import TransferError
from ..files import write_json
from ..session.folder import SessionFolder
from .journals import bring_journal, check_journal, folder_taken
from .paths import shown

CLAIM = ".claimed_by.json"
_WRITING_S = 0.5


def claim_copy(session: Path, copy: Path, *, with_journal: bool = True) -> None:
    """Claim the folder of a copy, again and again as one likes.

    Args:
        session: the folder that is copied.
        copy: the copy's, which is there.
        with_journal: whether the session's journal goes there.

    Raises:
        TransferError: another session's copy is there.
        OSError: it cannot be read or written.
    """
    journal, there = SessionFolder(session).journal, SessionFolder(copy).journal
    if not there.is_file():
        _check_owners(session, copy)
    if with_journal:
        bring_journal(journal, there)
    elif there.is_file():
        check_journal(journal, there)
    else:
        _leave_claim(session, copy)


def _check_owners(session: Path, copy: Path) -> None:
    receipt = _said(SessionFolder(copy).receipt) or {}
    for owner in (receipt.get("from"), _said(copy / CLAIM)):
        if owner and owner != _owner(session):
            raise _taken(owner, copy)


def _leave_claim(session: Path, copy: Path) -> None:
    claim = copy / CLAIM
    try:
        with claim.open("x", encoding="utf-8") as stream:  # only one computer can
            json.dump(_owner(session), stream)
    except FileExistsError:
        owner = _said(claim)
        if not owner:  # another is just writing it, or a crash cut it off
            time.sleep(_WRITING_S)
            owner = _said(claim)
        if not owner:
            write_json(claim, _owner(session))
        elif owner != _owner(session):
            raise _taken(owner, copy) from None


def _owner(session: Path) -> dict[str, str]:
    return {"computer": platform.node(), "folder": shown(session)}


def _said(file: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None. A share that drops must not look like an empty folder."""
    try:
        value = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _taken(owner: Any, copy: Path) -> TransferError:
    whose = owner if isinstance(owner, dict) else {}
    return folder_taken(copy, f", from {whose.get('folder')} on {whose.get('computer')}")
