"""Real Windows processes: run by .ci/windows-lane under wine, and as they are on Windows."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.engines import Ask, Launch
from openscope_experimental_launcher.supervision.supervisor import Acquisition, guard_spec


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform != "win32":
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="Windows only; see .ci/windows-lane"))


def under_wine() -> bool:
    """Whether this Windows is none."""
    return sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; Windows knows a pid as long as somebody has a handle of it."""
    import pywintypes
    import win32api
    import win32event

    try:
        process = win32api.OpenProcess(0x100000, False, pid)
    except pywintypes.error:
        return False
    return win32event.WaitForSingleObject(process, 0) == win32event.WAIT_TIMEOUT


def spec_for(arguments: list[str], session: Path, **changes: Any) -> dict[str, Any]:
    """A guard's order book with test-like values."""
    limits, ask = changes.pop("limits", {}), changes.pop("ask", Ask("signal"))
    return guard_spec(
        Launch(tuple(arguments), str(session), ask=ask),
        session_folder=session,
        stdout=session / "stdout.log",
        stderr=session / "stderr.log",
        limits={"disk_reserve_gb": None, **limits},
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
            **changes,
        },
    )


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """The folder of the session that `guarded` starts."""
    folder = tmp_path / "Sitzung Ü 1"
    folder.mkdir()
    return folder


@pytest.fixture
def guarded(tmp_path: Path, session: Path) -> Iterator[Callable[..., Acquisition]]:
    """Start a Python program under a guard; what still runs at the end is killed."""
    started: list[Acquisition] = []

    def start(program: str, *, job: Any = None, **changes: Any) -> Acquisition:
        spec = spec_for([sys.executable, "-c", program], session, **changes)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        acquisition = Acquisition.start(tmp_path / "run", spec, environment, job)
        started.append(acquisition)
        return acquisition

    yield start
    for acquisition in started:
        if not acquisition.ended_within(0):
            acquisition.request_kill("test", "over")
            acquisition.wait(20)
        acquisition.close()


@pytest.fixture
def python_process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program of the test's own; it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            **settings,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
