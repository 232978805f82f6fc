"""Whether a closed session is still what it was when it was sealed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from ..files import sha256_of
from .folder import SessionFolder, is_record
from .manifest import listed_files, read_manifest
from .record import read_record
from .unclosed import not_closed

_HASHERS = 4

State = Literal["changed", "missing", "added", "unreadable"]


class Difference(NamedTuple):
    """One file that is not as it was sealed.

    Attributes:
        file: its path in the session folder, with `/`.
        state: `changed`, `missing`, `added` or `unreadable`.
    """

    file: str
    state: State


class Verification(NamedTuple):
    """What was found.

    Attributes:
        files: how many files the manifest lists.
        size_bytes: their sizes together, as sealed.
        differences: what is not as it was sealed, by name.
        freed: how many files are not here, since they were removed when copies had been verified.
    """

    files: int
    size_bytes: int
    differences: list[Difference]
    freed: int = 0


def verify(
    folder: SessionFolder,
    on_progress: Callable[[int, int], None] | None = None,
    digest: Callable[[Path], str] = sha256_of,
) -> Verification:
    """Hash every file of a closed session again and compare it with the sealed manifest, and that
    with the checksum in the journal. A link where a file was sealed counts as missing.

    Args:
        folder: the session folder, or a copy of it.
        on_progress: told after each file how many bytes of how many have been compared.
        digest: gives the SHA-256 of a file.

    Raises:
        SessionError: it is no session, was never closed, or its manifest cannot be read.
    """
    record = read_record(folder.journal) if folder.journal.is_file() else None
    if record is None or record.sealed is None:
        words = "This session was never sealed, so there is nothing to compare it with."
        raise not_closed(folder, words)
    listed = read_manifest(folder)["files"]
    there = {path.relative_to(folder.path).as_posix() for path in listed_files(folder)}
    gone = listed.keys() - there
    freed = {name for name in gone if record.freed is not None and not is_record(name)}
    found = [Difference(name, "missing") for name in gone - freed]
    found += [Difference(name, "added") for name in there - listed.keys()]
    if _look(folder.manifest, str(record.sealed["sha256"]), sha256_of):
        found.append(Difference("manifest.json", "changed"))
    total = sum(int(entry["size"]) for entry in listed.values())
    done = 0
    names = sorted(listed.keys() & there)
    with ThreadPoolExecutor(_HASHERS) as hashers:
        looks = hashers.map(
            lambda name: _look(folder.path / name, listed[name]["sha256"], digest), names
        )
        for name, state in zip(names, looks, strict=True):
            found += [Difference(name, state)] if state else []
            done += int(listed[name]["size"])
            if on_progress is not None:
                on_progress(done, total)
    return Verification(len(listed), total, sorted(found), len(freed))


def _look(file: Path, sha256: str, digest: Callable[[Path], str]) -> State | None:
    try:
        return None if digest(file) == sha256 else "changed"
    except OSError:
        return "unreadable"
