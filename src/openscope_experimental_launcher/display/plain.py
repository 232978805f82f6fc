"""The display without a terminal: plain lines for a file, a pipe or a service's log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .stream import SafeStream
from .thread import Display
from .view import STREAMS, Output, SessionView
from .words import clock, event_in_words

LINES_PER_S = 20
LONGEST_LINE = 500
BUSY_INTERVAL_S, QUIET_INTERVAL_S = 0.2, 1.0

_MARKS = {"stdout": "|", "stderr": "stderr |"}
"""What stands before a line of the acquisition, so that it is not taken for the launcher's."""


class Valve:
    """Lets the last lines of a stream through, up to `LINES_PER_S`, and counts the rest."""

    def __init__(self) -> None:
        self._file = ""
        self._hidden = 0
        self._exact = True
        self._room = LINES_PER_S
        self._since = 0.0

    def admit(self, output: Output, now: float) -> list[str]:
        """The lines to show, with a line before them about those that are not.

        Args:
            output: what came.
            now: monotonic seconds.
        """
        self._file = output.file
        self._refill(now)
        self._count_skipped(output)
        shown = output.lines[-self._room :] if self._room else []
        self._hidden += len(output.lines) - len(shown)
        self._room -= len(shown)
        return [*self.report(), *shown] if shown else []

    def report(self) -> list[str]:
        """A line about what was not shown since the last one, if anything."""
        if not self._hidden:
            return []
        about = "" if self._exact else "about "
        words = f"… {about}{self._hidden:,} more lines in {self._file}"
        self._hidden, self._exact = 0, True
        return [words]

    def open_wide(self) -> None:
        """Make room for a second's lines at once: the last words of a program matter most."""
        self._since = 0.0

    def _refill(self, now: float) -> None:
        if now - self._since >= 1.0:
            self._since, self._room = now, LINES_PER_S

    def _count_skipped(self, output: Output) -> None:
        if output.skipped_bytes:
            known = sum(len(line) + 1 for line in output.lines) / max(len(output.lines), 1)
            self._hidden += max(round(output.skipped_bytes / max(known, 1.0)), 1)
            self._exact = False


class PlainDisplay(Display):
    """Prints what happens and what the acquisition says, a bounded number of lines a second."""

    def __init__(self, view: SessionView, stream: SafeStream) -> None:
        super().__init__(view, stream, interval_s=BUSY_INTERVAL_S)
        self._valves = {stream: Valve() for stream in STREAMS}

    def _show(self, *, final: bool = False) -> None:
        news = self.view.look(final=final)
        for event in news.before:
            self._say_event(event)
        if final or news.after:
            for valve in self._valves.values():
                valve.open_wide()
        now = time.monotonic()
        elapsed = self.view.session_s()
        for output in news.output:
            for line in self._valves[output.stream].admit(output, now):
                self._say(elapsed, f"{_MARKS[output.stream]} {line[:LONGEST_LINE]}")
        if news.after or final:
            for valve in self._valves.values():
                for line in valve.report():
                    self._say(elapsed, line)
        for event in news.after:
            self._say_event(event)
        self.stream.flush()
        self.interval_s = BUSY_INTERVAL_S if news.output else QUIET_INTERVAL_S

    def _finish(self) -> None:
        self._show(final=True)

    def _say_event(self, event: Mapping[str, Any]) -> None:
        words = event_in_words(event)
        if words:
            self._say(self.view.at(event), words)

    def _say(self, elapsed_s: float, text: str) -> None:
        self.stream.write(f"[{clock(elapsed_s)}] {text}\n")
