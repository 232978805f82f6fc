"""What lies in a session folder, as a report and a bundle tell it: files, and which are records."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..display.words import count, size
from ..errors import SessionError
from ..session.folder import SessionFolder
from ..session.manifest import listed_files, read_manifest
from ..session.past import as_object
from .reading import Story

REPORT_NAME = "report.html"

_FILES_SHOWN = 250
_TEXTS = (".json", ".jsonl", ".log", ".txt", ".err", ".md", ".patch", ".toml", ".yml", ".yaml")


class File(NamedTuple):
    """One file of the session.

    Attributes:
        name: its path in the folder.
        size: as text.
        state: `sealed`, `changed`, `missing` or `not listed`.
        sha256: the beginning of its checksum.
    """

    name: str
    size: str
    state: str
    sha256: str


class Files(NamedTuple):
    """The files of a session, and what the manifest says of them.

    Attributes:
        state: of the manifest, in a sentence.
        well: whether nothing speaks against it.
        rows: the files.
        left_out: how many more there are; of many, the largest and those that are not as sealed
            are shown.
    """

    state: str
    well: bool
    rows: list[File]
    left_out: int


def files(folder: SessionFolder, story: Story) -> Files:
    """The files with sizes and what the manifest says; contents are not read again."""
    there = dict(_sizes(folder)) | {name: len(data) for name, data in story.added.items()}
    try:
        listed = {**as_object(read_manifest(folder)["files"]), **_entries(story.added)}
    except SessionError as error:
        return _unsealed(there, story, error)
    listed.pop(REPORT_NAME, None)
    rows = [
        _file(name, there.get(name), as_object(listed.get(name)) if name in listed else None)
        for name in sorted({*there, *listed})
    ]
    wrong = [row for row in rows if row.state != "sealed"]
    total = size(sum(there.values()))
    words = f"Sealed: {count(len(listed), 'file')}. Here now: {count(len(there), 'file')}, {total}."
    if wrong:
        words += f" {count(len(wrong), 'file')} not as sealed."
    else:
        words += " All are here in the sizes they were sealed with."
    words += " Contents were not read again for this report."
    return Files(words, not wrong, *_largest(rows, there))


def _entries(added: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in added.items()
    }


def _unsealed(there: dict[str, int], story: Story, error: SessionError) -> Files:
    rows = [_file(name, there[name], None) for name in sorted(there)]
    sealed = story.record.sealed is not None
    words = error.message if sealed else "Not sealed: the session has no manifest (yet)."
    return Files(words, False, *_largest(rows, there))


def _file(name: str, found: int | None, entry: Mapping[str, Any] | None) -> File:
    state = "sealed"
    if entry is None:
        state = "not listed"
    elif found is None:
        state = "missing"
    elif entry.get("size") != found:
        state = "changed"
    digest = str(entry.get("sha256") or "")[:16] if entry else ""
    return File(name, size(found) if found is not None else "", state, digest)


def _largest(rows: list[File], there: Mapping[str, int]) -> tuple[list[File], int]:
    if len(rows) <= _FILES_SHOWN:
        return rows, 0

    def telling(row: File) -> tuple[bool, int]:
        return row.state == "sealed", -there.get(row.name, 0)

    shown = sorted(rows, key=telling)[:_FILES_SHOWN]
    return sorted(shown), len(rows) - _FILES_SHOWN


def _sizes(folder: SessionFolder) -> Iterator[tuple[str, int]]:
    """Every file but the report itself, which is sealed after it is made."""
    for path in listed_files(folder):
        name = path.relative_to(folder.path).as_posix()
        if name != REPORT_NAME:
            try:
                yield name, os.stat(path).st_size  # noqa: PTH116 - there may be very many
            except OSError:  # it vanished between
                continue


def is_record(name: str) -> bool:
    """Whether a file is the launcher's own record, a log, or a note; all else may be data."""
    place, _, rest = name.partition("/")
    if not rest:
        return name.endswith((".json", ".jsonl", ".txt"))
    return place in ("experiment_metadata", "logs") and name.endswith(_TEXTS)


def to_send(folder: SessionFolder) -> list[str]:
    """What a bundle of the session has in it, in words."""
    there = {name: size for name, size in _sizes(folder) if not name.endswith(".times")}
    logs = [name for name in there if is_record(name) and name.startswith("logs/")]
    records = sum(map(is_record, there)) - len(logs)
    data = {name: bytes_ for name, bytes_ in there.items() if not is_record(name)}
    told = [
        "journal, manifest and this report",
        f"{count(records, 'record')}, {count(len(logs), 'log')}",
    ]
    if data:
        told.append(f"not in it: {count(len(data), 'file')} of data, {size(sum(data.values()))}")
    return told
