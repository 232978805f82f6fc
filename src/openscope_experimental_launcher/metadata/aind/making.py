"""Making the standard records of a session, and writing them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ...errors import Finding
from ...files import write_atomic
from ...session.folder import SessionFolder
from ...session.past import as_object
from . import NOT_INSTALLED, RECORDS, is_installed
from .facts import Facts, read_facts


class Made(NamedTuple):
    """Records that are ready to be written.

    Attributes:
        files: their content, by their path in the session folder.
        records: names of the records among them.
        foreign: names of records that are there already and not of the launcher's making.
        gaps: what the records lack; or that they were not made.
    """

    files: dict[str, bytes]
    records: list[str]
    foreign: list[str]
    gaps: list[Finding]


def make_records(folder: SessionFolder, given: Mapping[str, Any] | None = None) -> Made:
    """Make the records of a session. Nothing is written.

    A record that the launcher did not write, or that somebody changed, is left as it is. Without
    the library nothing is made, which is told.

    Args:
        folder: the session folder.
        given: values for them, which are kept with the session.

    Raises:
        SessionError: the folder is no session, or cannot be read.
    """
    facts = read_facts(folder, given or {})
    if not is_installed():
        not_made = {"files": {}, "missing": [_as_json(NOT_INSTALLED)]}
        told = facts.made if facts.made.get("files") else not_made
        return Made(_telling(facts, told), [], [], [NOT_INSTALLED])
    from .building import build
    from .schema import LIBRARY

    files: dict[str, bytes] = {}
    foreign: list[str] = []
    gaps: list[Finding] = []
    for record in RECORDS:
        fitted = build(record, facts)
        content = _as_bytes(fitted.content)
        if _is_foreign(facts, record, content):
            foreign.append(record)
            continue
        files[record] = content
        gaps += [item for item in fitted.gaps if _field(item) not in map(_field, gaps)]
    told = {
        "library": LIBRARY,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "left_as_they_were": foreign,
        "missing": [_as_json(item) for item in gaps],
    }
    return Made({**files, **_telling(facts, told)}, list(files), foreign, gaps)


def write_records(folder: SessionFolder, made: Made) -> list[str]:
    """Write what was made; a file that is there and the same is not touched.

    Returns:
        The files that are new or were changed, by their paths in the session folder.

    Raises:
        OSError: one cannot be written.
    """
    written = []
    for name, content in made.files.items():
        path = folder.path / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(exist_ok=True)
            write_atomic(path, content)
            written.append(name)
    return written


def _field(finding: Finding) -> str:
    """The field that a gap is about: two records may lack the same."""
    return finding.where.rpartition(" ")[2]


def _telling(facts: Facts, told: Mapping[str, Any]) -> dict[str, bytes]:
    """The file that tells of the records, with what was given for them."""
    folder = facts.past.folder
    name = folder.standard_metadata.relative_to(folder.path).as_posix()
    given = {"given": dict(facts.given)} if facts.given else {}
    return {name: _as_bytes({**told, **given})}


def _as_json(finding: Finding) -> dict[str, str]:
    return {key: value for key, value in finding._asdict().items() if value}


def _as_bytes(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")


def _is_foreign(facts: Facts, record: str, content: bytes) -> bool:
    """Whether a file is there that is neither the launcher's last one nor the same."""
    try:
        there = (facts.past.folder.path / record).read_bytes()
    except OSError:
        return False
    own = as_object(facts.made.get("files")).get(record)
    return there != content and hashlib.sha256(there).hexdigest() != own
