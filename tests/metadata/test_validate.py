"""What is wrong with a session folder is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.validating import validate

Openscope = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def session(openscope: Openscope, python_experiment: Callable[..., Path], workplace: Path) -> Path:
    """A closed session of the real launcher."""
    assert openscope("run", str(python_experiment("print('ok')")), "--yes").returncode == 0
    (folder,) = (workplace / "data").iterdir()
    return folder


def codes(folder: Path) -> dict[str, list[str]]:
    """By part: what is wrong with it."""
    parts = validate(SessionFolder(folder))
    return {part.name: [f.code for f in part.findings] for part in parts if part.findings}


def journal(folder: Path) -> list[bytes]:
    return (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


def test_nothing_is_wrong_with_a_session_that_was_closed(session: Path) -> None:
    assert codes(session) == {}


def test_a_folder_of_another_name(session: Path) -> None:
    other = session.with_name("614173_2026-03-14_10-30-00")
    session.rename(other)
    assert codes(other) == {"name": ["session-renamed"]}


def _damage(session: Path) -> Iterator[tuple[Callable[[], object], dict[str, list[str]]]]:
    records = session / "experiment_metadata"
    lines = journal(session)

    def write(*kept: bytes) -> Callable[[], object]:
        return lambda: (session / "journal.jsonl").write_bytes(b"".join(kept))

    yield (
        (records / "environment.json").unlink,
        {"files": ["record-missing"], "manifest": ["manifest-differs"]},
    )
    yield (
        lambda: (records / "environment.json").write_bytes(b"[1"),
        {"files": ["record-unreadable"], "manifest": ["manifest-differs"]},
    )
    yield (
        lambda: (session / "new.txt").write_bytes(b"x"),
        {"manifest": ["manifest-differs"]},
    )
    yield (
        lambda: (session / "manifest.json").write_bytes(b"{}"),
        {"manifest": ["manifest-unreadable"]},
    )
    yield write(*lines, b'{"seq": 99, "na\n'), {"journal": ["journal-damaged"]}
    yield write(*lines[:3], *lines[4:]), {"journal": ["journal-gap"]}
    yield write(*lines[:-1]), {"journal": ["session-not-closed"]}
    yield (
        write(*lines[:-2]),
        {"manifest": ["session-not-closed"], "journal": ["session-not-closed"]},
    )


def test_each_kind_of_damage_is_told(session: Path, tmp_path: Path) -> None:
    for number in range(len(list(_damage(session)))):
        copy = tmp_path / str(number) / session.name
        shutil.copytree(session, copy)
        harm, expected = list(_damage(copy))[number]
        harm()
        assert codes(copy) == expected


def test_an_event_that_every_session_has(session: Path) -> None:
    lines = [json.loads(line) for line in journal(session)]
    kept = [line for line in lines if line["name"] != "acquisition.judged"]
    for number, line in enumerate(kept, 1):
        line["seq"] = number
    text = "".join(json.dumps(line) + "\n" for line in kept)
    (session / "journal.jsonl").write_text(text, encoding="utf-8")
    assert codes(session) == {"journal": ["journal-incomplete"]}


def test_several_sessions_in_a_table_with_an_exit_code(openscope: Openscope, session: Path) -> None:
    well = openscope("validate", str(session))
    assert well.returncode == 0, well.stdout + well.stderr
    for part in ("name", "files", "schemas", "manifest", "journal"):
        assert f"  {part} " in well.stdout
    assert "openscope metadata" in well.stdout  # its records were not made
    (session / "processing.json").write_text('{"data_processes": 3}')
    bad = openscope("validate", str(session), str(session / "nothing"), "--json")
    assert bad.returncode == 1
    assert "There is no session of this name" in bad.stderr
    (told,) = json.loads(bad.stdout).values()
    assert told["valid"] is False
    (schemas,) = [part for part in told["parts"] if part["name"] == "schemas"]
    (wrong,) = [found for found in schemas["findings"] if found["level"] == "error"]
    assert wrong["code"] == "schema-invalid"
    assert "data_processes" in wrong["message"]
