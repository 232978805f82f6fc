"""The history: an index that can always be made again from the session folders."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.errors import SessionError
from openscope_experimental_launcher.session.index import (
    VERSION,
    History,
    Query,
    history_file,
    locate,
    open_history,
)
from openscope_experimental_launcher.session.state import (
    forget_session,
    known_roots,
    note_for_history,
    noted_for_history,
    remember_session,
)

_FIRST = datetime(2026, 3, 1, 10, 30, tzinfo=timezone(timedelta(hours=-8)))

Make = Callable[..., Path]


@pytest.fixture
def make(workplace: Path) -> Make:
    """Leave the records of a session that was; returns its folder."""

    def make_session(
        day: int,
        subject: str = "614173",
        *,
        rig: str = "B2",
        outcome: str | None = "completed",
        note: str = "",
        root: str = "data",
        **parameters: Any,
    ) -> Path:
        began = _FIRST + timedelta(days=day)
        folder = workplace / root / f"{subject}_{began:%Y-%m-%d_%H-%M-%S}"
        (folder / "experiment_metadata").mkdir(parents=True)
        opened = {
            "session_uuid": folder.name, "subject_id": subject, "user_id": "Frieda Müller",
            "rig_id": rig, "launcher": "python", "host": "rig-host", "rehearsal": False,
        }  # fmt: skip
        events: list[tuple[str, dict[str, Any]]] = [("session.opened", opened)]
        code = {"url": "https://host/lab/oddball", "ref": "main", "commit": f"{day:040x}"}
        events.append(("repository.ready", {**code, "path": "x", "dirty": False}))
        if note:
            events.append(("note.added", {"text": note}))
        if outcome:
            ended = {"exit_code": 0, "signal": None, "stop": None, "duration_s": 60.5}
            events.append(("acquisition.ended", ended))
            judged = {"outcome": outcome, "reason": "It said so."}
            events.append(("acquisition.judged", judged))
            events.append(("manifest.sealed", {"files": 7, "size_bytes": 12_000_000}))
            events.append(("session.closed", {**judged, "closed_by": "launcher"}))
        lines = [
            {"seq": n, "time": began.isoformat(), "mono": n, "name": name, "data": data}
            for n, (name, data) in enumerate(events, 1)
        ]
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        (folder / "journal.jsonl").write_text(text, encoding="utf-8")
        file = folder / "experiment_metadata" / "processed_parameters.json"
        file.write_text(json.dumps({"subject_id": subject, **parameters}), encoding="utf-8")
        return folder

    return make_session


@pytest.fixture
def history() -> Iterator[History]:
    """The history, open."""
    with open_history() as opened:
        yield opened


def _names(query: Query = Query()) -> list[str]:  # noqa: B008
    with open_history() as history:
        return [session.name for session in history.find(query)]


def test_a_closed_session_is_in_the_history(make: Make) -> None:
    folder = make(1)
    remember_session(folder)
    forget_session(folder)
    with open_history() as history:
        (found,) = history.find()
    assert (found.name, found.folder) == (folder.name, str(folder))
    assert (found.subject, found.user, found.rig) == ("614173", "Frieda Müller", "B2")
    assert (found.outcome, found.reason, found.closed_by) == (
        "completed", "It said so.", "launcher",
    )  # fmt: skip
    assert (found.duration_s, found.files, found.size_bytes) == (60.5, 7, 12_000_000)
    assert datetime.fromisoformat(found.began).timestamp() == found.began_s
    assert found.present
    assert noted_for_history() == []
    assert known_roots() == [folder.parent]


def test_an_open_session_is_known_and_followed(make: Make) -> None:
    folder = make(1, outcome=None)
    remember_session(folder)
    with open_history() as history:
        assert [session.outcome for session in history.find()] == ["open"]
    shutil.rmtree(folder)
    make(1, outcome="failed")
    forget_session(folder)
    with open_history() as history:
        assert [session.outcome for session in history.find()] == ["failed"]


def test_an_open_session_that_another_machine_closed_is_read_again(
    make: Make, own_state: Path
) -> None:
    folder = make(1, outcome=None)
    remember_session(folder)
    assert _names(Query(outcome="open"))
    shutil.rmtree(own_state / "open")
    shutil.rmtree(folder)
    make(1, outcome="lost")
    assert not _names(Query(outcome="open"))
    assert _names(Query(outcome="lost"))


def test_sessions_are_found_by_what_they_are(make: Make, history: History) -> None:
    make(1, "614173", rig="B2")
    make(2, "614174", rig="B2", outcome="failed", note="The lick spout was blocked")
    make(3, "614173", rig="F1", script_parameters={"reward": 3.5, "contrast": "Höhe"})
    assert history.add_root(Path("data")) == 3

    def days(**asked: Any) -> list[int]:
        return [int(found.code, 16) for found in history.find(Query(**asked))]

    assert days() == [3, 2, 1]
    assert days(limit=2) == [3, 2]
    assert days(limit=1, offset=1) == [2]
    assert days(subject="614173") == [3, 1]
    assert days(rig="b2") == [2, 1]
    assert days(outcome="failed") == [2]
    assert days(since_s=(_FIRST + timedelta(days=2)).timestamp()) == [3, 2]
    assert days(until_s=(_FIRST + timedelta(days=2)).timestamp()) == [2, 1]
    assert days(text="lick blocked") == [2]
    assert days(text="LIC block") == [2], "a word's beginning is enough"
    assert days(text="reward 3.5") == [3]
    assert days(text="hohe") == [3], "accents need not be typed"
    assert days(text="lick completed") == []
    assert days(text='"; DROP TABLE sessions --') == []
    assert days(text="- * (") == [3, 2, 1], "signs alone are no words"
    assert history.count(Query(subject="614173", limit=1)) == 2
    assert history.names("rig") == ["B2", "F1"]


def test_without_the_full_text_index_words_are_found_too(make: Make, workplace: Path) -> None:
    make(1)
    make(2, note="The lick spout was BLOCKED")
    history = History(workplace / "plain.sqlite", full_text=False)
    history.add_root(Path("data"))
    assert [int(found.code, 16) for found in history.find(Query(text="Lick blocked"))] == [2]
    history.close()


def test_a_vanished_folder_is_shown_as_such(make: Make, history: History) -> None:
    make(1)
    gone = make(2)
    elsewhere = make(3, root="disk")
    history.add_root(Path("data"))
    history.add_root(Path("disk"))
    shutil.rmtree(gone)
    shutil.rmtree(elsewhere.parent)
    assert [session.present for session in history.find()] == [False, False, True]
    assert len(history.find(look=False)) == 3
    assert history.rebuild() == 1
    assert history.count() == 3, "a rebuilding forgets nothing"


@pytest.mark.parametrize("damage", ["torn", "no database", "empty", "older", "in the middle"])
def test_a_damaged_index_is_made_again(make: Make, damage: str) -> None:
    for day in range(300):
        make(day, note="word " * 50)
    with open_history() as history:
        history.add_root(Path("data"))
        file = history.path
    data = bytearray(file.read_bytes())
    if damage == "older":
        db = sqlite3.connect(file)
        db.execute("DROP TABLE sessions")
        db.execute(f"PRAGMA user_version = {VERSION - 1}")
        db.close()
    else:
        middle = len(data) // 2
        file.write_bytes(
            {
                "torn": data[: 4096 * 9],
                "no database": b"not a database\n" * 5000,
                "empty": b"",
                "in the middle": data[:8192] + b"\xee" * (len(data) - 12288) + data[-4096:],
            }[damage]
            if middle
            else b""
        )
    progress: list[tuple[int, int]] = []
    with open_history(lambda done, total: progress.append((done, total))) as history:
        assert len(history.find(Query(text="word"))) == 300
        assert len(history.find(Query(subject="614173"))) == 300
        assert history.path == file
    assert progress[-1] == (300, 300)
    assert len(_names()) == 300


def test_a_locked_index_is_not_made_again_and_no_session_waits(make: Make) -> None:
    note_for_history(make(1))
    with open_history() as history:
        file = history.path
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("UPDATE sessions SET rig = 'kept'")
    folder = make(2)
    remember_session(folder)
    forget_session(folder)
    with pytest.raises(SessionError) as busy:
        _names()
    assert busy.value.code == "history-busy"
    other.execute("COMMIT")
    other.close()
    with open_history() as history:
        assert [session.rig for session in history.find()] == ["B2", "kept"]


def test_where_no_file_can_be_kept_it_is_made_in_memory(make: Make, own_state: Path) -> None:
    note_for_history(make(1))
    file = history_file(True)
    file.mkdir(parents=True)  # a folder stands in its place
    (file / "something").touch()
    assert len(_names()) == 1


def test_folders_that_are_no_sessions_are_passed_over(
    make: Make, workplace: Path, history: History
) -> None:
    make(1)
    for name, content in (("empty", b""), ("torn", b'{"seq":1,'), ("foreign", b"\x00\xff\n[]\n")):
        (workplace / "data" / name).mkdir()
        (workplace / "data" / name / "journal.jsonl").write_bytes(content)
    (workplace / "data" / "file").touch()
    (workplace / "data" / "no journal").mkdir()
    damaged = make(2)
    (damaged / "experiment_metadata" / "processed_parameters.json").write_text("{")
    assert history.add_root(Path("data")) == 2
    with pytest.raises(SessionError, match="no session in this folder") as refused:
        history.add_root(workplace / "nowhere")
    assert refused.value.code == "sessions-none"


def test_a_session_is_found_by_a_part_of_its_name(make: Make) -> None:
    folder, other = make(1), make(2)
    note_for_history(folder)
    note_for_history(other)
    assert locate(str(folder)).path == folder
    assert locate(folder.name).path == folder
    assert locate("03-02").path == folder
    with pytest.raises(SessionError, match="2 sessions") as several:
        locate("614173")
    assert several.value.code == "session-ambiguous"
    assert other.name in several.value.where
    for unknown in ("614999", "", "%", "_"):
        with pytest.raises(SessionError) as none:
            locate(unknown)
        assert none.value.code in ("session-unknown", "session-ambiguous")
    shutil.rmtree(other)
    assert locate("614173").path == folder, "of those that are gone nothing can be shown"


_TAKING_IN = """
import sys
from pathlib import Path
from openscope_experimental_launcher.session.index import open_history
from openscope_experimental_launcher.session.state import note_for_history
for folder in sorted(Path(sys.argv[1]).iterdir())[int(sys.argv[2])::4]:
    note_for_history(folder)
    with open_history() as history:
        assert history.find()
"""


def test_several_processes_may_use_it_at_once(make: Make) -> None:
    for day in range(24):
        make(day)
    command = [sys.executable, "-c", _TAKING_IN, str(Path("data").absolute())]
    children = [subprocess.Popen([*command, str(number)]) for number in range(4)]
    assert [child.wait(60) for child in children] == [0, 0, 0, 0]
    assert len(_names()) == 24


def test_a_subjects_last_sessions_come_with_their_parameters(make: Make, history: History) -> None:
    for day in range(5):
        make(day, script_parameters={"reward": day})
    make(6, outcome=None)
    make(7, "other")
    history.add_root(Path("data"))
    found = history.last_of("614173", 2)
    assert [parameters["script_parameters.reward"] for _, parameters in found] == [4, 3]


def test_half_a_character_in_a_note_hides_no_session(make: Make) -> None:
    folder = make(1, note="half a character \ud83d of a mouse")
    with open_history() as history:
        history.read([folder])
        (found,) = history.find(Query(text="mouse"))
    assert found.present
