"""A terminal for the display's tests: a real pseudo-terminal and an emulator that shows it."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCENE = Path(__file__).with_name("scene.py")


def _load_scene() -> ModuleType:
    spec = importlib.util.spec_from_file_location("display_scene", SCENE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    """A session folder that the test writes to."""
    return _load_scene().Scene(tmp_path)


class Terminal:
    """A scene that plays on a pseudo-terminal, and what a person sees of it."""

    def __init__(
        self, folder: Path, act: str, rows: int, columns: int, environment: dict[str, str]
    ) -> None:
        pexpect = pytest.importorskip("pexpect")
        pyte = pytest.importorskip("pyte")
        self.root = folder
        self.session = folder / "614173_2025-03-01_10-00-00"
        self.received = b""
        self.screen = pyte.Screen(columns, rows)
        self._emulator = pyte.ByteStream(self.screen)
        self.child = pexpect.spawn(
            sys.executable,
            [str(SCENE), str(folder), act, "3"],
            dimensions=(rows, columns),
            env={**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
            timeout=20,
        )
        self.child.delaybeforesend = None

    def read(self, seconds: float = 0.1) -> None:
        """Take in what came within some time."""
        import pexpect

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                data = self.child.read_nonblocking(65536, 0.05)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                return
            self.received += data
            self._emulator.feed(data)

    def see(self, text: str, within_s: float = 15) -> str:
        """Wait until the screen shows a text; returns the screen."""
        until = time.monotonic() + within_s
        while text not in self.picture:
            assert time.monotonic() < until, f"not seen: {text!r} on\n{self.picture}"
            self.read()
        return self.picture

    def end(self) -> int:
        """Wait for the program's end; returns its exit code."""
        until = time.monotonic() + 20
        while self.child.isalive():
            assert time.monotonic() < until, f"still there:\n{self.picture}"
            self.read()
        self.read(0.2)
        code: int = self.child.exitstatus
        return code

    @property
    def picture(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def go(self) -> None:
        """Let the scene come to its end."""
        (self.session / "go").touch()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """Plays an act on a terminal."""
    opened: list[Terminal] = []

    def play(act: str, rows: int = 24, columns: int = 80, **environment: str) -> Terminal:
        opened.append(Terminal(tmp_path, act, rows, columns, environment))
        return opened[-1]

    yield play
    for one in opened:
        if not one.child.closed:
            one.child.close(force=True)
