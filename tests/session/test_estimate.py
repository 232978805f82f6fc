"""The room that a session may need, from the folders of sessions before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openscope_experimental_launcher.session.estimate import estimate_room

WANTED = {
    "launcher": "python",
    "repository_url": "https://host/lab/oddball",
    "script_path": "task.py",
    "command": [],
    "max_duration_s": None,
}


def earlier(
    root: Path, day: int, gigabytes: float, minutes: float, *, sealed: bool = True, **values: Any
) -> None:
    """Leave the records of a session that was."""
    folder = root / f"614173_2026-03-{day:02}_10-30-00"
    (folder / "experiment_metadata").mkdir(parents=True)

    def write(name: str, value: object) -> None:
        (folder / "experiment_metadata" / name).write_text(json.dumps(value))

    write("processed_parameters.json", {**WANTED, "subject_id": "614173", **values})
    write("runtime_information.json", {"duration_s": minutes * 60})
    events = [{"seq": n, "name": "acquisition.sampled", "data": {"n": n}} for n in range(5000)]
    if sealed:
        data = {"sha256": "", "files": 3, "size_bytes": int(gigabytes * 1e9)}
        events += [
            {"seq": 5001, "name": "manifest.sealed", "data": data},
            {"seq": 5002, "name": "session.closed", "data": {}},
        ]
    (folder / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))


def test_the_largest_of_the_last_three_counts(tmp_path: Path) -> None:
    for day, gigabytes in ((1, 90), (2, 5), (3, 20), (4, 7)):
        earlier(tmp_path, day, gigabytes, 30)
    found = estimate_room(tmp_path, WANTED)
    assert found is not None
    assert found.size == 20e9
    assert "614173_2026-03-03_10-30-00 took 20.0 GB in 30 min" in found.words


def test_a_session_that_may_run_longer_needs_more(tmp_path: Path) -> None:
    earlier(tmp_path, 1, 10, 30)
    longer = estimate_room(tmp_path, {**WANTED, "max_duration_s": 7200})
    assert longer is not None
    assert round(longer.size / 1e9) == 40
    assert "may run for 120 min" in longer.words
    shorter = estimate_room(tmp_path, {**WANTED, "max_duration_s": 600})
    assert shorter is not None
    assert shorter.size == 10e9, "what it wrote it wrote"


def test_a_short_trial_says_nothing_about_hours(tmp_path: Path) -> None:
    earlier(tmp_path, 1, 1, 0.2)
    found = estimate_room(tmp_path, {**WANTED, "max_duration_s": 7200})
    assert found is not None
    assert found.size == 1e9


def test_only_sessions_of_the_same_experiment_count(tmp_path: Path) -> None:
    earlier(tmp_path, 1, 10, 30, script_path="other.py")
    earlier(tmp_path, 2, 10, 30, rehearsal=True)
    earlier(tmp_path, 3, 10, 30, sealed=False)
    (tmp_path / "notes").mkdir()
    (tmp_path / "614173_2026-03-09_10-30-00").write_text("no folder")
    assert estimate_room(tmp_path, WANTED) is None
    assert estimate_room(tmp_path / "nowhere", WANTED) is None
    earlier(tmp_path, 4, 2, 30, command=[str(tmp_path / "614173_2026-03-04_10-30-00") + "/x"])
    assert estimate_room(tmp_path, WANTED) is None
    slotted = {**WANTED, "command": ["\0output_session_folder\0/x"]}
    assert estimate_room(tmp_path, slotted) is not None


def test_spoiled_records_are_passed_over(tmp_path: Path) -> None:
    earlier(tmp_path, 1, 10, 30)
    earlier(tmp_path, 2, 10, 30)
    broken = tmp_path / "614173_2026-03-02_10-30-00" / "experiment_metadata"
    for text in ("", "[]", "{", '{"duration_s": "long"}', "[" * 100_000):
        (broken / "runtime_information.json").write_text(text)
        found = estimate_room(tmp_path, WANTED)
        assert found is not None
        assert "2026-03-01" in found.words


def test_without_any_what_is_expected_counts(tmp_path: Path) -> None:
    assert estimate_room(tmp_path, WANTED, 100) is None, "nobody knows how long"
    found = estimate_room(tmp_path, {**WANTED, "max_duration_s": 1800}, 100)
    assert found is not None
    assert round(found.size / 1e9, 3) == 3
