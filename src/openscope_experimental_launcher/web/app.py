"""The page as a web application: what can be asked for, and what is answered."""

from __future__ import annotations

import asyncio
import json
import logging
import platform
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from .. import __version__
from ..display.history import cells
from ..errors import LauncherError, SessionError
from ..session.index import Query, open_history
from ..session.summary import OPEN, Summary
from . import actions
from .assets import SERVED, asset
from .feed import Feed, report_address
from .gate import refusal
from .watcher import Watcher

_WAITING = 256
"""Messages that wait for a slow page before it has to begin anew."""

_LARGEST_BODY = 64 * 1024
_ROWS = 25
_MOST_ROWS = 500
_REPORT_HEADERS = {
    # The report as if from a place of its own: it can neither ask this page for anything nor send
    # anything anywhere, whatever an acquisition may have put there.
    "content-security-policy": "sandbox allow-scripts; default-src 'none'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
}

_log = logging.getLogger(__name__)


class OpenPage:
    """A page that somebody has open: messages wait here until its connection takes them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    def put(self, message: bytes | None) -> None:
        """Send a message, or the end; from any thread."""
        self._loop.call_soon_threadsafe(self._put, message)

    def _put(self, message: bytes | None) -> None:
        # A page that is too slow is told no more: its browser asks again, and begins anew.
        if self._queue.qsize() < _WAITING:
            self._queue.put_nowait(message if self._queue.qsize() < _WAITING - 1 else None)

    async def messages(self) -> AsyncIterator[bytes]:
        """The messages, until the end."""
        while (message := await self._queue.get()) is not None:
            yield message


class LivePage:
    """The answers.

    Args:
        watcher: follows the open sessions.
        roots: folders of sessions that were named.
        word: what the page has to say with what it wants done.
        read_only: whether nothing can be done on it.
    """

    def __init__(self, watcher: Watcher, roots: list[Path], word: str, *, read_only: bool) -> None:
        self._watcher = watcher
        self._roots = roots
        self._word = word
        self._read_only = read_only
        self._open: set[OpenPage] = set()
        self._one_report = CapacityLimiter(1)
        self._one_look = CapacityLimiter(2)

    def application(self) -> Starlette:
        """The application, to be put behind the gate."""
        session = "/api/sessions/{number}"
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/assets/{name}", self.asset),
                Route("/api/events", self.events),
                Route("/api/history", self.history),
                Route(session, self.detail),
                Route(session + "/note", self.note, methods=["POST"]),
                Route(session + "/stop", self.stop, methods=["POST"]),
                Route(session + "/recover", self.recover, methods=["POST"]),
                Route("/reports/{root}/{name}/report.html", self.report),
            ],
            exception_handlers={
                HTTPException: _no_answer,
                LauncherError: _not_done,
                Exception: _broken,
            },
        )

    def start(self) -> None:
        """Begin to follow the sessions."""
        self._watcher.start()

    def end(self) -> None:
        """End what goes on for ever: the streams of events."""
        for page in tuple(self._open):
            page.put(None)

    # -- to look at --------------------------------------------------------------------------------

    async def page(self, _: Request) -> Response:
        """The page itself."""
        return Response(asset("live.html"), media_type="text/html")

    async def asset(self, request: Request) -> Response:
        """A file of the page."""
        name = request.path_params["name"]
        if name not in SERVED:
            return refusal(404, "There is no such file.")
        return Response(asset(name), media_type=SERVED[name])

    async def events(self, _: Request) -> Response:
        """All that happens, as it happens."""
        page = OpenPage()
        self._open.add(page)
        about = {
            "kind": "hello",
            "word": self._word,
            "read_only": self._read_only,
            "computer": platform.node(),
            "version": __version__,
        }

        async def stream() -> AsyncIterator[bytes]:
            try:
                yield b"retry: 1000\ndata: " + json.dumps(about).encode() + b"\n\n"
                await to_thread.run_sync(self._watcher.join_in, page)
                async for message in page.messages():
                    yield message
            finally:
                self._open.discard(page)
                self._watcher.leave(page)

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def detail(self, request: Request) -> Response:
        """What an open session was so far."""
        number = request.path_params["number"]
        found = await to_thread.run_sync(self._watcher.detail, number)
        return JSONResponse(found) if found else _unknown()

    async def history(self, request: Request) -> Response:
        """Sessions of the past."""
        query = _query(request)
        states = self._watcher.states()
        found = await to_thread.run_sync(_look_up, query, states, limiter=self._one_look)
        return JSONResponse(found)

    async def report(self, request: Request) -> Response:
        """The report of a session."""
        asked = request.path_params
        work = partial(_report, asked["root"], asked["name"], self._roots)
        html = await to_thread.run_sync(work, limiter=self._one_report, abandon_on_cancel=True)
        return Response(html, media_type="text/html", headers=_REPORT_HEADERS)

    # -- to do -------------------------------------------------------------------------------------

    async def note(self, request: Request) -> Response:
        """Leave a note."""
        said = await _said(request)
        text, by = str(said.get("text", "")), str(said.get("by", ""))
        return await self._do(request, lambda feed: actions.add_note(feed.folder, text, by))

    async def stop(self, request: Request) -> Response:
        """Ask an acquisition to end, or end it."""
        said = await _said(request)
        reason, by_force = str(said.get("reason", "")), said.get("now") is True
        return await self._do(
            request, lambda feed: actions.stop(feed.folder, reason, by_force=by_force)
        )

    async def recover(self, request: Request) -> Response:
        """Close a session whose launcher was lost."""
        return await self._do(
            request, lambda feed: actions.recover(feed.folder, feed.view.warnings.append)
        )

    async def _do(self, request: Request, work: Callable[[Feed], None]) -> Response:
        number, act = request.path_params["number"], request.url.path.rpartition("/")[2]
        feed = await to_thread.run_sync(self._watcher.session, number)
        if feed is None:
            return _unknown()
        if not feed.acts()[act]:
            raise SessionError(
                "This cannot be done with this session now.",
                code="session-not-so",
                where=str(feed.folder.path),
                fix="Look at what it does: it may have gone on meanwhile.",
            )
        await to_thread.run_sync(work, feed)
        await to_thread.run_sync(self._watcher.look_again)
        return JSONResponse({})


def _report(root: str, name: str, roots: list[Path]) -> bytes:
    return actions.report_of(actions.session_of_address(root, name, roots))


async def _said(request: Request) -> dict[str, Any]:
    """The JSON object that was sent."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_BODY:
            raise HTTPException(413, "This is too long.")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "This is no JSON.") from error
    if not isinstance(said, dict):
        raise HTTPException(400, "This is no JSON object.")
    return said


def _query(request: Request) -> Query:
    asked = request.query_params
    since = asked.get("since", "")
    try:
        since_s = datetime.fromisoformat(since).timestamp() if since else None
        offset, limit = int(asked.get("offset", 0)), int(asked.get("limit", _ROWS))
    except (ValueError, OverflowError, OSError) as error:
        raise HTTPException(400, "This is no date or number.") from error
    return Query(
        asked.get("subject", "").strip(),
        asked.get("rig", "").strip(),
        asked.get("outcome", ""),
        since_s,
        text=asked.get("text", ""),
        limit=min(max(limit, 1), _MOST_ROWS),
        offset=max(offset, 0),
    )


def _look_up(query: Query, states: dict[str, str]) -> dict[str, Any]:
    with open_history() as history:
        found, number = history.find(query), history.count(query)
        known = {name: history.names(name) for name in ("subject", "rig")}
        return {
            "rows": [_row(session, states) for session in found],
            "number": number,
            "all": history.count(),
            **known,
        }


def _row(session: Summary, states: dict[str, str]) -> dict[str, Any]:
    state = session.outcome
    if state == OPEN:
        state = states.get(session.folder, OPEN)
    return {
        **cells(session, state),
        "subject": session.subject,
        "began": session.began[:16].replace("T", " "),
        "report": report_address(Path(session.folder)) if session.present else "",
    }


def _unknown() -> Response:
    return refusal(404, "This session is not shown any more.", code="session-unknown")


async def _no_answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    return refusal(error.status_code, str(error.detail))


async def _not_done(request: Request, error: Exception) -> Response:
    assert isinstance(error, LauncherError)  # noqa: S101
    known = 404 if error.code == "session-unknown" else 409
    if "text/html" in request.headers.get("accept", ""):
        return Response(error.render(), known, media_type="text/plain")
    found = error.findings[0]
    return refusal(known, error.message, code=error.code, fix=found.fix)


async def _broken(request: Request, error: Exception) -> Response:
    _log.error("the page failed", exc_info=error)
    return refusal(500, "The page failed at this; live-page.log says more.")
