"""What a display knows of a session: its journal and the end of its output, read as they grow."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..jsonl import LineFollower
from ..session.folder import SessionFolder
from ..session.journal import is_event
from ..session.output import OutputFollower
from ..session.record import SessionRecord
from ..structs import msgspec
from .words import event_in_words

STREAMS = ("stdout", "stderr")
READ_AT_ONCE = 16384
"""Bytes read of an output file at a time; what else came since is only counted."""

_KEPT_WARNINGS = 3


class Output(NamedTuple):
    """Lines that came on one stream since the last look.

    Attributes:
        stream: `stdout` or `stderr`.
        file: its file, as people find it in the session folder.
        lines: the last of them, safe to show.
        skipped_bytes: size of what came before them and was not read.
    """

    stream: str
    file: str
    lines: list[str]
    skipped_bytes: int


class News(msgspec.Struct, eq=False):
    """What came since the last look, in the order in which it should be told.

    Attributes:
        before: events up to the acquisition's end.
        output: what the acquisition printed.
        after: its end and the events after it.
    """

    before: list[Mapping[str, Any]] = []
    output: list[Output] = []
    after: list[Mapping[str, Any]] = []


class SessionView:
    """The present state of a session for those who show it.

    Args:
        folder: the session folder, running or ended.

    Attributes:
        record: the journal, folded.
        warnings: the last warnings and errors, in words.
        cpu_percent: CPU of the process tree between the last two samples, in percent of one core;
            None before there are two.
    """

    def __init__(self, folder: SessionFolder) -> None:
        self.folder = folder
        self.record = SessionRecord()
        self.warnings: deque[str] = deque(maxlen=_KEPT_WARNINGS)
        self.cpu_percent: float | None = None
        self._judged = 0
        self._unread = ""
        self._first_mono: float | None = None
        self._started_mono: float | None = None
        self._stop_mono = 0.0
        self._sizes: dict[Path, int] = {}
        self._journal = LineFollower(folder.journal)
        self._outputs = self._follow_outputs()

    def _follow_outputs(self) -> dict[str, OutputFollower]:
        attempt = self._judged + 1
        return {
            stream: OutputFollower(self.folder.output(stream, attempt), READ_AT_ONCE)
            for stream in STREAMS
        }

    def look(self, *, final: bool = False) -> News:
        """Read what is new.

        Args:
            final: give out last lines without a newline too.
        """
        news = News()
        ended = False
        for event in self._new_events():
            if event["name"] == "acquisition.started" and self._judged:
                news.output += self._new_output(final=True)
                self._outputs = self._follow_outputs()
            ended = ended or event["name"] == "acquisition.ended"
            (news.after if ended else news.before).append(event)
            self._apply(event)
        news.output += self._new_output(final=final or ended)
        return news

    def take(self, event: dict[str, Any]) -> None:
        """Take in an event that is not in the journal yet."""
        self._apply(event)

    def _grew(self, path: Path) -> bool:
        """Whether a file may hold something new: cheaper to ask than to open it."""
        try:
            now = os.stat(path).st_size  # noqa: PTH116 - five times a second, for hours
        except OSError:
            now = -1
        grew = now < 0 or now != self._sizes.get(path)
        self._sizes[path] = now
        return grew

    def _new_events(self) -> list[dict[str, Any]]:
        if not self._grew(self.folder.journal):
            return []
        try:
            records = self._journal.new_records()
        except OSError as error:
            self._say_unreadable(str(error))
            return []
        self._unread = ""
        return [record for record in records if is_event(record)]

    def _say_unreadable(self, error: str) -> None:
        if error != self._unread:
            self._unread = error
            self.warnings.append(f"! The session's journal cannot be read: {error}")

    def _new_output(self, *, final: bool) -> list[Output]:
        found = []
        for stream, follower in self._outputs.items():
            if not (self._grew(follower.path) or final):
                continue
            lines, skipped = follower.new_lines(final=final)
            if lines or skipped:
                found.append(Output(stream, f"logs/{follower.path.name}", lines, skipped))
        return found

    def _apply(self, event: dict[str, Any]) -> None:
        name, mono, before = event["name"], float(event.get("mono", 0.0)), self.record.sample
        self.record.apply(event)
        if self._first_mono is None:
            self._first_mono = mono
        if name == "acquisition.started":
            self._started_mono, self.cpu_percent = mono, None
        elif name == "acquisition.stop_requested":
            self._stop_mono = mono
        elif name == "acquisition.sampled" and before is not None:
            self.cpu_percent = _cpu_percent(before, event["data"])
        elif name == "acquisition.judged":
            self._judged += 1
        words = event_in_words(event)
        if words.startswith(("!", "✗")):
            self.warnings.append(words)

    # -- times, all by the monotonic clock, which the system shares between its processes ---------

    def at(self, event: Mapping[str, Any]) -> float:
        """Seconds from the session's first event to this one."""
        return max(float(event.get("mono", 0.0)) - (self._first_mono or 0.0), 0.0)

    def session_s(self) -> float:
        """Seconds since the session's first event."""
        first = self._first_mono
        return 0.0 if first is None else max(time.monotonic() - first, 0.0)

    def acquisition_s(self) -> float | None:
        """Seconds that the acquisition has run; None before its start."""
        if self._started_mono is None:
            return None
        if self.record.ended is not None:
            return float(self.record.ended.get("duration_s") or 0.0)
        return max(time.monotonic() - self._started_mono, 0.0)

    def running(self) -> bool:
        """Whether the acquisition runs."""
        return self.record.started is not None and self.record.ended is None

    def seconds_to_force(self) -> float | None:
        """While it is being stopped: seconds until it is ended by force; else None."""
        if self.record.stop is None or not self.running():
            return None
        grace_s = float(self.record.stop.get("kill_in_s") or 0.0)
        return max(grace_s - (time.monotonic() - self._stop_mono), 0.0)


def _cpu_percent(before: Mapping[str, Any], now: Mapping[str, Any]) -> float | None:
    elapsed = float(now.get("elapsed_s", 0.0)) - float(before.get("elapsed_s", 0.0))
    if elapsed <= 0:
        return None
    used = float(now.get("cpu_s", 0.0)) - float(before.get("cpu_s", 0.0))
    return max(100.0 * used / elapsed, 0.0)  # a process that ended takes its CPU time with it
