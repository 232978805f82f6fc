"""A rig with a stand-in for MATLAB: its Python package, or a program of its name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

STANDIN = Path(__file__).with_name("standin")

Experiment = Callable[..., Path]


@pytest.fixture
def matlabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the MATLABs that share an engine; one does, named Rig."""
    folder = tmp_path / "matlabs"
    folder.mkdir()
    (folder / "Rig").touch()
    monkeypatch.setenv("STANDIN_MATLABS", str(folder))
    others = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(STANDIN), others])))
    return folder


@pytest.fixture
def matlab_experiment(write_parameters: Callable[..., Path], workplace: Path) -> Experiment:
    """A MATLAB experiment whose functions the stand-in knows; returns its parameter file."""

    def make(function: str = "run_session", **values: Any) -> Path:
        names = ["run_session", "fail", "hang", "deaf", "vanish", "interrupted"]
        (workplace / "matlab" / "+lab").mkdir(parents=True)
        for name in [*names, "+lab/run_session"]:
            code = f"function {Path(name).name}(varargin)\nend\n"
            (workplace / "matlab" / f"{name}.m").write_text(code)
        return write_parameters(
            **{
                "launcher": "matlab",
                "matlab_engine_name": "Rig",
                "matlab_entrypoint": f"matlab/{function}.m",
                "subject_id": "614173",
                "user_id": "Frieda Müller",
                "OutputFolder": str(workplace / "data"),
                **values,
            }
        )

    return make


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a program named `matlab` on the PATH, made of a Python script; returns its path."""

    def make(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        file = folder / "matlab"
        file.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return file

    return make


def only_session(workplace: Path) -> Path:
    """The one session folder."""
    (session,) = (workplace / "data").iterdir()
    return session


def outcome(session: Path) -> tuple[str, str]:
    """How the acquisition of a session was judged, and why."""
    for line in (session / "journal.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["name"] == "acquisition.judged":
            return event["data"]["outcome"], event["data"]["reason"]
    raise AssertionError("not judged")
