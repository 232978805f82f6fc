"""Live pages and the sessions that they show."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from report.conftest import BEGAN, Past
from web.serving import Running, Served


@pytest.fixture
def serve(own_state: Path) -> Iterator[Callable[..., Served]]:
    """Start `openscope serve` on a free port; it is ended after the test."""
    started: list[Served] = []

    def start(*arguments: object, **environment: str) -> Served:
        started.append(Served(*map(str, arguments), **environment))
        return started[-1]

    yield start
    for served in started:
        served.kill()


@pytest.fixture
def running(tmp_path: Path, own_state: Path) -> Iterator[Callable[..., Running]]:
    """Begin a session of this machine that stays open until the test ends."""
    begun: list[Running] = []

    def begin(subject: str = "614173", *, limits: Any = None, **opened: Any) -> Running:
        begins = BEGAN + timedelta(seconds=len(begun))
        past = Past(
            tmp_path / "Über data",
            begins,
            **{"subject_id": subject, "host": platform.node(), **opened},
        )
        past.recorded(limits=limits)
        folder = past.written()
        # Its times are those of this machine's clock, since it runs now.
        (folder / "journal.jsonl").write_bytes(b"")
        session = Running(folder)
        opening = {**past.opened, "session_uuid": folder.name}
        session.tell("session.opened", **opening)
        session.tell("stage.entered", stage="acquisition")
        session.tell("acquisition.started", pid=17)
        begun.append(session)
        return session

    yield begin
    for session in begun:
        session.end()
