"""Making room: the data of a session are removed where it was recorded, once two copies are proved.

Nothing is removed that is not, byte for byte, in two other places at this moment. The session's
records stay: its journal, manifest, metadata, logs and report, so that it is still known what there
was and where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .amending import close_again
from .errors import LauncherError, TransferError
from .files import sha256_of
from .recovery import adopted
from .session.folder import SessionFolder, is_record
from .session.journal import SessionFreed
from .session.manifest import read_manifest
from .session.record import read_record
from .session.verifying import verify
from .steps.kept import kept_session
from .transfer.disk import digest_on_disk
from .transfer.paths import extended

COPIES_NEEDED = 2

OnProgress = Callable[[int, int], None]


class Checked(NamedTuple):
    """A copy that was looked at.

    Attributes:
        folder: where it is.
        problem: what is wrong with it; empty when every byte is as it was sealed.
    """

    folder: str
    problem: str


class Removable(NamedTuple):
    """What may go.

    Attributes:
        files: names of the files, with `/`.
        size_bytes: their sizes together.
    """

    files: list[str]
    size_bytes: int


def known_copies(folder: SessionFolder, places: Sequence[str]) -> list[str]:
    """Where copies of a session should be: where they were made, and below the folders named."""
    made = [str(copy.get("folder") or "") for copy in read_record(folder.journal).copies]
    named = [str(Path(place) / folder.name) for place in places]
    return list(dict.fromkeys(copy for copy in [*made, *named] if copy))


def check_copy(folder: SessionFolder, copy: str, on_progress: OnProgress | None) -> Checked:
    """Read a copy from its disk, and compare every byte with what was sealed.

    Args:
        folder: the session folder.
        copy: the copy's.
        on_progress: told how many bytes of how many were read.
    """
    there = SessionFolder(extended(copy))
    sealed = read_record(folder.journal).sealed or {}
    try:
        if not there.path.is_dir():
            return Checked(copy, "It is not there.")
        if there.path.samefile(folder.path):
            return Checked(copy, "It is the session itself.")
        if sha256_of(there.manifest) != sealed.get("sha256"):
            return Checked(copy, "It is older than the session; transfer that again.")
        found = verify(there, on_progress, lambda file: digest_on_disk(file, "sha256"))
    except LauncherError as error:
        return Checked(copy, error.message)
    except OSError as error:
        return Checked(copy, f"It cannot be read: {error.strerror or error}.")
    bad = [each for each in found.differences if each.state != "added"]
    if found.freed:
        return Checked(copy, "Its own data were removed.")
    return Checked(copy, f"{bad[0].file} is {bad[0].state}." if bad else "")


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
        TransferError: some are not, so that no copy has them.
        SessionError: it is no closed session.
    """
    changed = [each for each in verify(folder, on_progress).differences if each.state != "missing"]
    changed = [each for each in changed if not is_record(each.file)]
    if changed:
        names = ", ".join(f"{each.file} ({each.state})" for each in changed[:5])
        raise TransferError(
            f"Not all data are as they were sealed, so no copy has them: {names}.",
            code="free-not-as-sealed",
            where=str(folder.path),
            fix="Look into it first: openscope verify SESSION.",
        )
    listed = read_manifest(folder)["files"]
    files = [name for name in listed if not is_record(name) and (folder.path / name).is_file()]
    return Removable(files, sum(int(listed[name]["size"]) for name in files))


def free(folder: SessionFolder, what: Removable, copies: Sequence[Checked]) -> None:
    """Remove data of a session. Call it right after the copies were checked.

    Args:
        folder: the session folder.
        what: what goes.
        copies: the copies that were proved; at least two.

    Raises:
        SessionError: another launcher works on the session.
        OSError: something cannot be removed; it can be called again.
    """
    if len(copies) < COPIES_NEEDED or any(copy.problem for copy in copies):
        raise ValueError("two proved copies are needed")
    with adopted(folder) as journal:
        named = [copy.folder for copy in copies]
        journal.record(SessionFreed(len(what.files), what.size_bytes, named))
        close_again(folder, journal, kept_session(folder, read_record(folder.journal)))
        for name in what.files:
            (extended(folder.path) / name).unlink(missing_ok=True)
    _remove_empty(folder, what.files)


def _remove_empty(folder: SessionFolder, files: Sequence[str]) -> None:
    parents = {parent for name in files for parent in (folder.path / name).parents}
    inside = [p for p in parents if p != folder.path and p.is_relative_to(folder.path)]
    for parent in sorted(inside, reverse=True):
        with suppress(OSError):  # something else is in it
            parent.rmdir()
