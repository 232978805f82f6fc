"""The session folder: its name, how it is claimed, what lies where in it."""

from __future__ import annotations

import os
import re
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from ..errors import SessionError

NAME_PATTERN = re.compile(
    r"^(?P<label>.+?)_(?P<date>\d{4}-\d{2}-\d{2})_(?P<time>\d{2}-\d{2}-\d{2})$"
)
"""Name of an AIND raw-data asset (source: `DataRegex.DATA` of aind-data-schema-models)."""

_CLAIM_TRIES = 120


class SessionFolder(NamedTuple):
    """Where the files of one session lie.

    Attributes:
        path: absolute path of the folder; its name is the session's name.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def metadata(self) -> Path:
        return self.path / "experiment_metadata"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def log(self) -> Path:
        return self.logs / f"experiment_{self.name}.log"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def weights(self) -> Path:
        """Weights of the subject, when a step asked for them."""
        return self.path / "mouse_weight.csv"

    @property
    def standard_metadata(self) -> Path:
        """What is told of the standard metadata: which were made, and what they lack."""
        return self.metadata / "standard_metadata.json"

    @property
    def receipt(self) -> Path:
        """What says of a copy when, from where and by whom it was made."""
        return self.path / "transfer_receipt.json"

    def output(self, stream: str, attempt: int = 1) -> Path:
        """File of the acquisition's `stdout` or `stderr`; later attempts have a number."""
        return self.logs / (f"{stream}.log" if attempt == 1 else f"{stream}_{attempt}.log")


def plain_path(path: Path) -> Path:
    """A path from its root on, without `..` where that names the same place. Links stay."""
    absolute = path.absolute()
    if ".." not in absolute.parts:
        return absolute
    short = os.path.abspath(absolute)  # noqa: PTH100 - no links are to be replaced
    same = os.path.realpath(short) == os.path.realpath(absolute)
    return Path(short) if same else absolute


def is_record(name: str) -> bool:
    """Whether a file tells of the session and is none of its data: it stays when those are removed.

    Args:
        name: its path in the session folder, with `/`.
    """
    folder, _, last = name.partition("/")
    if last:
        return folder in ("experiment_metadata", "logs")
    return Path(name).suffix in (".json", ".jsonl", ".html")


def session_name(subject_id: str, when: datetime) -> str:
    """`<subject>_<YYYY-MM-DD>_<HH-MM-SS>` in local time."""
    return f"{subject_id}_{when:%Y-%m-%d_%H-%M-%S}"


def free_name(output_root: Path, subject_id: str) -> str:
    """The name of a session that begins now; the next second's while that one is taken."""
    when = datetime.now()
    while (output_root / session_name(subject_id, when)).exists():
        when += timedelta(seconds=1)
    return session_name(subject_id, when)


def claim(output_root: Path, subject_id: str, *, agreed_name: str = "") -> SessionFolder:
    """Make a new session folder that nobody else can have got.

    Args:
        output_root: folder of all sessions; made when it is not there.
        subject_id: the subject, checked to be a legal part of a name.
        agreed_name: a name that several computers agreed on; it is taken as it is.

    Raises:
        SessionError: the folder cannot be made, or an agreed name is taken.
    """
    when = datetime.now()
    for _ in range(_CLAIM_TRIES):
        folder = SessionFolder(
            plain_path(output_root) / (agreed_name or session_name(subject_id, when))
        )
        _check_inside(folder.path, output_root)
        try:
            output_root.mkdir(parents=True, exist_ok=True)
            folder.path.mkdir()
        except FileExistsError as error:
            if agreed_name or not output_root.is_dir():
                raise _not_made(folder.path, error, taken=bool(agreed_name)) from error
            # The next second, never the same folder; waiting keeps the name true.
            when = max(when + timedelta(seconds=1), datetime.now())
            continue
        except OSError as error:
            raise _not_made(folder.path, error, taken=False) from error
        folder.metadata.mkdir()
        folder.logs.mkdir()
        _wait_until(when)
        return folder
    raise _not_made(folder.path, FileExistsError("too many sessions in one minute"), taken=True)


def _wait_until(when: datetime) -> None:
    ahead_s = (when - datetime.now()).total_seconds()
    if 0 < ahead_s < _CLAIM_TRIES:
        time.sleep(ahead_s)


def _check_inside(path: Path, root: Path) -> None:
    if path.parent.resolve() != root.absolute().resolve():
        raise SessionError(
            "The session folder would lie outside the output folder.",
            code="session-name-unsafe",
            where=str(path),
            fix="Use a subject id without separators.",
        )


def _not_made(path: Path, error: OSError, *, taken: bool) -> SessionError:
    if taken:
        return SessionError(
            "A session of this name is there already.",
            code="session-name-taken",
            where=str(path),
            fix="Choose another name, or move the old folder away.",
        )
    return SessionError(
        f"The session folder cannot be made: {error.strerror or error}",
        code="session-folder-unwritable",
        where=str(path),
        fix="Check that the disk is there, that it is writable, and the output folder's name.",
    )
