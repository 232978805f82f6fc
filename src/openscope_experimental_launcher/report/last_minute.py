"""The last minute of an acquisition on one time axis: what it printed, events, measurements."""

from __future__ import annotations

import math
from typing import NamedTuple

from ..display.words import event_in_words
from .output import STREAMS, Printed, last_lines
from .reading import Story
from .words import moment_of

LAST_S = 60.0
"""The time before the end that is shown in full."""

_LINES_SHOWN = 150
_EVENTS_SHOWN = 60
_SAMPLES_SHOWN = 20
_OF_CLOSING = ("acquisition.judged", "manifest.sealed", "session.closed", "stage.entered")


class Entry(NamedTuple):
    """One thing on the time axis of the last minute.

    Attributes:
        before_end_s: seconds relative to the end, negative before it; infinite for what came when
            nobody looked at the clock any more.
        kind: `stdout`, `stderr`, `event` or `sample`.
        text: what it is.
    """

    before_end_s: float
    kind: str
    text: str

    @property
    def time(self) -> str:
        """The time as text, as `−12.3 s`."""
        if math.isinf(self.before_end_s):
            return "later"
        if abs(self.before_end_s) < 0.05:
            return "0.0 s"
        return f"{self.before_end_s:+.1f} s".replace("-", "−")


class End(NamedTuple):
    """The end of the acquisition, or the last that is known of it.

    Attributes:
        mono: on the session's own clock.
        at: seconds since 1970; None when the records do not say.
        seen: whether it was seen to end.
    """

    mono: float
    at: float | None
    seen: bool


def end_of(story: Story) -> End | None:
    """When the acquisition ended, or was last heard of; None when nothing is known."""
    ended = story.events("acquisition.ended")[-1:]
    alive = ended or [e for e in story.past.events if e["name"] not in _OF_CLOSING][-1:]
    if not alive:
        return None
    moment, mono = moment_of(alive[0]["time"]), alive[0]["mono"]
    at = moment.timestamp() if moment else None
    last = mono if ended else max(mono, story.samples.last or mono)
    return End(last, None if at is None else at + last - mono, bool(ended))


def last_minute(story: Story, end: End) -> tuple[list[Entry], int]:
    """What there was in the minute before the end and after it, in order; and how many lines of
    output before that are not shown."""
    lines, left_out = _lines(story, end)
    entries = [*lines, *_samples(story, end.mono), *_events(story, end.mono)]
    return sorted(entries, key=lambda entry: entry.before_end_s), left_out


def _events(story: Story, end: float) -> list[Entry]:
    found = [
        Entry(event["mono"] - end, "event", words)
        for event in story.past.events
        if -LAST_S <= event["mono"] - end <= LAST_S and event["mono"] <= story.end
        if (words := event_in_words(event))
    ]
    return found[-_EVENTS_SHOWN:]


def _samples(story: Story, end: float) -> list[Entry]:
    memory = story.samples.curve("memory_mb")
    recent = [
        (at - end, value)
        for at, value in zip(memory.at, memory.values, strict=True)
        if -LAST_S <= at - end <= LAST_S
    ]
    every = max(len(recent) // _SAMPLES_SHOWN, 1)
    return [Entry(at, "sample", f"memory {value:,.0f} MB") for at, value in recent[::-every]]


def _lines(story: Story, end: End) -> tuple[list[Entry], int]:
    """The output of the last minute; when it was silent by then, the last lines before."""
    printed = [
        Entry(_age(line, end), stream, line.text)
        for stream in STREAMS
        for line in last_lines(story.folder, story.record.attempts, stream)
        if line.text.strip()
    ]
    printed.sort(key=lambda line: line.before_end_s)
    recent = [line for line in printed if line.before_end_s >= -LAST_S]
    if not recent:
        recent = printed[-_SAMPLES_SHOWN:]
    shown = recent[-_LINES_SHOWN:]
    return shown, len(recent) - len(shown)


def _age(line: Printed, end: End) -> float:
    """The guard looks a few times a second, so the last lines are seen just after the end."""
    if line.at is None or end.at is None:
        return math.inf
    age = line.at - end.at
    return min(age, 0.0) if end.seen and age < 1 else age
