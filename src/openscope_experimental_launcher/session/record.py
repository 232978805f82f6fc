"""What a journal says of its session, folded into one record for those who read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..structs import msgspec
from .journal import read_journal


class SessionRecord(msgspec.Struct, eq=False):
    """The state of a session as far as its journal goes.

    Attributes:
        opened: data of `session.opened`; empty when the journal has none.
        stage: the last stage entered.
        outcome: outcome of the acquisition once it was judged, else empty.
        attempts: how many times the acquisition was started.
        started: data of the last `acquisition.started`, or None.
        ended: data of the last `acquisition.ended`, or None.
        sample: the last measurement, or None.
        attempted: whether the session came to its acquisition at all.
        steps: data of each `step.finished`.
        findings: data of each `finding.reported`.
        notes: data of each `note.added`, with its time.
        sealed: data of `manifest.sealed`, or None.
        closed: data of `session.closed`, or None.
        copies: data of each `session.copied`, with its time.
        freed: data of the last `session.freed`, or None.
        began: time of the first event, ISO 8601.
        last: time of the last event, ISO 8601.
        last_seq: number of the last event.
    """

    opened: Mapping[str, Any] = {}
    stage: str = ""
    outcome: str = ""
    reason: str = ""
    attempted: bool = False
    repository: Mapping[str, Any] | None = None
    attempts: int = 0
    started: Mapping[str, Any] | None = None
    started_at: str = ""
    ended: Mapping[str, Any] | None = None
    ended_at: str = ""
    stop: Mapping[str, Any] | None = None
    sample: Mapping[str, Any] | None = None
    steps: list[Mapping[str, Any]] = []
    findings: list[Mapping[str, Any]] = []
    warnings: list[str] = []
    notes: list[Mapping[str, Any]] = []
    sealed: Mapping[str, Any] | None = None
    closed: Mapping[str, Any] | None = None
    copies: list[Mapping[str, Any]] = []
    freed: Mapping[str, Any] | None = None
    began: str = ""
    last: str = ""
    last_seq: int = 0

    def pending_steps(self) -> list[str]:
        """Names of the steps that are still to be done."""
        return list(self.pending_places().values())

    def pending_places(self) -> dict[tuple[str, int], str]:
        """Phase and position of the steps that are still to be done, to their names."""
        last = {(step["phase"], step["position"]): step for step in self.steps}
        return {
            place: str(step["step"]) for place, step in last.items() if step["outcome"] == "pending"
        }

    def apply(self, event: Mapping[str, Any]) -> None:
        """Take in one more event of the journal."""
        self.began = self.began or str(event.get("time", ""))
        self.last = str(event.get("time", ""))
        self.last_seq = int(event.get("seq", 0))
        change = _CHANGES.get(str(event["name"]))
        if change is not None:
            change(self, event["data"], self.last)


def _opened(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.opened = data


def _stage(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.stage = str(data.get("stage", ""))
    record.attempted = record.attempted or record.stage == "acquisition"


def _repository(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.repository = data


def _started(record: SessionRecord, data: Mapping[str, Any], time: str) -> None:
    record.attempts += 1
    record.started, record.started_at, record.attempted = data, time, True
    record.ended, record.stop, record.outcome = None, None, ""


def _stop(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.stop = data


def _sampled(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.sample = data


def _warned(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.warnings.append(str(data.get("message", "")))


def _ended(record: SessionRecord, data: Mapping[str, Any], time: str) -> None:
    record.ended, record.ended_at = data, time


def _judged(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.outcome = str(data.get("outcome", ""))
    record.reason = str(data.get("reason", ""))


def _step(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.steps.append(data)


def _finding(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.findings.append(data)


def _note(record: SessionRecord, data: Mapping[str, Any], time: str) -> None:
    record.notes.append({**data, "time": time})


def _sealed(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.sealed = data


def _closed(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.closed = data


def _copied(record: SessionRecord, data: Mapping[str, Any], time: str) -> None:
    record.copies.append({**data, "time": time})


def _freed(record: SessionRecord, data: Mapping[str, Any], _: str) -> None:
    record.freed = data


_CHANGES: Mapping[str, Callable[[SessionRecord, Mapping[str, Any], str], None]] = {
    "session.opened": _opened,
    "stage.entered": _stage,
    "repository.ready": _repository,
    "acquisition.started": _started,
    "acquisition.stop_requested": _stop,
    "acquisition.sampled": _sampled,
    "acquisition.warned": _warned,
    "acquisition.ended": _ended,
    "acquisition.judged": _judged,
    "step.finished": _step,
    "finding.reported": _finding,
    "note.added": _note,
    "manifest.sealed": _sealed,
    "session.copied": _copied,
    "session.freed": _freed,
    "session.closed": _closed,
}


def fold(events: Iterable[Mapping[str, Any]]) -> SessionRecord:
    """The record that a sequence of events adds up to."""
    record = SessionRecord()
    for event in events:
        record.apply(event)
    return record


def read_record(journal: Path) -> SessionRecord:
    """The record of a session from its journal, whole or cut."""
    return fold(read_journal(journal))
