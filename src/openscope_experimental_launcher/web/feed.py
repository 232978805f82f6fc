"""One session as the page knows it: what it is now, what came since, what it was so far."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from ..display.view import Output, SessionView
from ..display.words import size, stage_name
from ..files import read_json_object
from ..jsonl import LineFollower
from ..report import REPORT_NAME
from ..report.words import LONG_TEXT, shown
from ..session.estimate import estimate_duration
from ..session.folder import SessionFolder
from ..session.journal import is_event
from ..session.notes import WaitingNote
from ..session.past import as_object
from ..session.state import short_hash
from .measures import Measures, Point

State = Literal["running", "unattended", "interrupted", "elsewhere", "closed", "gone"]
"""As in `recovery`; `elsewhere`: not opened by this account on this computer, and only watched;
`gone`: its folder is not there any more."""

Line = tuple[int, str, str]
"""A number of its own, the stream, and the text."""

_LINES_KEPT = 300
_LINES_AT_ONCE = 40
_LINE_LENGTH = 500
_NOTES_SHOWN = 50


class Change(NamedTuple):
    """What came since the last look.

    Attributes:
        events: whether anything but a measurement did.
        point: the newest measurement, or None.
        lines: the newest lines of output.
    """

    events: bool
    point: Point | None
    lines: list[Line]


class Feed:
    """Follows one session.

    Args:
        folder: its folder.
        epoch: how many times it has been begun to be followed.

    Attributes:
        state: what it does, as the watcher found out.
        here: whether it was opened by this account on this computer, and can be acted upon.
        alive: whether something of an interrupted session still lives.
        waiting: notes that are not in its journal yet.
        broken: whether it could not be read any further.
        missed: how many times in a row it was not among the open sessions.
        over_at: monotonic time at which it was seen to be closed or gone; None before.
        ask_at, forecast_at: when what is done now and then is to be done next.
    """

    def __init__(self, folder: SessionFolder, epoch: int = 0) -> None:
        self.folder = folder
        self.id = short_hash(str(folder.path))
        self.epoch = epoch
        self.view = SessionView(folder)
        self.state: State = "running"
        self.here = True
        self.alive = False
        self.waiting: list[WaitingNote] = []
        self.broken = False
        self.missed = 0
        self.over_at: float | None = None
        self.ask_at = self.forecast_at = 0.0
        self._grown_to = 0
        self.plan: Mapping[str, Any] = {}
        self._stop_grace_s: float | None = None
        self._usual_s: float | None = None
        self._measures = Measures()
        self._lines: deque[Line] = deque(maxlen=_LINES_KEPT)
        self._number = 0
        self._opened: float | None = None
        self._started: float | None = None
        self._force_at: float | None = None
        self._last_mono = 0.0
        self._guards: list[LineFollower] = []
        self._forecasts: list[str] = []

    # -- following ---------------------------------------------------------------------------------

    def look(self) -> Change:
        """Read what is new."""
        news = self.view.look()
        told = [*news.before, *news.after, *self._guards_news()]
        lines: list[Line] = []
        for output in news.output:
            lines += self._numbered(output)
        self._lines.extend(lines)
        for event in told:
            self._take(event)
        measured = sum(event["name"] == "acquisition.sampled" for event in told)
        return Change(len(told) > measured, self.last_point() if measured else None, lines)

    def give_up(self, why: str) -> None:
        """Show it as it is, with what was in the way of reading on."""
        self.broken = True
        self.view.warnings.append(f"✗ The page cannot follow this session: {why}")

    @property
    def follows_guards(self) -> bool:
        """Whether it tells more than its journal."""
        return bool(self._guards)

    def follow_guards(self, runs: Sequence[Path]) -> None:
        """Follow what its guards record, since no launcher brings it into the journal."""
        self._guards = [LineFollower(run / "guard.jsonl") for run in runs]

    def _guards_news(self) -> Iterator[Mapping[str, Any]]:
        for guard in self._guards:
            for record in filter(is_event, guard.new_records()):
                if record["mono"] > self._last_mono:
                    self.view.take(record)
                    yield record

    def _take(self, event: Mapping[str, Any]) -> None:
        mono: float = event["mono"]
        self._last_mono = max(self._last_mono, mono)
        if self._opened is None:
            self._opened = mono
        if event["name"] == "acquisition.started":
            self._started, self._force_at = mono, None
            self._measures.attempt_begins(mono)
        elif event["name"] == "acquisition.stop_requested":
            self._force_at = mono + (event["data"].get("kill_in_s") or 0.0)
        elif event["name"] == "acquisition.sampled":
            self._measures.add(mono, event["data"])

    def _numbered(self, output: Output) -> Iterator[Line]:
        texts = output.lines[-_LINES_AT_ONCE:]
        skipped = len(output.lines) - len(texts)
        if output.skipped_bytes or skipped:
            missing = size(output.skipped_bytes) if output.skipped_bytes else f"{skipped} lines"
            texts = [f"… {missing} more in {output.file}", *texts]
        for text in texts:
            self._number += 1
            yield self._number, output.stream, shown(text, _LINE_LENGTH)

    # -- now and then ------------------------------------------------------------------------------

    def read_records(self) -> None:
        """Read the plan beside the journal, once it is there, and what follows from it."""
        if self.plan:
            return
        runtime = read_json_object(self.folder.metadata / "runtime_information.json")
        self.plan = as_object(runtime.get("plan"))
        if not self.plan:
            return
        parameters = read_json_object(self.folder.metadata / "processed_parameters.json")
        self._stop_grace_s = _number(parameters.get("stop_grace_s"))
        self._usual_s = estimate_duration(self.folder.path.parent, parameters)
        self._measures.set_limits(self._limits())

    def forecast(self) -> None:
        """Say what limit will be reached, and when, if all goes on as in the last minutes."""
        running = self.view.running()
        self._forecasts = list(self._measures.forecasts(self._left_s())) if running else []

    def _left_s(self) -> float | None:
        limit_s, ran_s = _number(self._limits().get("max_duration_s")), self.view.acquisition_s()
        return None if limit_s is None or ran_s is None else max(limit_s - ran_s, 0.0)

    def _limits(self) -> Mapping[str, Any]:
        return as_object(self.plan.get("limits"))

    # -- telling -----------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """What the session is now. It is the same until something but a measurement comes: times
        are on this machine's monotonic clock, so that the page can go on counting."""
        record, view = self.view.record, self.view
        opened, ticks = record.opened, self.state in ("running", "unattended")
        stop = as_object(self.plan.get("stop"))
        ticks_on = ticks and view.running()
        return {
            "id": self.id,
            "epoch": self.epoch,
            "name": shown(opened.get("session_uuid") or self.folder.name),
            "path": shown(self.folder.path),
            "subject": shown(opened.get("subject_id") or ""),
            "user": shown(opened.get("user_id") or ""),
            "rig": shown(opened.get("rig_id") or ""),
            "computer": shown(opened.get("host") or ""),
            "rehearsal": bool(opened.get("rehearsal")),
            "state": self.state,
            "stage": shown(stage_name(record.stage)) or "starting",
            "outcome": shown(record.outcome or as_object(record.closed).get("outcome") or ""),
            "reason": shown(record.reason),
            "running": view.running(),
            "began": record.began[:19].replace("T", " "),
            "last": record.last[:19].replace("T", " "),
            "since": self._started if ticks_on else None,
            "opened": self._opened if ticks else None,
            "ran_s": None if ticks_on else self._ran_s(),
            "limit_s": _number(self._limits().get("max_duration_s")),
            "usual_s": self._usual_s,
            "force_at": self._force_at if ticks_on else None,
            "loses": shown(stop.get("loses") or ""),
            "grace_s": self._stop_grace_s,
            "acts": self.acts(),
            "warnings": [shown(text) for text in view.warnings],
            "forecasts": self._forecasts,
            "notes": [*self._notes()],
            "report": report_address(self.folder.path),
        }

    def _ran_s(self) -> float | None:
        if self.view.record.ended is not None:
            return self.view.acquisition_s()
        zero = self._measures.zero
        return None if zero is None else max(self._last_mono - zero, 0.0)

    def acts(self) -> dict[str, bool]:
        """What can be done with it now."""
        living = self.state in ("running", "unattended") or self.alive
        return {
            "note": self.here and self.state in ("running", "unattended", "interrupted"),
            "stop": self.here and living and self.view.running(),
            "recover": self.here and self.state == "interrupted",
        }

    def _notes(self) -> Iterator[dict[str, Any]]:
        for note in self.view.record.notes[-_NOTES_SHOWN:]:
            yield _note(note.get("text"), note.get("by"), str(note["time"]), waiting=False)
        for left in self.waiting:
            yield _note(left.text, left.by, left.time, waiting=True)

    def detail(self) -> dict[str, Any]:
        """What it was so far: curves with every peak, and the last lines."""
        return {
            "id": self.id,
            "epoch": self.epoch,
            "plots": self._measures.plots(),
            "lines": list(self._lines),
        }

    def last_point(self) -> Point | None:
        """The newest measurement."""
        return self._measures.last_point(self.view.cpu_percent)

    def has_grown(self) -> bool:
        """Whether its journal has, since this was last asked."""
        before, self._grown_to = self._grown_to, self.view.record.last_seq
        return before != self._grown_to

    def is_there(self) -> bool:
        """Whether its journal is where it was."""
        return os.path.isfile(self.folder.journal)  # noqa: PTH113 - each second, for each session


def report_address(folder: Path) -> str:
    """Where the page has a session's report; empty for a name that no address can hold.

    Reports refer to those beside them, so the address is built as the folders are.
    """
    try:
        name = quote(folder.name, safe="")
    except UnicodeEncodeError:
        return ""
    return f"/reports/{short_hash(str(folder.parent))}/{name}/{REPORT_NAME}"


def _note(text: object, by: object, time_of: str, *, waiting: bool) -> dict[str, Any]:
    return {
        "text": shown(text or "", LONG_TEXT),
        "by": shown(by or ""),
        "time": shown(time_of[11:19]),
        "waiting": waiting,
    }


def _number(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e12 else None
