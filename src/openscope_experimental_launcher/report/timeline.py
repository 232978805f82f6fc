"""The timeline of a report: the stages with how long each took, and the events worth a line."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from ..display.words import clock, event_in_words, stage_name
from .reading import Story
from .words import time_of_day

_EVENTS_SHOWN = 300
_OF_CLOSING = ("manifest.sealed", "session.closed")
"""What comes again each time that something is done to a closed session."""


class Happening(NamedTuple):
    """One row of the timeline.

    Attributes:
        time: time of day.
        elapsed: since the acquisition began, as text.
        level: `error`, `warning`, `note`, `milestone` or empty.
        text: what happened.
        place: where it is on the bar of the session, 0 to 1000; None outside of it.
    """

    time: str
    elapsed: str
    level: str
    text: str
    place: float | None


class Stage(NamedTuple):
    """One stage of the session.

    Attributes:
        name: in words.
        took: how long, as text.
        begin: where it begins on the bar, 0 to 1000.
        width: on the bar.
    """

    name: str
    took: str
    begin: float
    width: float


def happenings(story: Story) -> tuple[list[Happening], int]:
    """The events worth a line, and how many were left out in the middle."""
    begin, length = _span(story)
    rows = [
        Happening(
            time_of_day(event["time"]),
            clock(elapsed) if (elapsed := event["mono"] - story.zero) >= 0 else "",
            _level(event),
            words,
            _place(event["mono"], begin, length),
        )
        for event in story.past.events
        if event["mono"] <= story.end or event["name"] not in _OF_CLOSING
        if (words := event_in_words(event).lstrip("!✗ "))
    ]
    more = len(rows) - _EVENTS_SHOWN
    if more > 0:
        rows[_EVENTS_SHOWN // 2 : -_EVENTS_SHOWN // 2] = []
    return rows, max(more, 0)


def _level(event: Mapping[str, Any]) -> str:
    name, data = event["name"], event["data"]
    if name == "finding.reported":
        return str(data["level"])
    if name == "step.finished":
        return {"failed": "error", "pending": "warning"}.get(str(data["outcome"]), "")
    return _LEVELS.get(str(name), "")


_LEVELS: Mapping[str, str] = {
    "acquisition.warned": "warning",
    "acquisition.stop_requested": "warning",
    "acquisition.not_started": "error",
    "clock.jumped": "warning",
    "guard.replaced": "warning",
    "launcher.lost": "error",
    "note.added": "note",
    "acquisition.started": "milestone",
    "acquisition.ended": "milestone",
    "acquisition.judged": "milestone",
    "session.closed": "milestone",
}


def stages(story: Story) -> list[Stage]:
    """The stages with how long each took."""
    begin, length = _span(story)
    entered = [
        (stage_name(event["data"].get("stage", "")), event["mono"])
        for event in story.events("stage.entered")
    ]
    entered.append(("", begin + length))
    return [
        Stage(
            name,
            clock(until - since) if until - since >= 1 else f"{1000 * (until - since):.0f} ms",
            round(1000 * (since - begin) / length, 1),
            round(1000 * (until - since) / length, 1),
        )
        for (name, since), (_, until) in pairwise(entered)
        if name and until >= since >= begin
    ]


def _span(story: Story) -> tuple[float, float]:
    times = [event["mono"] for event in story.past.events]
    if not times:
        return 0.0, 1.0
    return times[0], max(story.end - times[0], 0.001)


def _place(mono: float, begin: float, length: float) -> float | None:
    place = 1000 * (mono - begin) / length
    return round(place, 1) if 0 <= place <= 1000 else None
