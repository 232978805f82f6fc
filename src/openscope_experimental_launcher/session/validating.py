"""Whether a session folder is what a session folder should be: its name, its records, its manifest
and its journal. No file of data is read; `verifying` does that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Finding, SessionError
from ..files import sha256_of
from ..jsonl import parse_lines
from .folder import NAME_PATTERN, SessionFolder
from .journal import is_event, journal_bytes
from .manifest import listed_files, read_manifest
from .record import SessionRecord, fold
from .unclosed import not_closed

_RECORDS = (
    "given_parameters",
    "processed_parameters",
    "command_line_arguments",
    "runtime_information",
    "environment",
)
_NAMES_SHOWN = 5


class Part(NamedTuple):
    """One part of a session that was looked at.

    Attributes:
        name: `name`, `files`, `schemas`, `manifest` or `journal`.
        words: what was found, for the table.
        findings: what is not as it should be.
    """

    name: str
    words: str
    findings: list[Finding]


class Looked(NamedTuple):
    """A journal as it lies there.

    Attributes:
        events: its events.
        record: the same, folded.
        passed_over: lines that are no events: torn, damaged or foreign.
    """

    events: list[dict[str, Any]]
    record: SessionRecord
    passed_over: int


def validate(folder: SessionFolder) -> list[Part]:
    """Look at name, files, manifest and journal of a session.

    Args:
        folder: the session folder, or a copy of it.

    Raises:
        SessionError: there is no journal, or it cannot be read.
    """
    journal = _read_journal(folder)
    return [
        _part("name", _check_name(folder, journal), folder.name),
        _part("files", _check_files(folder, journal.record), "the records are there"),
        _check_manifest(folder, journal.record),
        _part(
            "journal", _check_journal(folder, journal), f"{len(journal.events):,} events, closed"
        ),
    ]


def _part(name: str, findings: Iterator[Finding], words: str) -> Part:
    found = list(findings)
    return Part(name, "" if found else words, found)


def _read_journal(folder: SessionFolder) -> Looked:
    data = journal_bytes(folder.journal)
    events = list(filter(is_event, parse_lines(data)))
    lines = sum(1 for line in data.split(b"\n") if line.strip())
    return Looked(events, fold(events), lines - len(events))


def _check_name(folder: SessionFolder, journal: Looked) -> Iterator[Finding]:
    named = NAME_PATTERN.match(folder.name)
    opened = journal.record.opened
    own = str(opened.get("session_uuid") or folder.name)
    if own != folder.name:
        words = f"The folder was renamed: its session is {own}."
        yield Finding("error", "session-renamed", words, folder.name, "Give it back its name.")
    elif named is None or not _is_time(f"{named['date']} {named['time']}"):
        words = "The folder's name is not that of raw data: <subject>_<YYYY-MM-DD>_<HH-MM-SS>."
        yield Finding("error", "session-name-invalid", words, folder.name)
    agreed = any(event["name"] == "session.agreed" for event in journal.events)
    subject = str(opened.get("subject_id") or "")
    if named and subject and named["label"] != subject and own == folder.name and not agreed:
        words = f"The folder is named after another subject than the session's, {subject}."
        yield Finding("error", "session-renamed", words, folder.name, "Give it back its name.")


def _is_time(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y-%m-%d %H-%M-%S")
    except ValueError:
        return False
    return True


def _check_files(folder: SessionFolder, record: SessionRecord) -> Iterator[Finding]:
    wanted = [folder.metadata / f"{name}.json" for name in _RECORDS]
    wanted += [folder.metadata / "repository.json"] if record.repository else []
    wanted += [folder.output("stdout"), folder.output("stderr")] if record.started else []
    restore = "Restore it from a copy of the session."
    for path in wanted:
        name = path.relative_to(folder.path).as_posix()
        if path.is_file():
            if path.suffix == ".json" and not _is_object(path):
                words = f"{name} cannot be read as a JSON object."
                yield Finding("error", "record-unreadable", words, name, restore)
        elif record.attempted:
            yield Finding("error", "record-missing", f"{name} is not there.", name, restore)
        else:
            words = f"{name} is not there: the session ended before it was written."
            yield Finding("warning", "record-missing", words, name)


def _is_object(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except (OSError, ValueError, RecursionError):
        return False


def _check_manifest(folder: SessionFolder, record: SessionRecord) -> Part:
    if record.sealed is None:
        words = "The session was never sealed, so nothing says which files it had."
        return Part("manifest", "", [_unclosed(folder, words, "")])
    try:
        listed = read_manifest(folder)["files"]
    except SessionError as error:
        return Part("manifest", "", list(error.findings))
    there = {
        path.relative_to(folder.path).as_posix(): path.stat().st_size
        for path in listed_files(folder)
    }
    findings = []
    if sha256_of(folder.manifest) != record.sealed["sha256"]:
        words = "manifest.json is not the one that was sealed."
        fix = "Restore it from a copy of the session."
        findings.append(Finding("error", "manifest-differs", words, "manifest.json", fix))
    for what, names in (
        ("missing", sorted(listed.keys() - there.keys())),
        ("not listed", sorted(there.keys() - listed.keys())),
        (
            "of another size than sealed",
            sorted(n for n in listed.keys() & there.keys() if listed[n]["size"] != there[n]),
        ),
    ):
        if names:
            more = f", and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
            many = "1 file" if len(names) == 1 else f"{len(names):,} files"
            words = f"{many} {what}: {', '.join(names[:_NAMES_SHOWN])}{more}."
            fix = f"See openscope verify {folder.path}"
            findings.append(Finding("error", "manifest-differs", words, "manifest.json", fix))
    words = f"{len(listed):,} files, in the sizes they were sealed with"
    return Part("manifest", "" if findings else words, findings)


def _check_journal(folder: SessionFolder, journal: Looked) -> Iterator[Finding]:
    record, names = journal.record, [event["name"] for event in journal.events]
    if journal.passed_over:
        many = journal.passed_over
        words = "1 line is" if many == 1 else f"{many} lines are"
        words = f"{words} no event and passed over, as a power cut leaves them."
        yield Finding("warning", "journal-damaged", words, "journal.jsonl")
    numbers = [event["seq"] for event in journal.events]
    gap = next((n for n, seq in enumerate(numbers, 1) if seq != n), None)
    if gap is not None:
        words = f"The event number {gap} is not where it should be: events are missing."
        yield _broken("journal-gap", words)
    for needed in _milestones(record) if "session.closed" in names else ():
        if needed not in names:
            yield _broken("journal-incomplete", f"The event {needed} is missing.")
    if not names or names[-1] != "session.closed":
        words = "The session was not closed: the journal does not end with session.closed."
        yield _unclosed(folder, words, "journal.jsonl")


def _unclosed(folder: SessionFolder, words: str, where: str) -> Finding:
    error = not_closed(folder, words)
    return Finding("error", error.code, error.message, where, error.fix)


def _milestones(record: SessionRecord) -> Iterator[str]:
    yield "session.opened"
    if record.attempted:
        yield "acquisition.judged"
    if record.started:
        yield "acquisition.ended"
    yield "manifest.sealed"


def _broken(code: str, words: str) -> Finding:
    fix = "Restore the journal from a copy of the session."
    return Finding("error", code, words, "journal.jsonl", fix)
