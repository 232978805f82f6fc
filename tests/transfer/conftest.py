"""Closed sessions of any files, and places to copy them to."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from openscope_experimental_launcher.closing import Closing, close_session
from openscope_experimental_launcher.session.folder import SessionFolder, claim
from openscope_experimental_launcher.session.journal import (
    AcquisitionJudged,
    Journal,
    SessionOpened,
)
from openscope_experimental_launcher.session.state import note_for_history

MakeSession = Callable[..., SessionFolder]
MB = 1_000_000


@pytest.fixture
def make_session(tmp_path: Path) -> MakeSession:
    """Make a session of files, and close it as the launcher does."""

    def make(
        files: Mapping[str, bytes], subject: str = "614173", root: Path | None = None
    ) -> SessionFolder:
        folder = claim(root or tmp_path / "Dätä", subject)
        for name, content in files.items():
            (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / name).write_bytes(content)
        journal = Journal(tmp_path / "fallback.jsonl")
        journal.open(folder.journal)
        about = dict.fromkeys(SessionOpened.__struct_fields__, "")
        numbers = {"rehearsal": False, "pid": 1, "journal_version": 1}
        named = {"session_uuid": folder.name, "subject_id": subject}
        journal.record(SessionOpened(**{**about, **numbers, **named}))  # type: ignore[arg-type]
        journal.record(AcquisitionJudged("completed", 0, ""))
        close_session(Closing(folder, journal, "launcher"))
        journal.close()
        note_for_history(folder.path)
        return folder

    return make


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to copy to."""
    folder = tmp_path / "Nétzwerk 1"
    folder.mkdir()
    return folder


def content_of(size: int, seed: int = 0) -> bytes:
    """Bytes that are not like those of another seed, anywhere."""
    block = hashlib.shake_256(seed.to_bytes(4, "big")).digest(min(size, 65536) or 1)
    return (block * (size // len(block) + 1))[:size]


def files_in(folder: Path) -> dict[str, bytes]:
    """The files of a folder by their names, but a receipt."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in found.items() if n != "transfer_receipt.json"}


def bytes_in(folder: Path) -> int:
    """How many bytes are in a folder now, finished or not."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(root, name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.002)


@pytest.fixture
def begin_transfer() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Begin the real command, to be hurt while it works."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "openscope_experimental_launcher", "transfer"]
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def fill(disk: Path) -> None:
    """Leave no byte of room on a disk."""
    with (disk / "hog").open("wb", buffering=0) as stream:
        for size in (MB // 10, 4096, 1):
            with suppress(OSError):
                while True:
                    stream.write(bytes(size))
