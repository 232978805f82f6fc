"""The journal and its lines: nothing acknowledged is lost, nothing torn is believed."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest

from openscope_experimental_launcher.jsonl import LineFollower, LineLog, read_lines
from openscope_experimental_launcher.session.journal import (
    Journal,
    NoteAdded,
    StageEntered,
    read_journal,
)
from openscope_experimental_launcher.session.record import fold


def test_events_before_the_folder_are_kept_with_their_times(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "fallback.jsonl")
    journal.record(StageEntered("parameters"))
    journal.open(tmp_path / "journal.jsonl")
    journal.record(StageEntered("checks"))
    events = list(read_journal(tmp_path / "journal.jsonl"))
    assert [(e["seq"], e["data"]["stage"]) for e in events] == [(1, "parameters"), (2, "checks")]
    assert events[0]["mono"] <= events[1]["mono"]
    assert set(events[0]) == {"seq", "time", "mono", "name", "data"}


def test_a_journal_goes_on_where_it_was_left(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    record = {"seq": 1, "time": "t", "mono": 1.0, "name": "acquisition.started", "data": {}}
    for _ in range(2):
        journal = Journal(tmp_path / "fallback.jsonl")
        journal.open(path)
        journal.import_guard_record("run-a", record)
        journal.import_guard_record("run-a", record)
        journal.record(NoteAdded("hello"))
        journal.close()
    names = [event["name"] for event in read_journal(path)]
    assert names == ["acquisition.started", "note.added", "note.added"]
    assert [event["seq"] for event in read_journal(path)] == [1, 2, 3]


def test_every_prefix_of_a_journal_is_a_valid_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(tmp_path / "fallback.jsonl")
    journal.open(path)
    for number in range(40):
        journal.record(NoteAdded(f"Notiz {number} – ü\n" * (number % 3 + 1)))
    journal.close()
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    cuts = {0, *ends, *(end - 1 for end in ends), *(end + 1 for end in ends[:-1])}
    cuts |= {random.Random(7).randrange(len(whole)) for _ in range(200)}
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        acknowledged = sum(end <= cut for end in ends)
        read = [event["seq"] for event in read_journal(path)]
        # The last line is whole but for its newline when the cut is just before it.
        assert read[:acknowledged] == list(range(1, acknowledged + 1))
        assert len(read) <= acknowledged + 1
        fold(read_journal(path))
        writer = Journal(tmp_path / "fallback.jsonl")
        writer.open(path)
        writer.record(NoteAdded("after the crash"))
        writer.close()
        after = list(read_journal(path))
        assert after[-1]["data"]["text"] == "after the crash"
        assert [event["seq"] for event in after] == list(range(1, len(after) + 1))


def test_many_threads_write_whole_lines_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "fallback.jsonl")
    journal.open(tmp_path / "journal.jsonl")

    def write() -> None:
        for _ in range(50):
            journal.record(NoteAdded("x" * 300))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = list(read_journal(tmp_path / "journal.jsonl"))
    assert [event["seq"] for event in events] == list(range(1, 201))


def test_a_full_disk_moves_the_journal_and_loses_nothing(tmp_path: Path, small_disk: Path) -> None:
    journal = Journal(tmp_path / "state" / "fallback.jsonl")
    journal.open(small_disk / "journal.jsonl")
    for _ in range(200):
        journal.record(NoteAdded("y" * 1000))
    journal.close()
    assert journal.failure is not None
    first = [event["seq"] for event in read_journal(small_disk / "journal.jsonl")]
    second = [event["seq"] for event in read_journal(journal.fallback)]
    assert first + second == list(range(1, 201))
    assert second


def test_a_follower_gives_each_record_once(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    follower = LineFollower(path)
    assert follower.new_records() == []
    with path.open("wb") as stream:
        stream.write(b'{"a":1}\n{"a":')
        stream.flush()
        assert follower.new_records() == [{"a": 1}]
        stream.write(b"2}\n")
        stream.flush()
        assert follower.new_records() == [{"a": 2}]
    assert follower.new_records() == []


@pytest.mark.parametrize("junk", [b"\xff\xfe", b'{"a":', b"[1]", b'"x"', b"{" * 100_000, b"NaN"])
def test_foreign_lines_are_passed_over(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(junk + b'\n{"a":1}\n' + junk)
    assert list(read_lines(path)) == [{"a": 1}]
    log = LineLog(path)
    log.append({"b": "\udc80 lone surrogate"}, sync=True)
    log.close()
    assert json.loads(path.read_bytes().splitlines()[-1])["b"] == "\udc80 lone surrogate"
