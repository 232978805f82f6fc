"""What a session left about itself, as far as it can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import SessionError
from ..repository.addresses import is_full_hash
from .folder import SessionFolder
from .journal import read_journal
from .record import SessionRecord, fold

_RECORDS = ("given_parameters", "processed_parameters", "environment", "repository")
_RUNTIME = "runtime_information"


class PastSession(NamedTuple):
    """The records of a session, closed or not.

    Attributes:
        folder: where it is now.
        events: its journal.
        record: its journal, folded.
        given: the parameters as they were given, placeholders as written; empty when not known.
        processed: the parameters as they were used.
        runtime: who, where, with what plan.
        environment: versions of what it ran with.
        repository: address, commit and state of its code; empty without a repository.
        unreadable: names of records that are there and cannot be read.
    """

    folder: SessionFolder
    events: list[dict[str, Any]]
    record: SessionRecord
    given: Mapping[str, Any]
    processed: Mapping[str, Any]
    runtime: Mapping[str, Any]
    environment: Mapping[str, Any]
    repository: Mapping[str, Any]
    unreadable: tuple[str, ...]

    @property
    def name(self) -> str:
        """The session's name, also when its folder was renamed."""
        return str(self.record.opened.get("session_uuid") or self.folder.name)

    @property
    def plan(self) -> Mapping[str, Any]:
        """The plan it was run by."""
        return as_object(self.runtime.get("plan"))

    @property
    def rehearsal(self) -> bool:
        """Whether a stand-in played."""
        return bool(self.record.opened.get("rehearsal") or self.plan.get("rehearsal"))

    @property
    def commit(self) -> str:
        """Full hash of its code's commit; empty without a repository."""
        code = self.repository or self.record.repository or as_object(self.plan.get("repository"))
        commit = str(code.get("commit") or "")
        return commit if is_full_hash(commit) else ""

    @property
    def edited(self) -> list[str]:
        """Tracked files that ran with edits."""
        names = self.repository.get("edited")
        return [str(name) for name in names] if isinstance(names, list) else []

    @property
    def patch(self) -> bytes:
        """The edits with which its code ran; empty when there were none."""
        try:
            return (self.folder.metadata / "repository.patch").read_bytes()
        except OSError:
            return b""

    @property
    def original_folder(self) -> Path:
        """Where the session folder was when it ran."""
        return Path(str(self.plan.get("output_root") or self.folder.path.parent)) / self.name


def read_past(folder: SessionFolder) -> PastSession:
    """Read the records of a session.

    Raises:
        SessionError: the folder is no session, or cannot be read.
    """
    try:
        events = list(read_journal(folder.journal))
    except OSError as error:
        raise SessionError(
            f"The session's journal cannot be read: {error.strerror or error}.",
            where=str(folder.journal),
            fix="Check its permissions and the disk.",
        ) from error
    if not events:
        raise SessionError(
            "This is no session folder, or its journal holds nothing.",
            code="session-unknown",
            where=str(folder.path),
            fix="Give the folder of a session.",
        )
    return past_session(folder, events, fold(events))


def past_session(
    folder: SessionFolder, events: list[dict[str, Any]], record: SessionRecord
) -> PastSession:
    """The records of a session whose journal was read already.

    Args:
        folder: the session folder.
        events: its journal.
        record: its journal, folded.
    """
    unreadable: list[str] = []
    given, processed, environment, repository, runtime = (
        _read(folder.metadata / f"{name}.json", unreadable) for name in (*_RECORDS, _RUNTIME)
    )
    return PastSession(
        folder,
        events=events,
        record=record,
        given=given,
        processed=processed,
        runtime=runtime,
        environment=environment,
        repository=repository,
        unreadable=tuple(unreadable),
    )


def plan_of(folder: SessionFolder) -> Mapping[str, Any]:
    """The session's plan as its records quote it; empty when they are not there."""
    return as_object(_read(folder.metadata / f"{_RUNTIME}.json", []).get("plan"))


def _read(path: Path, unreadable: list[str]) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    unreadable.append(path.name)
    return {}


def as_object(value: Any) -> Mapping[str, Any]:
    """`value` when it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}
