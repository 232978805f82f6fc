"""Closing a session: once, completely, whatever happened to it.

The one piece of code for it, shared by `run` and recovery: steps that change files, metadata, the
sealed manifest, the archive, `session.closed`. Every part looks first whether it was done already,
so that a closing that was cut off can be gone through again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from .errors import Finding, SessionError, attempt
from .files import write_json
from .session.folder import SessionFolder
from .session.journal import Journal, ManifestSealed, SessionClosed, StageEntered, finding_event
from .session.manifest import build_manifest, seal
from .session.notes import take_in_notes
from .session.record import SessionRecord, read_record
from .session.state import note_pending
from .structs import msgspec


class Closing(msgspec.Struct, eq=False):
    """What is to be closed, and by whom.

    Attributes:
        folder: the session folder.
        journal: its journal, open, with the session's lock held by this process.
        closed_by: `launcher` or `recovery`.
        finish_files: what still changes files of the session (steps, metadata, the log's end).
            Called once, before the manifest, with the record so far; its findings are recorded.
        archive: what is done with the sealed session, changing no file of it; None for nothing.
            Called with the record so far.
        copied: called after an archive, when the journal has its last event, to bring that to the
            copies.
        on_bytes: told the size of each file when it has been hashed.
    """

    folder: SessionFolder
    journal: Journal
    closed_by: Literal["launcher", "recovery"]
    finish_files: Callable[[SessionRecord], list[Finding]] = lambda _: []
    archive: Callable[[SessionRecord], object] | None = None
    copied: Callable[[SessionRecord], object] = lambda _: None
    on_bytes: Callable[[int], None] | None = None


def close_session(closing: Closing) -> SessionRecord:
    """Close a session.

    Returns:
        The record of the closed session. When it was closed before, nothing is done.

    Raises:
        SessionError, OSError: a record could not be written; the session stays open and can be
            closed again.
    """
    folder, journal = closing.folder, closing.journal
    record = read_record(folder.journal)
    if record.closed is not None:
        return record
    journal.record(StageEntered("closing"))
    if record.sealed is None:
        for finding in closing.finish_files(record):
            journal.record(finding_event("closing", finding))
        record = read_record(folder.journal)
        finish_runtime(folder, record, closing.closed_by)
        _seal(closing, record)
    if closing.archive is not None:
        _archive(closing.archive, journal, record)
        record = read_record(folder.journal)
    return finish_closing(closing, record)


def left_open(
    folder: SessionFolder, kept: Path, error: OSError, *, again: str = "recover"
) -> SessionError:
    """What is told of a session whose records could not be written.

    Args:
        folder: the session folder.
        kept: where its last records are.
        error: what the system said.
        again: the verb that brings the records back when its disk can take them.
    """
    return SessionError(
        f"The session's records cannot be written to its folder: {error.strerror or error}.",
        code="session-left-open",
        where=f"{error.filename or folder.path}; the last records are in {kept}",
        fix=f"Bring its disk back, or make room on it; then: openscope {again} {folder.path}",
    )


def _archive(
    archive: Callable[[SessionRecord], object], journal: Journal, record: SessionRecord
) -> None:
    failure = attempt(lambda: archive(record))
    if failure is not None:  # which must not keep the session from being closed
        words = f"The session was not archived: {failure.error.message}"
        found = Finding("warning", "archive-not-made", words)
        journal.record(finding_event("closing", found))


def finish_closing(closing: Closing, record: SessionRecord) -> SessionRecord:
    """Record that a sealed session is closed, and what is left to be done for it later.

    Args:
        closing: the session.
        record: what its journal says so far.

    Raises:
        OSError: the last record could not be written; the session stays open.
    """
    pending = record.pending_steps()
    take_in_notes(closing.folder.path, closing.journal)
    # First: whoever brings the last record back from the state folder finds the session closed.
    note_pending(closing.folder.path, bool(pending) and not record.opened.get("rehearsal"))
    closing.journal.record(
        SessionClosed(record.outcome or "lost", closing.closed_by, record.reason, pending)
    )
    if closing.journal.failure is not None:  # it is not in the session's own journal
        raise closing.journal.failure
    closed = read_record(closing.folder.journal)
    if closing.archive is not None:
        attempt(lambda: closing.copied(closed))
    return closed


def finish_runtime(folder: SessionFolder, record: SessionRecord, closed_by: str) -> None:
    """Complete `runtime_information.json` with how the session went."""
    folder.metadata.mkdir(exist_ok=True)  # a session may have been cut off before its first record
    path = folder.metadata / "runtime_information.json"
    begun = _begun(path)
    ended = record.ended or {}
    write_json(
        path,
        {
            **begun,
            "start_time": record.started_at or None,
            "stop_time": record.ended_at or None,
            "duration_s": ended.get("duration_s"),
            "outcome": record.outcome or "lost",
            "reason": record.reason,
            "exit_code": ended.get("exit_code"),
            "signal": ended.get("signal"),
            "peak_memory_mb": ended.get("peak_memory_mb"),
            "closed_by": closed_by,
        },
    )


def _begun(path: Path) -> dict[str, Any]:
    """What a record says so far. One that is damaged is kept beside the new one."""
    if not path.is_file():
        return {}
    try:
        begun = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        begun = None
    if isinstance(begun, dict):
        return begun
    path.replace(path.with_name(f"damaged_{path.name}"))
    return {}


def _seal(closing: Closing, record: SessionRecord) -> None:
    session = {
        "session": closing.folder.name,
        "outcome": record.outcome or "lost",
        **({"rehearsal": True} if record.opened.get("rehearsal") else {}),
    }
    manifest = build_manifest(closing.folder, session=session, on_bytes=closing.on_bytes)
    size = sum(entry["size"] for entry in manifest["files"].values())
    digest = seal(closing.folder, manifest)
    closing.journal.record(ManifestSealed(digest, len(manifest["files"]), size))
