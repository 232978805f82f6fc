"""What an attempt at an acquisition has written, and putting it aside for the next one."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from ..errors import SessionError
from .folder import SessionFolder


def data_entries(folder: SessionFolder) -> frozenset[PurePosixPath]:
    """The files and folders of a session that are not the launcher's own, relative to its own."""
    own = {folder.journal.name, folder.manifest.name, folder.metadata.name, folder.logs.name}
    found = set()
    for root, folders, names in os.walk(folder.path):
        inside = PurePosixPath(Path(root).relative_to(folder.path).as_posix())
        if not inside.parts:
            folders[:] = [name for name in folders if name not in own]
        found |= {inside / name for name in (*folders, *names) if str(inside / name) not in own}
    return frozenset(found)


def set_aside(folder: SessionFolder, before: frozenset[PurePosixPath], attempt: int) -> str:
    """Move the files that an attempt has added to `attempt_<number>/`, so that the next one finds
    the folder as this one did.

    Args:
        folder: the session folder.
        before: what was there before the attempt, see `data_entries`.
        attempt: the number of the attempt that failed.

    Returns:
        The name of that folder; empty when the attempt had written nothing.

    Raises:
        SessionError: a file cannot be moved; those before it have been.
    """
    kept = folder.path / f"attempt_{attempt}"
    added = sorted(data_entries(folder) - before)
    try:
        for entry in added:
            source, target = folder.path / entry, kept / entry
            if source.is_dir() and not source.is_symlink():
                target.mkdir(parents=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                source.rename(target)
        for entry in reversed(added):
            if (folder.path / entry).is_dir():
                (folder.path / entry).rmdir()
    except OSError as error:
        raise SessionError(
            f"What the failed attempt wrote cannot be put aside: {error.strerror or error}.",
            code="attempt-not-set-aside",
            where=str(error.filename or folder.path),
            fix="Close the program that has the file open, and start a new session.",
        ) from error
    return kept.name if added else ""
