"""A session as its folder keeps it, for steps that are run when its launcher is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from ..parameters.model import Parameters
from ..session.folder import SessionFolder
from ..session.record import SessionRecord


class Kept(NamedTuple):
    """What steps need to know of a session.

    Attributes:
        parameters: as they were used; secrets among them are masked.
        root: folder of the experiment's code.
        rehearsal: whether it was a rehearsal.
    """

    parameters: Parameters
    root: Path
    rehearsal: bool


def kept_session(folder: SessionFolder, record: SessionRecord) -> Kept | None:
    """What the folder keeps; None when the session failed before it was written.

    A folder that was moved since is no obstacle: paths of the session are those of its place now.
    """
    processed = folder.metadata / "processed_parameters.json"
    if not processed.is_file():
        return None
    values = json.loads(processed.read_bytes())
    before = _former_place(folder)
    if before and before != str(folder.path):
        values = _moved(values, before, str(folder.path))
    parameters = Parameters.read(values)
    rehearsal = bool(record.opened.get("rehearsal"))
    return Kept(parameters, _root(folder, record, parameters), rehearsal)


def _root(folder: SessionFolder, record: SessionRecord, parameters: Parameters) -> Path:
    checkout = (record.repository or {}).get("path") or parameters.local_repository_path
    if checkout:
        return Path(str(checkout))
    file = str(record.opened.get("parameter_file") or "")
    return Path(file).parent if file else folder.path


def _former_place(folder: SessionFolder) -> str:
    runtime = folder.metadata / "runtime_information.json"
    known = json.loads(runtime.read_bytes()) if runtime.is_file() else {}
    return str(known.get("session_directory") or "")


def _moved(value: Any, before: str, now: str) -> Any:
    """A JSON value with every text that begins with one path beginning with another."""
    if isinstance(value, str):
        inside = value == before or value.startswith((f"{before}/", f"{before}\\"))
        return now + value[len(before) :] if inside else value
    if isinstance(value, dict):
        return {key: _moved(item, before, now) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item, before, now) for item in value]
    return value
