"""What is loaded on the way to the acquisition, which every session waits for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# inspect is what typing_extensions would bring (see structs.py).
HEAVY = {
    "importlib.metadata",
    "inspect",
    "jinja2",
    "psutil",
    "pydantic",
    "rich",
    "sqlite3",
}
_LOADED = re.compile(r"^import time:.*\| +(\S+)$", re.MULTILINE)


@pytest.mark.parametrize("verb", [("run", "--yes"), ("check",), ("plan",)])
def test_nothing_heavy_is_loaded(
    verb: tuple[str, ...],
    openscope: Callable[..., subprocess.CompletedProcess[str]],
    python_experiment: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, *options = verb
    file = python_experiment("print('a trial')")
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = openscope(name, str(file), *options)
    assert done.returncode == 0, done.stderr
    loaded = set(_LOADED.findall(done.stderr))
    assert "openscope_experimental_launcher.plan" in loaded
    assert sorted(HEAVY & loaded) == []
