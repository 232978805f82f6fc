"""Sessions that are started by the real command, to be hurt while they run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.running import OPENSCOPE, Running, end_runs


@pytest.fixture
def begin(
    python_experiment: Callable[..., Path], workplace: Path, own_state: Path
) -> Iterator[Callable[..., Running]]:
    """Begin a session of a Python script; whatever of it still lives is killed at the end."""
    launchers = []

    def start(script: str, *, env: dict[str, str] | None = None, **parameters: Any) -> Running:
        data = Path(parameters.get("OutputFolder", workplace / "data"))
        file = python_experiment(script, **parameters)
        with (workplace / "launcher.txt").open("wb") as said:
            launcher = subprocess.Popen(
                [*OPENSCOPE, "run", str(file), "--yes"],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        launchers.append(launcher)
        return Running(data, launcher)

    yield start
    for launcher in launchers:
        launcher.kill()
        launcher.wait()
    end_runs(own_state)
