"""A note from beside is never lost and never there twice, whenever it comes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from openscope_experimental_launcher.session.journal import Journal, read_journal
from openscope_experimental_launcher.session.notes import (
    leave_note,
    take_in_notes,
    waiting_notes,
)


def _events(folder: Path) -> list[dict[str, Any]]:
    return list(read_journal(folder / "journal.jsonl"))


def _notes(folder: Path) -> list[tuple[str, str]]:
    found = (event["data"] for event in _events(folder) if event["name"] == "note.added")
    return [(note["text"], note["by"]) for note in found]


def _journal(folder: Path) -> Journal:
    journal = Journal(folder / "fallback")
    journal.open(folder / "journal.jsonl")
    return journal


def test_notes_come_in_order_with_the_time_at_which_they_were_left(tmp_path: Path) -> None:
    for text in ("eins", "zwei\nZeilen", "half a character \ud83d"):
        leave_note(tmp_path, text, "Frieda Müller")
    left = waiting_notes(tmp_path)
    journal = _journal(tmp_path)
    take_in_notes(tmp_path, journal)
    assert [text for text, _ in _notes(tmp_path)] == [note.text for note in left]
    assert [event["time"] for event in _events(tmp_path)] == [note.time for note in left]
    assert [event["seq"] for event in _events(tmp_path)] == [1, 2, 3]
    assert waiting_notes(tmp_path) == []


def test_a_note_is_taken_in_once_however_it_was_cut_off(tmp_path: Path, own_state: Path) -> None:
    leave_note(tmp_path, "once", "A")
    (file,) = (own_state / "notes").iterdir()
    kept = file.read_bytes()
    for _ in range(2):  # in the same process, and in the next
        journal = _journal(tmp_path)
        for _ in range(2):
            take_in_notes(tmp_path, journal)
            file.write_bytes(kept)  # as if it ended before the file was removed
        journal.close()
    assert _notes(tmp_path) == [("once", "A")]


def test_notes_of_other_sessions_and_foreign_files_are_left_alone(
    tmp_path: Path, own_state: Path
) -> None:
    leave_note(tmp_path / "other", "not here", "A")
    leave_note(tmp_path, "here", "A")
    (file,) = (f for f in (own_state / "notes").iterdir() if b'"here"' in f.read_bytes())
    for number, content in enumerate((b"", b"[]", b"{}", b'{"number": 1', b"\xff")):
        file.with_name(f"{file.name[:16]}-0{number}.json").write_bytes(content)
    take_in_notes(tmp_path, _journal(tmp_path))
    assert _notes(tmp_path) == [("here", "A")]
    assert len(waiting_notes(tmp_path / "other")) == 1


def test_a_note_waits_while_the_disk_of_its_session_is_full(
    small_disk: Path, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "fallback")
    journal.open(small_disk / "journal.jsonl")
    with suppress(OSError), (small_disk / "data").open("wb", buffering=0) as data:
        while True:
            data.write(bytes(4096))
    leave_note(small_disk, "the disk is full " + "x" * 8000, "A")
    for _ in range(2):
        take_in_notes(small_disk, journal)
    journal.close()
    assert len(waiting_notes(small_disk)) == 1
    (small_disk / "data").unlink()
    journal = _journal(small_disk)
    take_in_notes(small_disk, journal)
    assert [by for _, by in _notes(small_disk)] == ["A"]
    assert waiting_notes(small_disk) == []
