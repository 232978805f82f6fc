"""The step `session_archiver`: copies of the sealed session on the network and on a backup.

Every copy is verified by reading it back; nothing of the session is changed or deleted, but empty
folders where that was asked for. It always runs last, when the manifest is sealed.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from ..errors import ParameterError, StepError, TransferError
from ..files import write_atomic
from ..parameters.paths import on_missing_drive
from ..transfer.copying import copy_verified, digest_of
from . import StepContext, StepResult
from .fields import FROZEN, PathText, TargetText
from .routing import ROUTING_MANIFEST, routed_files

LAUNCHER_FILES = (
    "experiment_metadata/*",
    "logs/*",
    "manifest.json",
    "journal.jsonl",
    "acquisition.json",
    "data_description.json",
    "processing.json",
)
"""What the launcher itself writes; it goes to the network whatever a routing manifest lists."""

RECORDS = ("subject.json", "project.json", "instrument.json", "slap2_machine.json")
_JOURNAL = "journal.jsonl"
_SHOWN = 5


def _check_algorithm(name: str) -> str:
    usual = name.lower().replace("-", "")
    if usual in hashlib.algorithms_guaranteed and not usual.startswith("shake"):
        return usual
    known = sorted(a for a in hashlib.algorithms_guaranteed if not a.startswith("shake"))
    raise ParameterError(
        f"There is no checksum named {name}.",
        code="checksum-unknown",
        fix=f"Use sha256, or another of: {', '.join(known)}.",
    )


def _check_absolute(path: str) -> str:
    if not path.strip() or Path(path).is_absolute() or on_missing_drive(path):
        return path
    raise ParameterError(
        "The folder of an archive must be an absolute path.",
        code="archive-folder-relative",
        fix="Begin it with a drive, a share (//server/share) or /.",
    )


_Folder = Annotated[TargetText, AfterValidator(_check_absolute)]


class ArchiverParameters(BaseModel):
    """Parameters of `session_archiver`."""

    model_config = FROZEN

    session_dir: PathText | None = Field(
        default=None, description="The folder to archive; the session folder when not given."
    )
    network_dir: _Folder | None = Field(
        default=None, description="Folder on the network; the copy goes below it."
    )
    backup_dir: _Folder | None = Field(
        default=None, description="Folder of the backup; the copy goes below it."
    )
    copy_to_backup: bool = Field(default=True, description="Whether there is a backup copy.")
    routing_manifest: PathText | None = Field(
        default=None,
        description="Routing manifest, relative to the session; routing_manifest.json when that "
        "is there.",
    )
    skip_completed: bool = Field(
        default=True, description="Whether files that are there already, verified, are passed over."
    )
    checksum_algo: Annotated[str, AfterValidator(_check_algorithm)] = Field(
        default="sha256", description="Checksum by which copies are verified."
    )
    max_retries: int = Field(
        default=2, ge=0, le=100, description="Times that a damaged copy is made again."
    )
    remove_empty_dirs: bool = Field(
        default=False, description="Whether empty folders of the session are removed afterwards."
    )
    include_patterns: list[str] = Field(
        default=[], description="Only files that match one of these patterns, as in *.csv."
    )
    exclude_patterns: list[str] = Field(
        default=[], description="No files that match one of these patterns."
    )

    @model_validator(mode="after")
    def _check_folders(self) -> Self:
        network, backup = self.network_dir, self.backup_dir if self.copy_to_backup else None
        if not (network or backup) or (self.copy_to_backup and not backup):
            raise ParameterError(
                "An archive needs a folder to go to: network_dir, and backup_dir for the backup.",
                code="archive-folder-missing",
                fix='Give both; without a backup say "copy_to_backup": false.',
            )
        return self


class _Destination(NamedTuple):
    kind: str
    folder: Path
    """Where the copy of the session lies: its folder below the one that was named."""
    everything: bool


class SessionArchiver:
    """Copies the session to the network and to a backup, and verifies both."""

    name = "session_archiver"
    interactive = False
    after_seal = True
    parameters_model = ArchiverParameters

    def run(self, context: StepContext[ArchiverParameters]) -> StepResult:
        """Copy; see `Step.run`."""
        wanted = context.parameters
        session = Path(wanted.session_dir or context.session_folder).absolute()
        if not session.is_dir():
            return StepResult(False, f"There is no folder {session}.")
        routes, warnings = _routes(session, wanted)
        places = destinations(wanted, session, routed=routes is not None)
        files = sorted(_files(session, wanted))
        done = [_copy_all(place, session, files, routes or set(), wanted) for place in places]
        if wanted.remove_empty_dirs:
            _remove_empty(session)
        message = " ".join(each.message for each in done)
        return StepResult(
            all(each.ok for each in done),
            message,
            warnings=tuple(warnings),
            pending=any(each.pending for each in done) and all(e.ok or e.pending for e in done),
        )


def destinations(wanted: ArchiverParameters, session: Path, *, routed: bool) -> list[_Destination]:
    """Where the copies of a session go.

    Args:
        wanted: the step's parameters.
        session: the session folder.
        routed: whether a routing manifest says what goes to the network.

    Raises:
        StepError: one of them is the session itself, in it, or around it.
    """
    named = {"network": wanted.network_dir, "backup": wanted.backup_dir}
    if not wanted.copy_to_backup:
        named.pop("backup")
    places = []
    for kind, folder in named.items():
        if folder and folder.strip():
            everything = not (routed and kind == "network")
            place = _Destination(kind, Path(folder) / session.name, everything)
            _check_apart(place.folder, session)
            places.append(place)
    return places


def _check_apart(copy: Path, session: Path) -> None:
    copy, session = copy.resolve(), session.resolve()
    if copy.is_relative_to(session) or session.is_relative_to(copy):
        raise StepError(
            "The archive would lie in the session itself.",
            code="archive-folder-inside",
            where=str(copy),
            fix="Name a folder outside of the session folders.",
        )


def complete_copies(values: Mapping[str, Any], session_folder: Path) -> None:
    """Bring the end of the journal, which was written after the archive, to the copies.

    Args:
        values: the step's parameters.
        session_folder: the session folder.
    """
    wanted = ArchiverParameters.model_validate(values)
    session = Path(wanted.session_dir or session_folder).absolute()
    for place in destinations(wanted, session, routed=False):
        if (place.folder / _JOURNAL).is_file():
            _copy_journal(session / _JOURNAL, place.folder / _JOURNAL)


def _copy_journal(source: Path, target: Path) -> None:
    """Copy a journal as it is now: events may be added to it at any time."""
    content = source.read_bytes()
    write_atomic(target, content[: content.rfind(b"\n") + 1])


def _routes(session: Path, wanted: ArchiverParameters) -> tuple[set[str] | None, list[str]]:
    """The files that a routing manifest sends to the network, relative with /; None without one."""
    manifest = session / (wanted.routing_manifest or ROUTING_MANIFEST)
    if not manifest.is_file():
        if wanted.routing_manifest is None:
            return None, []
        return None, [f"There is no routing manifest {manifest}: everything goes to the network."]
    routes: set[str] = set()
    warnings = []
    if manifest.is_relative_to(session):
        routes.add(manifest.relative_to(session).as_posix())
    for named in routed_files(manifest):
        path = (session / named.replace("\\", "/")).resolve()
        if not path.is_relative_to(session.resolve()):
            raise StepError(
                "The routing manifest lists a file outside of the session.",
                code="routing-manifest-broken",
                where=f"{manifest}: {named}",
                fix="List files relative to the session folder.",
            )
        if not path.exists():
            warnings.append(f"The routing manifest lists {named}, which is not there.")
        routes.add(path.relative_to(session.resolve()).as_posix())
    return routes, warnings


def _files(session: Path, wanted: ArchiverParameters) -> Iterator[str]:
    """The session's files that are asked for, relative with /. Links are not followed."""
    for path in session.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        name = path.relative_to(session).as_posix()
        included = not wanted.include_patterns or _matches(name, wanted.include_patterns)
        if included and not _matches(name, wanted.exclude_patterns):
            yield name


def _matches(name: str, patterns: list[str] | tuple[str, ...]) -> bool:
    base = name.rpartition("/")[2]
    return any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(base, p) for p in patterns)


def _goes(name: str, place: _Destination, routes: set[str]) -> bool:
    if place.everything or name in RECORDS:
        return True
    if any(fnmatch.fnmatch(name, pattern) for pattern in LAUNCHER_FILES):
        return True
    return name in routes or any(name.startswith(f"{route}/") for route in routes)


def _copy_all(
    place: _Destination,
    session: Path,
    files: list[str],
    routes: set[str],
    wanted: ArchiverParameters,
) -> StepResult:
    copied = passed = 0
    damaged: list[str] = []
    try:
        for name in files:
            if not _goes(name, place, routes):
                continue
            try:
                if _copy(session / name, place.folder / name, wanted):
                    copied += 1
                else:
                    passed += 1
            except TransferError as error:
                print(error.render(), flush=True)  # noqa: T201 - for the step's log
                damaged.append(name)
    except OSError as error:
        words = f"{place.kind}: {place.folder} cannot be written ({error.strerror or error})."
        return StepResult(False, words, pending=True)
    if damaged:
        shown = ", ".join(damaged[:_SHOWN])
        return StepResult(False, f"{place.kind}: {len(damaged)} files arrived damaged: {shown}.")
    there = f", {passed} were there" if passed else ""
    return StepResult(True, f"{place.kind}: {copied} files copied and verified{there}.")


def _copy(source: Path, target: Path, wanted: ArchiverParameters) -> bool:
    """Bring one file to its place; False when it was there already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.name == _JOURNAL:
        _copy_journal(source, target)
        return True
    if wanted.skip_completed and _is_same(source, target, wanted.checksum_algo):
        return False
    copy_verified(source, target, wanted.checksum_algo, retries=wanted.max_retries)
    return True


def _is_same(source: Path, target: Path, algorithm: str) -> bool:
    if target.is_symlink() or not target.is_file():
        return False
    if target.stat().st_size != source.stat().st_size:
        return False
    return digest_of(target, algorithm) == digest_of(source, algorithm)


def _remove_empty(session: Path) -> None:
    """Remove folders without anything in them, the deepest first."""
    for folder in sorted((p for p in session.rglob("*") if p.is_dir()), reverse=True):
        if not folder.is_symlink():
            with suppress(OSError):  # it is not empty
                folder.rmdir()
