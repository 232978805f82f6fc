"""Reading everything that a report tells of: the journal in one pass, the records beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..jsonl import parse_lines
from ..session.folder import SessionFolder
from ..session.journal import is_event, journal_bytes
from ..session.past import PastSession, as_object, past_session
from ..session.record import SessionRecord
from .samples import Samples

_SAMPLE = "acquisition.sampled"
_LATEST = 1e11
"""Seconds that no clock shows, so that differences of times stay numbers."""


class Story(NamedTuple):
    """What is known of a session.

    Attributes:
        past: its records; the events are all but the measurements.
        samples: the measurements.
        lines_passed_over: lines of the journal that are no events: torn, damaged or foreign.
        zero: the monotonic time at which the acquisition first started, or of the first event.
        added: files that are sealed together with the report, by their paths.
        standard: what is told of the standard metadata; empty when nothing is.
    """

    past: PastSession
    samples: Samples
    lines_passed_over: int
    zero: float
    added: Mapping[str, bytes]
    standard: Mapping[str, Any]

    @property
    def folder(self) -> SessionFolder:
        return self.past.folder

    @property
    def record(self) -> SessionRecord:
        return self.past.record

    @property
    def outcome(self) -> str:
        """The outcome in one word; empty for a session that was never closed or judged."""
        closed = self.record.closed or {}
        return self.record.outcome or str(closed.get("outcome") or "")

    @property
    def limits(self) -> Mapping[str, Any]:
        """The limits that the acquisition had."""
        return as_object(self.past.plan.get("limits"))

    @property
    def until_closed(self) -> list[dict[str, Any]]:
        """The events until it was first closed; what is done to a closed session comes later."""
        events = self.past.events
        closed = (n for n, event in enumerate(events) if event["name"] == "session.closed")
        return events[: next(closed, len(events)) + 1]

    @property
    def end(self) -> float:
        """The monotonic time at which it was first closed, or of its last event. After another
        start of the computer the clock begins at 0 again: that is not of the session's time."""
        return max((event["mono"] for event in self.until_closed), default=0.0)

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The events of these names, in order."""
        return [event for event in self.past.events if event["name"] in names]


def read_story(folder: SessionFolder, added: Mapping[str, bytes] = MappingProxyType({})) -> Story:
    """Read a session as far as it can be read: running, closed, cut short or damaged.

    Args:
        folder: the session folder.
        added: files that are sealed together with the report, by their paths in the folder.

    Raises:
        SessionError: there is no journal, or it cannot be read at all.
    """
    data = journal_bytes(folder.journal)
    events: list[dict[str, Any]] = []
    samples, record, waiting, usable = Samples(), SessionRecord(), None, 0
    for event in filter(is_event, parse_lines(data)):
        if abs(event["mono"]) > _LATEST:
            continue
        usable += 1
        if event["name"] == _SAMPLE:
            samples.add(event["mono"], event["data"])
            waiting = event
            continue
        if waiting is not None:  # of the measurements, a record knows the last one only
            record.apply(waiting)
            waiting = None
        if event["name"] == "acquisition.started":
            samples.attempt_begins()
        record.apply(event)
        events.append(event)
    if waiting is not None:
        record.apply(waiting)
    return Story(
        past_session(folder, events, record),
        samples,
        lines_passed_over=_lines(data) - usable,
        zero=_zero(events),
        added=added,
        standard=_standard(folder, added),
    )


def _standard(folder: SessionFolder, added: Mapping[str, bytes]) -> Mapping[str, Any]:
    file = folder.standard_metadata
    try:
        content = added.get(file.relative_to(folder.path).as_posix()) or file.read_bytes()
        return as_object(json.loads(content))
    except (OSError, ValueError, RecursionError):
        return {}


def _lines(data: bytes) -> int:
    whole = data.count(b"\n") - data.count(b"\n\n") - data.startswith(b"\n")
    return whole + (not data.endswith(b"\n") and bool(data))


def _zero(events: list[dict[str, Any]]) -> float:
    started = (event["mono"] for event in events if event["name"] == "acquisition.started")
    return float(next(started, events[0]["mono"] if events else 0.0))
