"""Real guards over real, often hostile, child processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.engines import Ask, Launch
from openscope_experimental_launcher.supervision.supervisor import Acquisition, guard_spec


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Callable[..., Acquisition]]:
    """Start a Python program, or a command, under a guard; what still runs is killed at the end."""
    started: list[Acquisition] = []

    def start(
        program: str | list[str],
        *,
        limits: dict[str, Any] | None = None,
        ask: Ask | None = None,
        **watching: Any,
    ) -> Acquisition:
        session = tmp_path / f"session {len(started)}"
        session.mkdir()
        arguments = [sys.executable, "-c", program] if isinstance(program, str) else program
        launch = Launch(tuple(arguments), str(session), ask=ask or Ask("signal"))
        spec = guard_spec(
            launch,
            session_folder=session,
            stdout=session / "stdout.log",
            stderr=session / "stderr.log",
            limits={"disk_reserve_gb": None, **(limits or {})},
            watching={
                "stop_grace_s": 5.0,
                "terminate_grace_s": 1.0,
                "on_launcher_lost": "continue",
                "unattended_minutes": 60,
                "sample_interval_s": 0.2,
                "rig_id": "test",
                "checkout": "",
                "session_uuid": session.name,
                "user_id": "",
                "recover": [],
                **watching,
            },
        )
        run_folder = tmp_path / "runs" / str(len(started))
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        acquisition = Acquisition.start(run_folder, spec, environment)
        started.append(acquisition)
        return acquisition

    yield start
    for acquisition in started:
        if not acquisition.ended_within(0):
            acquisition.request_kill("test", "over")
            acquisition.wait(60)
        acquisition.close()


@pytest.fixture
def session_of(tmp_path: Path) -> Callable[[Acquisition], Path]:
    """The session folder of an acquisition."""
    return lambda acquisition: tmp_path / f"session {acquisition.run_folder.name}"
