"""Session folders: names, claims, the manifest."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from datetime import datetime
from pathlib import Path

import pytest

from openscope_experimental_launcher.errors import SessionError
from openscope_experimental_launcher.session.folder import (
    NAME_PATTERN,
    SessionFolder,
    claim,
    session_name,
)
from openscope_experimental_launcher.session.manifest import build_manifest, seal
from openscope_experimental_launcher.session.output import OutputFollower, readable, tail


def test_the_name_is_an_aind_raw_data_name() -> None:
    name = session_name("614173", datetime(2026, 11, 3, 9, 8, 7))
    assert name == "614173_2026-11-03_09-08-07"
    match = NAME_PATTERN.match(name)
    assert match and match["label"] == "614173"


def test_two_sessions_in_the_same_second_are_two_folders(tmp_path: Path) -> None:
    claimed: list[str] = []

    def take() -> None:
        claimed.append(claim(tmp_path / "data", "m").name)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(claimed)) == 3
    assert sorted(claimed) == sorted(p.name for p in (tmp_path / "data").iterdir())


def test_an_agreed_name_is_never_changed(tmp_path: Path) -> None:
    assert claim(tmp_path, "m", agreed_name="m_2026-11-03_09-08-07").name == "m_2026-11-03_09-08-07"
    with pytest.raises(SessionError, match="there already"):
        claim(tmp_path, "m", agreed_name="m_2026-11-03_09-08-07")


@pytest.mark.parametrize("subject", ["../x", "a/b", "/abs"])
def test_a_name_cannot_leave_the_output_folder(tmp_path: Path, subject: str) -> None:
    with pytest.raises(SessionError):
        claim(tmp_path / "data", subject)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").iterdir())


def test_a_file_in_the_way_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SessionError, match="cannot be made") as caught:
        claim(tmp_path / "data", "m")
    assert caught.value.fix


def test_the_manifest_lists_every_file_but_itself_and_the_journal(tmp_path: Path) -> None:
    folder = claim(tmp_path, "m")
    (folder.path / "deep" / "er").mkdir(parents=True)
    (folder.path / "deep" / "er" / "ü.bin").write_bytes(b"\x00" * 100_000)
    (folder.path / "empty").touch()
    folder.journal.write_text("{}\n")
    (folder.path / "link").symlink_to(tmp_path)
    hashed: list[int] = []
    manifest = build_manifest(folder, session={"session": folder.name}, on_bytes=hashed.append)
    digest = seal(folder, manifest)
    assert list(manifest["files"]) == ["deep/er/ü.bin", "empty"] or set(manifest["files"]) == {
        "deep/er/ü.bin",
        "empty",
    }
    entry = manifest["files"]["deep/er/ü.bin"]
    assert entry == {"size": 100_000, "sha256": hashlib.sha256(b"\x00" * 100_000).hexdigest()}
    assert sum(hashed) == 100_000
    assert digest == hashlib.sha256(folder.manifest.read_bytes()).hexdigest()
    assert json.loads(folder.manifest.read_bytes())["files"] == manifest["files"]


def test_output_is_made_safe_to_show() -> None:
    hostile = b"\x1b[31mred\x1b[0m \x1b]0;title\x07ok\x08\x00 \xff\xfe\r\nnext\x9b31m"
    shown = readable(hostile)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert "red ok" in shown and "next" in shown


def test_a_tail_begins_at_a_line(tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_bytes(b"".join(b"line %d\n" % n for n in range(1000)))
    assert tail(file, 30) == "line 997\nline 998\nline 999\n"
    assert tail(tmp_path / "none") == ""


def test_following_a_flood_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "out"
    follower = OutputFollower(file, max_bytes=1000)
    assert follower.new_lines() == ([], 0)
    file.write_bytes(b"x" * 50_000)
    lines, skipped = follower.new_lines()
    assert skipped == 49_000 and sum(map(len, lines)) <= 1000
    with file.open("ab") as stream:
        stream.write(b"\nfirst\nsec")
    assert follower.new_lines()[0][-1] == "first"
    with file.open("ab") as stream:
        stream.write(b"ond")
    assert follower.new_lines(final=True) == (["second"], 0)


def test_a_session_folder_knows_its_places(tmp_path: Path) -> None:
    folder = SessionFolder(tmp_path / "m_2026-11-03_09-08-07")
    assert folder.log.name == "experiment_m_2026-11-03_09-08-07.log"
    assert folder.output("stdout", 2).name == "stdout_2.log"
