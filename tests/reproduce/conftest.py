"""Real sessions, to be run again and to be compared."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TASK = """
import os, pathlib, sys
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
(folder / "arguments.txt").write_text(" ".join(sys.argv[1:]))
"""

Openscope = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_session(openscope: Openscope, workplace: Path) -> Callable[..., Path]:
    """Run `openscope …`, which must complete; returns the new session's folder."""

    def run(*arguments: str, output: Path = workplace / "data", **options: Any) -> Path:
        before = set(output.glob("*/journal.jsonl"))
        done = openscope(*map(str, arguments), "--yes", **options)
        assert done.returncode == 0, done.stdout + done.stderr
        (journal,) = set(output.glob("*/journal.jsonl")) - before
        return journal.parent

    return run


def record(session: Path, name: str) -> dict[str, Any]:
    """One of the files in `experiment_metadata/`."""
    found = json.loads((session / "experiment_metadata" / f"{name}.json").read_bytes())
    assert isinstance(found, dict)
    return found


def change_record(session: Path, name: str, **values: Any) -> None:
    """Let a session's record say something else, as if it had run elsewhere."""
    file = session / "experiment_metadata" / f"{name}.json"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), **values}))


def event(session: Path, name: str) -> dict[str, Any]:
    """The last event of a name."""
    lines = (session / "journal.jsonl").read_bytes().splitlines()
    found = [e for e in map(json.loads, lines) if e["name"] == name]
    data = found[-1]["data"]
    assert isinstance(data, dict)
    return data
