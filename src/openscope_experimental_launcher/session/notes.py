"""Notes from beside: what somebody says to a session whose journal another process writes.

A note is left in the launcher's state folder, one small file each, and lies there safe until
whoever holds the session's lock takes it into the journal: its launcher, its recovery, or who
amends it later. It is taken in once, also when that is cut off between the journal and the file.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..files import write_json
from .journal import Journal, NoteAdded, iso_now
from .state import session_hash, state_folder


class WaitingNote(NamedTuple):
    """A note that is not in its journal yet.

    Attributes:
        number: its own, by which it is taken in once.
        text: what was said.
        by: who said it.
        time: when, ISO 8601.
        mono: the same on the monotonic clock.
    """

    number: str
    text: str
    by: str
    time: str
    mono: float


def leave_note(session_folder: Path, text: str, by: str) -> None:
    """Leave a note for a session. It is on the disk when this returns.

    Args:
        session_folder: absolute path of the session folder.
        text: what is to be said.
        by: who says it.

    Raises:
        OSError: the state folder cannot be written.
    """
    number = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}"
    note = WaitingNote(number, text, by, iso_now(), round(time.monotonic(), 6))
    file = _notes_folder() / f"{session_hash(session_folder)}-{number}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, note._asdict(), mode=0o600)


def waiting_notes(session_folder: Path) -> list[WaitingNote]:
    """The notes that were left for a session and are not in its journal yet, oldest first."""
    return [note for _, note in _waiting(session_folder)]


def take_in_notes(session_folder: Path, journal: Journal) -> None:
    """Take the notes that were left for a session into its journal.

    While that cannot be written where it belongs, they stay where they are.

    Args:
        session_folder: absolute path of the session folder.
        journal: its journal, open, with the session's lock held by this process.
    """
    for file, note in _waiting(session_folder):
        event = NoteAdded(note.text, note.by)
        journal.import_note(event, number=note.number, time=note.time, mono=note.mono)
        if journal.failure is not None:
            return
        with suppress(OSError):  # what stays (Windows: while it is read) is not taken in twice
            file.unlink()


def _waiting(session_folder: Path) -> list[tuple[Path, WaitingNote]]:
    folder, begin = _notes_folder(), session_hash(session_folder)
    try:
        names = os.listdir(folder)  # noqa: PTH208 - four times a second, and mostly not there
    except OSError:
        return []
    files = [folder / name for name in sorted(names) if name.startswith(begin)]
    return [(file, note) for file in files if (note := _read(file)) is not None]


def _read(file: Path) -> WaitingNote | None:
    try:
        said = json.loads(file.read_bytes())
        return WaitingNote(
            str(said["number"]),
            str(said["text"]),
            str(said["by"]),
            str(said["time"]),
            float(said["mono"]),
        )
    except (OSError, ValueError, TypeError, KeyError):  # another has taken it in, or it is foreign
        return None


def _notes_folder() -> Path:
    return state_folder() / "notes"
