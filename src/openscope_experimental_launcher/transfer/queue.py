"""Copies that are still to be made: one small file each in the launcher's state folder.

A copy is noted before it is begun and forgotten when it has been verified, so that a crash, a
power cut or a destination that is away cannot lose it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import TransferError
from ..files import write_json
from ..locks import ProcessLock
from ..session.journal import iso_now
from ..session.state import locks_folder, short_hash, state_folder

_TRUST_LIVES_S = 180 * 24 * 3600.0


class Job(NamedTuple):
    """One session that is to be copied to one folder.

    Attributes:
        session: absolute path of the session folder.
        to: the folder that the copy goes below.
        since: when it was asked for, ISO 8601.
        as_is: whether files are copied too that are not what was sealed.
        why: why it waits, in one sentence; empty when it was not tried yet.
    """

    session: str
    to: str
    since: str = ""
    as_is: bool = False
    why: str = ""

    @property
    def key(self) -> str:
        """Its name among the launcher's files."""
        return short_hash(f"{self.session}\n{self.to}")

    def lock(self) -> ProcessLock:
        """The lock whose holder makes this copy."""
        return ProcessLock(locks_folder() / f"transfer-{self.key}.lock")

    def trust_file(self) -> Path:
        """Where it is kept what has arrived already."""
        return trust_file(Path(self.session), Path(self.to) / Path(self.session).name)


def trust_file(session: Path, copy: Path) -> Path:
    """Where it is kept what of a folder has arrived at a copy of it."""
    key = short_hash(f"{session}\n{copy}")
    return state_folder() / "transfers" / "arrived" / f"{key}.jsonl"


def _queue() -> Path:
    return state_folder() / "transfers" / "queue"


def add_job(session: Path, to: str, *, as_is: bool = False, why: str = "") -> Job:
    """Note that a session is to be copied to a folder.

    Args:
        session: absolute path of the session folder.
        to: the folder, absolute.
        as_is, why: see `Job`.

    Returns:
        It; one that waits already is asked for since it was first.
    """
    job = Job(str(session), str(Path(to)), iso_now(), as_is, why)
    known = next((other for other in jobs(session) if other.key == job.key), None)
    if known:
        job = job._replace(since=known.since)
    keep_job(job)
    return job


def keep_job(job: Job) -> None:
    """Write down what is known of a copy that is still to be made.

    Raises:
        TransferError: the launcher's state folder cannot be written.
    """
    write_waiting(_queue() / f"{job.key}.json", job._asdict())


def write_waiting(file: Path, value: Mapping[str, Any]) -> None:
    """Write down something that waits into the launcher's state folder.

    Raises:
        TransferError: that cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, value, mode=0o600)
    except OSError as error:
        raise TransferError(
            f"It cannot be noted what waits: {error.strerror or error}.",
            code="state-folder-unwritable",
            where=str(file.parent),
            fix="Make room on its disk, or make it writable. A session that two copies were made "
            "of makes room with openscope transfer SESSION --free.",
        ) from error


def forget_job(job: Job) -> None:
    """Forget a copy: it was made, or nobody wants it any more."""
    (_queue() / f"{job.key}.json").unlink(missing_ok=True)


def jobs(session: Path | None = None) -> list[Job]:
    """The copies that are still to be made, the oldest first.

    Args:
        session: only those of this session.
    """
    found = []
    for file in _queue().glob("*.json"):
        try:
            job = Job(**json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError):  # dealt with by another launcher, or damaged
            continue
        if session is None or job.session == str(session):
            found.append(job)
    return sorted(found, key=lambda job: (job.since, job.to))


def forget_old_trust() -> None:
    """Forget what arrived long ago; copying such a session again costs reading it."""
    for file in (state_folder() / "transfers" / "arrived").glob("*.jsonl"):
        with suppress(OSError):  # another process did
            if file.stat().st_mtime < time.time() - _TRUST_LIVES_S:
                file.unlink()


# -- what a destination was mounted on -------------------------------------------------------------


def mount_file(to: str) -> Path:
    """Where it is kept on which mount a destination was when a copy was last verified there."""
    return state_folder() / "transfers" / "mounts" / f"{short_hash(to)}.txt"


def remember_mount(to: str) -> None:
    """Note the mount of a destination that works."""
    if sys.platform == "win32":  # a share that is away has no folder there
        return
    file = mount_file(to)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_mount_of(to), encoding="utf-8", errors="surrogateescape")


def lost_mount(to: str) -> str:
    """The mount of a destination that is not mounted now; empty when all is as it was.

    What is left of it is a plain folder of this computer's own disk, and a copy there would be
    none.
    """
    try:
        mount = mount_file(to).read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
    return "" if not mount or os.path.ismount(mount) else mount


def _mount_of(path: str) -> str:
    folder = os.path.realpath(path)
    while not os.path.ismount(folder) and folder != os.path.dirname(folder):  # noqa: PTH120
        folder = os.path.dirname(folder)  # noqa: PTH120
    return folder
