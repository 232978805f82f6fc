"""Launchers and guards killed after every kind of event and at random moments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CRASHPOINTS = Path(__file__).parents[2] / "bench" / "crashpoints.py"


@pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals")
@pytest.mark.timeout(300)
def test_twenty_five_kills_lose_nothing_and_leave_closed_sessions() -> None:
    """A drawing of the cases that the benchmark goes through by the hundred; its last line has
    the seed to draw them again."""
    command = [sys.executable, str(CRASHPOINTS), "25", "6"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 lost, 0 problems" in done.stdout
