"""The thread that follows all open sessions and tells the pages that are open what is new.

It looks often while somebody watches, and not at all while nobody does.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ..amending import take_in_late_notes
from ..errors import attempt
from ..recovery import state_of
from ..session.folder import SessionFolder
from ..session.notes import waiting_notes
from ..supervision.strays import run_lives
from ..supervision.supervisor import runs_of
from .feed import Change, Feed, Line, Point, State
from .finding import OpenSessions

LOOK_S = 0.1
"""Between two looks at the journals: what a person sees at once."""

_SLOW_S = 1.0
_LOST_S = 3.0
_FORECAST_S = 5.0
_LATE_S = 30.0
_BEAT_S = 10.0
_MISSED = 3  # looks at which nobody knew of a session
_STAYS_S = 600.0
"""So long a session stays on the page when it is over."""

_log = logging.getLogger(__name__)


class Page(Protocol):
    """A page that somebody has open."""

    def put(self, message: bytes) -> None:
        """Send a message; called from the watcher's thread, and must not block."""


class Watcher(threading.Thread):
    """Follows the open sessions.

    Args:
        sessions: what finds them.
    """

    def __init__(self, sessions: OpenSessions) -> None:
        super().__init__(name="watcher", daemon=True)
        self._sessions = sessions
        self._feeds: dict[Path, Feed] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._pages: set[Page] = set()
        self._lock = threading.Lock()
        self._somebody = threading.Event()
        self._unsure: set[Feed] = set()
        self._slow_at = self._beat_at = 0.0

    # -- for the pages -----------------------------------------------------------------------------

    def join_in(self, page: Page) -> None:
        """Tell a page all there is now, and from now on what is new."""
        with self._lock:
            self._catch_up()
            self._changed()
            sessions = [self._whole(feed) for feed in self._feeds.values()]
            page.put(_message("all", sessions=sessions))
            self._pages.add(page)
        self._somebody.set()

    def leave(self, page: Page) -> None:
        """Tell a page nothing more."""
        with self._lock:
            self._pages.discard(page)

    def detail(self, number: str) -> dict[str, Any] | None:
        """What one session was so far; None when it is not followed."""
        with self._lock:
            self._catch_up()
            feed = self._feed(number)
            return feed.detail() if feed else None

    def look_again(self) -> None:
        """Look for new states and notes at once: a person has just changed something."""
        with self._lock:
            self._slow_at = 0.0

    def session(self, number: str) -> Feed | None:
        """The session of this number that is followed now."""
        with self._lock:
            self._catch_up()
            return self._feed(number)

    def states(self) -> dict[str, str]:
        """What the sessions that are followed do now, by their folders."""
        with self._lock:
            return {str(folder): feed.state for folder, feed in self._feeds.items()}

    def _catch_up(self) -> None:
        """Look, if nobody has looked for a while because no page was open."""
        if not self._pages:
            for _ in range(2):  # what a session does is known when its journal is
                self._look_around(time.monotonic())
                self._look()

    def _feed(self, number: str) -> Feed | None:
        return next((feed for feed in self._feeds.values() if feed.id == number), None)

    @staticmethod
    def _whole(feed: Feed) -> dict[str, Any]:
        return {**feed.summary(), "point": feed.last_point()}

    # -- the thread --------------------------------------------------------------------------------

    def run(self) -> None:
        while True:
            if not self._pages:
                self._somebody.clear()
                if not self._pages:
                    self._somebody.wait()
            began = time.monotonic()
            with self._lock:
                failure = attempt(partial(self._tell_news, began))
            if failure is not None:
                _log.error(failure.traceback)
            time.sleep(max(began + LOOK_S - time.monotonic(), LOOK_S / 5))

    def _tell_news(self, now: float) -> None:
        removed: list[str] = []
        if now >= self._slow_at:
            self._slow_at = now + _SLOW_S
            removed = self._look_around(now)
        points, lines = self._look()
        changed = self._changed()
        if not (points or lines or changed or removed) and now < self._beat_at:
            return
        self._beat_at = now + _BEAT_S
        news = _message("news", points=points, lines=lines, changed=changed, removed=removed)
        for page in self._pages:
            page.put(news)

    def _look(self) -> tuple[dict[str, Point], dict[str, list[Line]]]:
        """Read what is new; the points and lines that came, by the numbers of their sessions."""
        points: dict[str, Point] = {}
        lines: dict[str, list[Line]] = {}
        for feed in self._feeds.values():
            if feed.state == "gone" or feed.broken:
                continue
            changes: list[Change] = []
            failure = attempt(lambda f=feed, c=changes: c.append(f.look()))  # type: ignore[misc]
            if failure is not None:
                _log.error(failure.traceback)
                feed.give_up(failure.error.message)
                self._unsure.add(feed)
                continue
            (change,) = changes
            if change.point:
                points[feed.id] = change.point
            if change.lines:
                lines[feed.id] = change.lines
            if change.events:
                self._unsure.add(feed)
        return points, lines

    def _changed(self) -> list[dict[str, Any]]:
        """The sessions that are not what they were told to be."""
        changed = []
        for feed in self._unsure:
            summary = feed.summary()
            if summary != self._told.get(feed.id):
                self._told[feed.id] = summary
                changed.append(summary)
        self._unsure.clear()
        return changed

    def _look_around(self, now: float) -> list[str]:
        """What need not be known at once: which sessions there are, and what each does. Returns
        the numbers of those that are shown no more."""
        found = self._sessions.find()
        for folder, here in found.items():
            if folder not in self._feeds:
                self._feeds[folder] = Feed(SessionFolder(folder))
            self._feeds[folder].here = here
        for folder, feed in self._feeds.items():
            feed.missed = 0 if folder in found else feed.missed + 1
            state = self._state(feed, now)
            if feed.follows_guards and state in ("running", "closed"):
                # Its new launcher brings into the journal what was read from its guards already.
                feed = self._feeds[folder] = Feed(feed.folder, feed.epoch + 1)
            self._see_to(feed, state, now)
        self._unsure.update(self._feeds.values())
        old = [folder for folder, feed in self._feeds.items() if _is_old(feed, now)]
        removed = [self._feeds.pop(folder).id for folder in old]
        for number in removed:
            self._told.pop(number, None)
        return removed

    @staticmethod
    def _state(feed: Feed, now: float) -> State:
        record = feed.view.record
        if not feed.is_there():
            return "gone"
        if record.closed is not None:
            return "closed"
        if not feed.here:
            return "elsewhere"
        if feed.state == "running" and feed.has_grown():
            return "running"  # somebody writes its journal
        if feed.state in ("running", "unattended", "interrupted") and now < feed.ask_at:
            return feed.state
        feed.ask_at = now + _LOST_S
        return state_of(feed.folder, record)

    def _see_to(self, feed: Feed, state: State, now: float) -> None:
        if state != feed.state:
            _log.info("%s: %s", feed.folder.name, state)
            feed.state = state
            feed.over_at = now if state in ("closed", "gone") else None
            runs = runs_of(feed.folder) if state in ("unattended", "interrupted") else []
            feed.follow_guards(runs)
            feed.alive = any(map(run_lives, runs))
        if state in ("gone", "closed") and not feed.waiting:
            return
        feed.read_records()
        feed.waiting = waiting_notes(feed.folder.path) if feed.here else []
        if now >= feed.forecast_at:
            feed.forecast_at = now + _FORECAST_S
            feed.forecast()
        if state == "closed" and feed.waiting and now >= feed.ask_at:
            feed.ask_at = now + _LATE_S
            late = partial(attempt, partial(take_in_late_notes, feed.folder))
            threading.Thread(target=late, daemon=True).start()


def _is_old(feed: Feed, now: float) -> bool:
    """Whether a session need not be shown any more: it is over, or nobody knows of it."""
    if feed.over_at is not None:
        return now - feed.over_at > _STAYS_S
    return feed.missed > _MISSED


def _message(kind: str, **told: Any) -> bytes:
    """A message as a page's event stream has it (source: HTML, server-sent events)."""
    said = {"kind": kind, "now": round(time.monotonic(), 3), **told}
    return b"data: " + json.dumps(said, separators=(",", ":")).encode("ascii") + b"\n\n"
