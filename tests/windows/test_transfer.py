"""Copies on Windows: past the cache, on paths longer than 260 characters, beside held files."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from openscope_experimental_launcher.transfer.disk import BLOCK, digest_on_disk
from openscope_experimental_launcher.transfer.engine import Copying
from openscope_experimental_launcher.transfer.onefile import Item
from openscope_experimental_launcher.transfer.paths import extended, extended_text, shown
from openscope_experimental_launcher.transfer.places import Place
from openscope_experimental_launcher.transfer.sources import look_through
from openscope_experimental_launcher.transfer.tally import Outcome, Progress
from windows.conftest import wait_for

HOLDS = """
import ctypes, sys
handle = ctypes.WinDLL("kernel32").CreateFileW(sys.argv[1], 0xC0000000, 0, None, 3, 0, None)
print(handle, flush=True)
sys.stdin.read()
"""
"""A program that opens a file and lets nobody else open it."""

TRANSFERS = """
import sys
from pathlib import Path
from openscope_experimental_launcher.transfer.engine import Copying
from openscope_experimental_launcher.transfer.onefile import Item
from openscope_experimental_launcher.transfer.places import Place
print("begun", flush=True)
Copying(Path(sys.argv[1]), [Item("video.avi")], [Place(Path(sys.argv[2]), "s")]).run()
"""


def content_of(size: int) -> bytes:
    block = hashlib.shake_256(b"seed").digest(65536)
    return (block * (size // 65536 + 1))[:size]


def copy(source: Path, names: list[str], place: Place, **settings: object) -> Outcome:
    settings.setdefault("patience_s", ())
    copying = Copying(source, [Item(name) for name in names], [place], **settings)  # type: ignore[arg-type]
    return copying.run()[place]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "Quelle Ü"
    folder.mkdir()
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Place:
    folder = tmp_path / "Ziel Ü"
    folder.mkdir()
    return Place(folder, "s")


def test_paths_of_drives_and_shares_are_extended_once() -> None:
    assert extended_text(r"C:\data\x") == r"\\?\C:\data\x"
    assert extended_text(r"\\server\share\x") == r"\\?\UNC\server\share\x"
    assert extended_text(r"\\?\C:\x") == r"\\?\C:\x"
    assert shown(extended_text(r"\\server\share\x")) == r"\\server\share\x"
    assert shown(extended(r"C:\data")) == r"C:\data"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, BLOCK, 2 * BLOCK + 77])
def test_the_checksum_is_of_what_the_disk_has(tmp_path: Path, size: int) -> None:
    file = tmp_path / "ü.bin"
    file.write_bytes(content_of(size))
    assert digest_on_disk(file, "sha256") == hashlib.sha256(content_of(size)).hexdigest()


def test_paths_of_300_characters_and_umlauts_arrive(source: Path, place: Place) -> None:
    folders = "/".join(["Überlanger Ordner " + "x" * 60] * 5)
    names = ["täglich.csv", f"{folders}/video ß.avi", f"{folders}/klein.txt"]
    for name in names:
        file = extended(source) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content_of(BLOCK + 7 if name.endswith("avi") else 10))
    assert look_through(source).files == sorted(names)
    outcome = copy(source, names, place)
    assert outcome.complete, outcome
    for name in names:
        original, target = extended(source) / name, place.target(name)
        assert target.read_bytes() == original.read_bytes()
        assert abs(target.stat().st_mtime_ns - original.stat().st_mtime_ns) < 1000
    assert max(len(shown(place.target(name))) for name in names) > 300
    again = copy(source, names, place)
    assert sorted(again.there) == sorted(names)


def test_a_file_that_a_program_holds_is_tried_again_and_all_others_arrive(
    source: Path, place: Place, python_process: Callable[..., subprocess.Popen[str]]
) -> None:
    for name in ("held.bin", "free.bin"):
        (source / name).write_bytes(content_of(100))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(source / "held.bin")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        outcome = copy(source, ["held.bin", "free.bin"], place)
        assert outcome.copied == ["free.bin"]
        assert outcome.failures["held.bin"].code == "copy-source-unreadable"

        def look(progress: Progress) -> None:
            if "cannot be read" in progress.waiting:
                holder.kill()

        outcome = copy(
            source, ["held.bin", "free.bin"], place, patience_s=(1.0,) * 20, on_progress=look
        )
        assert outcome.complete and outcome.copied == ["held.bin"]
    finally:
        holder.kill()
        holder.communicate()


def test_a_copy_that_was_killed_goes_on(
    source: Path, place: Place, python_process: Callable[..., subprocess.Popen[str]]
) -> None:
    content = content_of(30 * BLOCK + 5)
    (source / "video.avi").write_bytes(content)
    folder = place.folder

    def partial() -> int:
        return sum(file.stat().st_size for file in folder.glob(".*.partial"))

    for limit in (1, 10 * BLOCK):
        process = python_process(TRANSFERS, str(source), str(place.root))
        wait_for(lambda: process.poll() is not None or partial() > limit, 60)  # noqa: B023
        process.kill()
        process.wait()
    outcome = copy(source, ["video.avi"], place)
    assert outcome.complete
    assert (folder / "video.avi").read_bytes() == content
    assert [file.name for file in folder.iterdir()] == ["video.avi"]
