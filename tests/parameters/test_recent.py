"""The list of recent parameter files survives whatever happens to it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from openscope_experimental_launcher.parameters.recent import (
    MOST_REMEMBERED,
    recent_files,
    remember,
)


def new_files(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"p{number}.json" for number in range(count)]
    for path in paths:
        path.write_text("{}")
    return paths


def test_latest_first_each_once_and_not_too_many(tmp_path: Path) -> None:
    state = tmp_path / "state" / "launcher"
    assert recent_files(state) == []
    paths = new_files(tmp_path, MOST_REMEMBERED + 5)
    for path in [*paths, paths[10]]:
        remember(state, path)
    latest = [paths[10], *(path for path in reversed(paths) if path != paths[10])]
    assert recent_files(state) == latest[:MOST_REMEMBERED]


def test_relative_names_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = new_files(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    remember(tmp_path / "state", Path(path.name))
    monkeypatch.chdir("/")
    assert recent_files(tmp_path / "state") == [path]


def test_files_that_are_gone_are_not_offered_but_come_back(tmp_path: Path) -> None:
    first, second = new_files(tmp_path, 2)
    remember(tmp_path, first)
    remember(tmp_path, second)
    first.unlink()
    assert recent_files(tmp_path) == [second]
    first.write_text("{}")
    assert recent_files(tmp_path) == [second, first]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0\0\0",
        b"{",
        b"{}",
        b"3",
        b"\xff\xfe",
        b"[" * 100_000,
        b'[1, null, {}, "", "\\u0000", "\\ud800", "/no/such/file"]',
    ],
)
def test_damage_is_forgotten(tmp_path: Path, damage: bytes) -> None:
    (path,) = new_files(tmp_path, 1)
    (tmp_path / "recent.json").write_bytes(damage)
    assert recent_files(tmp_path) == []
    remember(tmp_path, path)
    assert recent_files(tmp_path) == [path]


def test_a_folder_that_cannot_be_written_is_no_matter(tmp_path: Path) -> None:
    (path,) = new_files(tmp_path, 1)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    remember(blocked, path)
    remember(blocked / "deeper", path)
    assert recent_files(blocked) == []
    (tmp_path / "recent.json").mkdir()
    remember(tmp_path, path)
    assert recent_files(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="names there are bytes")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/p\xff.json"))
    path.write_text("{}")
    remember(tmp_path, path)
    assert recent_files(tmp_path) == [path]
    json.loads((tmp_path / "recent.json").read_text(encoding="ascii"))
