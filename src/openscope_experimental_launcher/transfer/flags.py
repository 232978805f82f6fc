"""Manifests for a service that takes sessions over: a file in the folder that it watches.

The form is that of `ManifestConfig` of aind-watchdog-service 0.1.9. The service acts as soon as the
file is there, so it is written last of all: when the session is closed, its metadata and report are
made, and its copies verified. Until then it is kept in the launcher's state folder, like a copy
that is still to be made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import TransferError
from ..files import sync_folder
from ..session.folder import NAME_PATTERN, SessionFolder
from ..session.journal import iso_now
from ..session.state import short_hash, state_folder
from .queue import write_waiting

_SCHEMAS = (
    "acquisition.json",
    "data_description.json",
    "instrument.json",
    "procedures.json",
    "processing.json",
    "subject.json",
)
_BESIDE = ".openscope"


class Flag(NamedTuple):
    """A manifest that is still to be written.

    Attributes:
        session: absolute path of the session folder.
        folder: the folder that the service watches.
        subject: the animal.
        project: the project that the data belong to.
        destination: where the service takes them.
        modalities: abbreviations to files and folders in the session folder.
        schemas: metadata files in the session folder; None for those of the schema that are there.
        schedule_time: `HH:MM:SS`; empty for at once.
        others: more keys of the manifest, as they are.
        since: when it was asked for, ISO 8601.
        why: why it waits, in one sentence.
    """

    session: str
    folder: str
    subject: str
    project: str
    destination: str
    modalities: Mapping[str, list[str]]
    schemas: list[str] | None = None
    schedule_time: str = ""
    others: Mapping[str, Any] = {}
    since: str = ""
    why: str = ""

    @property
    def file(self) -> Path:
        """The manifest."""
        return Path(self.folder) / f"manifest_{Path(self.session).name}.yml"


def keep_flag(flag: Flag) -> None:
    """Note that a manifest is to be written, or why it was not.

    Raises:
        TransferError: the launcher's state folder cannot be written.
    """
    write_waiting(_kept(flag), flag._replace(since=flag.since or iso_now())._asdict())


def forget_flag(flag: Flag) -> None:
    """Forget a manifest: nobody wants it any more, or it is to be written once more."""
    _kept(flag).unlink(missing_ok=True)
    _mark(flag).unlink(missing_ok=True)


def was_raised(flag: Flag) -> bool:
    """Whether the manifest was written before: the service must not be told twice."""
    return _mark(flag).exists()


def flags(session: Path | None = None) -> list[Flag]:
    """The manifests that are still to be written, of one session or of all."""
    found = []
    for file in (state_folder() / "transfers" / "flags").glob("*.json"):
        try:
            flag = Flag(**json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError):
            continue
        if session is None or flag.session == str(session):
            found.append(flag)
    return sorted(found, key=lambda flag: flag.since)


def _kept(flag: Flag) -> Path:
    key = short_hash(f"{flag.session}\n{flag.folder}")
    return state_folder() / "transfers" / "flags" / f"{key}.json"


def _mark(flag: Flag) -> Path:
    return _kept(flag).with_suffix(".written")


def manifest_of(flag: Flag) -> dict[str, Any]:
    """What the manifest says.

    Raises:
        TransferError: a file that it names is not there.
    """
    session = SessionFolder(Path(flag.session))
    named = NAME_PATTERN.match(session.name)
    when = f"{named['date']}T{named['time'].replace('-', ':')}" if named else iso_now()
    schemas = flag.schemas
    if schemas is None:
        schemas = [name for name in _SCHEMAS if (session.path / name).is_file()]
    content = {
        "name": session.name,
        "subject_id": flag.subject,
        "acquisition_datetime": when,  # the name's, so that the service gives it the same name
        "project_name": flag.project,
        "destination": flag.destination.replace("\\", "/"),
        "modalities": {
            modality: [_there(session, name) for name in names]
            for modality, names in flag.modalities.items()
        },
        "schemas": [_there(session, name) for name in schemas],
        "schedule_time": flag.schedule_time,
    }
    if not flag.schedule_time:
        del content["schedule_time"]
    return {**flag.others, **content}


def _there(session: SessionFolder, name: str) -> str:
    path = session.path / name
    inside = path.resolve().is_relative_to(session.path.resolve())
    if inside and path.exists():
        return path.as_posix()
    raise TransferError(
        f"{name} is not in the session folder.",
        code="watchdog-file-missing",
        where=str(session.path),
        fix="Correct watchdog_modalities or watchdog_schemas.",
    )


def raise_flag(flag: Flag) -> None:
    """Write the manifest, and forget that it was to be written.

    The service looks for files that are made, and not for those that get a new name in its folder;
    and it must never find half of one. So the file is written in a folder beside it, and moved.

    Raises:
        TransferError: a file that it names is not there, or its folder cannot be written.
    """
    if was_raised(flag) or flag.file.exists():  # and this process was cut off right after it
        return _note_raised(flag)
    text = as_yaml(manifest_of(flag))
    beside = Path(flag.folder) / _BESIDE
    try:
        beside.mkdir(exist_ok=True)
        temporary = beside / flag.file.name
        with temporary.open("w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(flag.file)
        _note_raised(flag)
        sync_folder(flag.file.parent)
        with suppress(OSError):  # another manifest is under way in it
            beside.rmdir()
    except OSError as error:
        raise TransferError(
            f"The manifest cannot be written: {error.strerror or error}.",
            code="watchdog-folder-unwritable",
            where=flag.folder,
            fix="Make the folder, or make it writable; then: openscope catch-up",
        ) from error


def _note_raised(flag: Flag) -> None:
    _mark(flag).parent.mkdir(parents=True, exist_ok=True)
    _mark(flag).touch()
    _kept(flag).unlink(missing_ok=True)


def as_yaml(content: Mapping[str, Any]) -> str:
    """An object as YAML: a line for each key, with values as JSON, which YAML contains."""
    return "\n".join(_lines(content, "")) + "\n"


def _lines(content: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in content.items():
        name = f"{indent}{json.dumps(key, ensure_ascii=False)}:"
        if isinstance(value, Mapping) and value:
            yield name
            yield from _lines(value, indent + "  ")
        elif isinstance(value, list) and value:
            yield name
            for item in value:
                yield f"{indent}  - {json.dumps(item, ensure_ascii=False)}"
        else:
            yield f"{name} {json.dumps(value, ensure_ascii=False)}"
