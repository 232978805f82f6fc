"""What every test may use: a state of its own, real repositories, parameter files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_GIT = (
    "git",
    "-c",
    "user.name=Test",
    "-c",
    "user.email=test@localhost",
    "-c",
    "commit.gpgsign=false",
)


def pytest_configure() -> None:
    """Hear Ctrl-C, in the programs that are tested too, even when the run of the tests is a
    background job of a script, which is started deaf to it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The launcher's state and caches in a temporary folder, for this process and its children."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("OPENSCOPE_STATE_DIRECTORY", str(home / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.delenv("OPENSCOPE_RIG_CONFIG", raising=False)
    return home / "state"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a space and an umlaut in its name, as the current one."""
    folder = tmp_path / "Über rig"
    folder.mkdir()
    monkeypatch.chdir(folder)
    yield folder


def git(folder: Path, *arguments: str) -> str:
    """Run git for a test's own set-up."""
    done = subprocess.run(
        [*_GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def make_repository(workplace: Path) -> Callable[..., tuple[Path, str]]:
    """Make a git repository of files; returns its folder and its commit."""

    def make(files: dict[str, str], name: str = "experiment") -> tuple[Path, str]:
        folder = workplace / name
        folder.mkdir()
        git(folder, "init", "--quiet", "--initial-branch=main")
        for file, content in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(content, encoding="utf-8")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message=A test experiment")
        return folder, git(folder, "rev-parse", "HEAD")

    return make


@pytest.fixture
def write_parameters(workplace: Path) -> Callable[..., Path]:
    """Write a parameter file; returns its path."""

    def write(name: str = "params.json", **values: Any) -> Path:
        file = workplace / name
        file.write_text(json.dumps(values), encoding="utf-8")
        return file

    return write


@pytest.fixture
def python_experiment(
    make_repository: Callable[..., tuple[Path, str]],
    write_parameters: Callable[..., Path],
    workplace: Path,
) -> Callable[..., Path]:
    """A pinned Python experiment of one script; returns its parameter file."""

    def make(script: str, **values: Any) -> Path:
        repository, commit = make_repository({"task.py": script})
        return write_parameters(
            **{
                "launcher": "python",
                "repository_url": str(repository),
                "repository_commit_hash": commit,
                "local_repository_path": str(workplace / "checkouts"),
                "script_path": "task.py",
                "subject_id": "614173",
                "user_id": "Frieda Müller",
                "OutputFolder": str(workplace / "data"),
                # They would be at work on what a test looks at.
                "session_report": False,
                "session_metadata": False,
                **values,
            }
        )

    return make


@pytest.fixture
def openscope() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real command without a terminal."""

    def run(
        *arguments: str, timeout: float = 60, **settings: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "openscope_experimental_launcher", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env={**os.environ, "PYTHONUTF8": "1", **settings.pop("env", {})},
            check=False,
            **settings,
        )

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mount a file system of so many MB; needs root on Linux."""
    mounted: list[Path] = []

    def mount(size_mb: int) -> Path:
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("mounting a small disk needs root on Linux")
        folder = tmp_path / "small disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip("no file system can be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)
