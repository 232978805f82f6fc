"""Making room: the data of a session are removed where it was recorded, once two copies are proved.

Nothing is removed that is not, byte for byte, in two other places at this moment. The session's
records stay: its journal, manifest, metadata, logs and report, so that it is still known what there
was and where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .amending import close_again
from .errors import LauncherError, TransferError
from .files import sha256_of
from .recovery import adopted
from .session.folder import SessionFolder, is_record
from .session.journal import SessionFreed
from .session.manifest import listed_files, read_manifest
from .session.record import read_record
from .session.state import fallback_journal, session_lock
from .session.verifying import verify
from .steps.kept import kept_session
from .transfer.disk import digest_on_disk
from .transfer.failures import is_full
from .transfer.paths import extended, shown
from .transfer.queue import Job, forget_job, jobs
from .transfer.trust import Look, look_of

COPIES_NEEDED = 2
_BUSY_S = 2.0

OnProgress = Callable[[int, int], None]


class Checked(NamedTuple):
    """A copy that was looked at.

    Attributes:
        folder: where it is.
        problem: what is wrong with it; empty when every byte is as it was sealed.
        manifest_sha256: checksum of the manifest that it was compared with.
    """

    folder: str
    problem: str
    manifest_sha256: str = ""


class Removable(NamedTuple):
    """What may go.

    Attributes:
        files: names of the files, with `/`, to what they looked like before they were read.
        size_bytes: their sizes together.
        manifest_sha256: checksum of the manifest that they were compared with.
    """

    files: Mapping[str, Look]
    size_bytes: int
    manifest_sha256: str


def known_copies(folder: SessionFolder) -> list[str]:
    """Where copies of a session should be: where they were made, also where its own disk was too
    full to take the note of it."""
    journals = (folder.journal, fallback_journal(folder.path))
    made = [str(copy.get("folder") or "") for j in journals for copy in read_record(j).copies]
    waiting = [_copy_of(job, folder) for job in jobs(folder.path)]
    made += [copy for copy in waiting if _has_receipt(copy)]
    return list(dict.fromkeys(filter(None, made)))


def _has_receipt(copy: str) -> bool:
    try:
        return SessionFolder(extended(copy)).receipt.is_file()
    except OSError:
        return False


def check_copy(folder: SessionFolder, copy: str, on_progress: OnProgress | None) -> Checked:
    """Read a copy from its disk, and compare every byte with what was sealed.

    Args:
        folder: the session folder.
        copy: the copy's.
        on_progress: told how many bytes of how many were read.
    """
    there = SessionFolder(extended(copy))
    sealed = _sealed_sha256(folder)
    try:
        if not there.path.is_dir():
            return Checked(copy, "It is not there.")
        if there.path.samefile(folder.path):
            return Checked(copy, "It is the session itself.")
        if sha256_of(there.manifest) != sealed:
            return Checked(copy, "It is older than the session; transfer that again.")
        found = verify(there, on_progress, lambda file: digest_on_disk(file, "sha256"))
    except LauncherError as error:
        return Checked(copy, error.message)
    except OSError as error:
        return Checked(copy, f"It cannot be read: {error.strerror or error}.")
    bad = [each for each in found.differences if each.state != "added"]
    if found.freed:
        return Checked(copy, "Its own data were removed.")
    return Checked(copy, f"{bad[0].file} is {bad[0].state}." if bad else "", sealed)


def apart(copies: Sequence[Checked]) -> list[Checked]:
    """The good ones among copies, each folder once however it is named."""
    good: list[Checked] = []
    for copy in copies:
        if not copy.problem and not any(Path(copy.folder).samefile(g.folder) for g in good):
            good.append(copy)
    return good


def removable(folder: SessionFolder, on_progress: OnProgress | None) -> Removable:
    """What may be removed of a session: the data that are here as they were sealed.

    Raises:
        TransferError: some are not, so that no copy has them; or the manifest that should prove it
            is not the sealed one.
        SessionError: it is no closed session.
    """
    # Both are looked at before the files are read, so that whatever changes later is found out.
    sealed = _sealed_sha256(folder)
    looks = dict(_looks(folder))
    changed = [
        f"{each.file} ({each.state})"
        for each in verify(folder, on_progress).differences
        if each.state != "missing" and _proves_or_is_data(folder, each.file)
    ]
    if changed:
        raise TransferError(
            f"Not all data are as they were sealed, so no copy has them: {', '.join(changed[:5])}.",
            code="free-not-as-sealed",
            where=str(folder.path),
            fix="Look into it first: openscope verify SESSION.",
        )
    listed = read_manifest(folder)["files"]
    files = {name: look for name, look in looks.items() if name in listed and not is_record(name)}
    return Removable(files, sum(look.size for look in files.values()), sealed)


def _proves_or_is_data(folder: SessionFolder, name: str) -> bool:
    return name == folder.manifest.name or not is_record(name)


def _sealed_sha256(folder: SessionFolder) -> str:
    return str((read_record(folder.journal).sealed or {}).get("sha256") or "")


def _looks(folder: SessionFolder) -> Iterable[tuple[str, Look]]:
    """What the session's own files look like; what a link leads to is none of them."""
    for path in listed_files(folder):
        with suppress(FileNotFoundError):
            yield path.relative_to(folder.path).as_posix(), look_of(path.lstat())


def free(folder: SessionFolder, what: Removable, copies: Sequence[Checked]) -> None:
    """Remove data of a session. Call it right after the copies were checked.

    Args:
        folder: the session folder.
        what: what goes.
        copies: the copies that were proved; at least two.

    Raises:
        TransferError: the session or a copy has changed since they were looked at, or something
            cannot be removed; it can be called again.
        SessionError: another launcher works on the session.
    """
    if len(copies) < COPIES_NEEDED or any(copy.problem for copy in copies):
        raise ValueError("two proved copies are needed")
    try:
        if not _noted_and_removed(folder, what, copies):
            _make_room(folder, what, copies)
            _note_and_remove(folder, what, copies)
    except LauncherError:
        raise
    except OSError as error:
        raise TransferError(
            f"Not everything could be removed: {error.strerror or error}.",
            code="free-not-finished",
            where=str(error.filename or folder.path),
            fix="See to it; then once more: openscope transfer SESSION --free",
        ) from error


def _noted_and_removed(folder: SessionFolder, what: Removable, copies: Sequence[Checked]) -> bool:
    """The same as below, but False when a disk is too full to take the note."""
    try:
        _note_and_remove(folder, what, copies)
    except OSError as error:
        if not is_full(error):
            raise
        return False
    return True


def _note_and_remove(folder: SessionFolder, what: Removable, copies: Sequence[Checked]) -> None:
    with adopted(folder) as journal:
        files = _still_there(folder, what, copies)
        named = [copy.folder for copy in copies]
        journal.record(SessionFreed(len(what.files), what.size_bytes, named))
        close_again(folder, journal, kept_session(folder, read_record(folder.journal)))
        for name in files:
            (extended(folder.path) / name).unlink(missing_ok=True)
    _remove_empty(folder, files)
    for job in jobs(folder.path):  # a full disk may have kept it from being noted as made
        if _copy_of(job, folder) in named:
            forget_job(job)


def _copy_of(job: Job, folder: SessionFolder) -> str:
    return str(Path(job.to) / folder.name)


def _make_room(folder: SessionFolder, what: Removable, copies: Sequence[Checked]) -> None:
    """Remove the largest file before that is noted, on a disk that is too full for a note."""
    lock = session_lock(folder.path)
    if not lock.acquire(patience_s=_BUSY_S):
        return  # who has it is told when it is tried again
    try:
        files = _still_there(folder, what, copies)
        for name in sorted(files, key=lambda name: what.files[name].size)[-1:]:
            (extended(folder.path) / name).unlink()
    finally:
        lock.release()


def _check_again(folder: SessionFolder, what: Removable, copies: Sequence[Checked]) -> None:
    """See, while nobody else can seal the session, that all is still what was looked at: a person
    may have read the question for an hour."""
    sealed = _sealed_sha256(folder)
    if not sealed or {what.manifest_sha256, *(c.manifest_sha256 for c in copies)} != {sealed}:
        raise _changed("The session was sealed anew", str(folder.path))
    for there in (folder, *(SessionFolder(extended(copy.folder)) for copy in copies)):
        if _sha256_if_there(there.manifest) != sealed:
            raise _changed("A manifest was changed or is away", shown(there.manifest))


def _still_there(folder: SessionFolder, what: Removable, copies: Sequence[Checked]) -> list[str]:
    """The files that go, checked again. One that is gone already needs nothing, and nothing is done
    through a link that took the place of a folder."""
    _check_again(folder, what, copies)
    now = dict(_looks(folder))
    for name, look in what.files.items():
        if now.get(name, look) != look:
            raise _changed(f"{name} was changed", str(folder.path))
    return [name for name in what.files if name in now]


def _sha256_if_there(file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError:
        return ""


def _changed(what: str, where: str) -> TransferError:
    return TransferError(
        f"{what} since the copies were compared, so they prove nothing, and nothing is removed.",
        code="free-changed-meanwhile",
        where=where,
        fix="Copy the session again, and then free it again: openscope transfer SESSION --free",
    )


def _remove_empty(folder: SessionFolder, files: Sequence[str]) -> None:
    parents = {parent for name in files for parent in (folder.path / name).parents}
    inside = [p for p in parents if p != folder.path and p.is_relative_to(folder.path)]
    for parent in sorted(inside, reverse=True):
        with suppress(OSError):  # something else is in it
            parent.rmdir()
