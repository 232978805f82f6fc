"""How many git processes the repository costs a whole session whose commit is here already."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell script on the PATH")

MOST = 5


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A git first on the PATH that notes each of its runs; returns what was noted since."""
    log = tmp_path / "calls"
    program = tmp_path / "counting" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >> "{log}"\nexec "{shutil.which("git")}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")

    def taken() -> list[str]:
        calls = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return calls

    return taken


@pytest.mark.parametrize("local_root", ["checkouts", "checkouts/experiment"])
@pytest.mark.parametrize("ref", ["pinned", "short", "main", "HEAD"])
def test_a_session_whose_commit_is_here_costs_few(
    openscope: Callable[..., subprocess.CompletedProcess[str]],
    python_experiment: Callable[..., Path],
    counted: Callable[[], list[str]],
    workplace: Path,
    ref: str,
    local_root: str,
) -> None:
    file = python_experiment("print('x')")
    assert openscope("run", str(file), "--yes").returncode == 0
    commit = json.loads(file.read_bytes())["repository_commit_hash"]
    asked = {"pinned": commit, "short": commit[:8]}.get(ref, ref)
    counted()
    place = f"local_repository_path={workplace / local_root}"
    done = openscope(
        "run", str(file), "--yes", "--set", f"repository_commit_hash={asked}", "--set", place
    )
    assert done.returncode == 0, done.stderr
    calls = counted()
    assert 0 < len(calls) <= MOST, "\n".join(calls)
