"""The step `session_archiver`: copies of the sealed session on the network and on a backup.

Every copy is verified by reading it back; nothing of the session is changed or deleted, but empty
folders where that was asked for. It always runs last, when the manifest is sealed.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from ..errors import ParameterError, StepError
from ..transfer.journals import bring_journal
from . import StepContext, StepResult
from .fields import FROZEN, PathText, TargetText, check_absolute
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
JOURNAL, RECEIPT = "journal.jsonl", "transfer_receipt.json"


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


_Folder = Annotated[TargetText, AfterValidator(check_absolute)]


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


class Destination(NamedTuple):
    """A place of the archive.

    Attributes:
        kind: `network` or `backup`.
        folder: where the copy of the session lies: its folder below the one that was named.
        everything: whether all files go there, whatever a routing manifest lists.
    """

    kind: str
    folder: Path
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
        # Not wanted before the acquisition, when steps are only looked at.
        from ..transfer.sources import look_through
        from .archiving import archive

        routes, warnings = _routes(session, wanted)
        places = destinations(wanted, session, routed=routes is not None)
        found = look_through(session)
        warnings += [f"The link {name} leads out of the session; left out." for name in found.links]
        files = [name for name in found.files if _is_wanted(name, wanted)]
        done = archive(session, files, places, routes or set(), wanted)
        if wanted.remove_empty_dirs:
            _remove_empty(session)
        message = " ".join(each.message for each in done)
        return StepResult(
            all(each.ok for each in done),
            message,
            warnings=tuple(warnings),
            pending=any(each.pending for each in done) and all(e.ok or e.pending for e in done),
        )


def destinations(wanted: ArchiverParameters, session: Path, *, routed: bool) -> list[Destination]:
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
            place = Destination(kind, Path(folder) / session.name, everything)
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
        if (place.folder / JOURNAL).is_file():
            bring_journal(session / JOURNAL, place.folder / JOURNAL)


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


def _is_wanted(name: str, wanted: ArchiverParameters) -> bool:
    included = not wanted.include_patterns or _matches(name, wanted.include_patterns)
    return included and not _matches(name, wanted.exclude_patterns) and name != RECEIPT


def _matches(name: str, patterns: list[str] | tuple[str, ...]) -> bool:
    base = name.rpartition("/")[2]
    return any(fnmatch.fnmatch(name, p) or fnmatch.fnmatch(base, p) for p in patterns)


def goes(name: str, place: Destination, routes: set[str]) -> bool:
    """Whether a file goes to a place."""
    if place.everything or name in RECORDS:
        return True
    if any(fnmatch.fnmatch(name, pattern) for pattern in LAUNCHER_FILES):
        return True
    return name in routes or any(name.startswith(f"{route}/") for route in routes)


def _remove_empty(session: Path) -> None:
    """Remove folders without anything in them, the deepest first."""
    for folder in sorted((p for p in session.rglob("*") if p.is_dir()), reverse=True):
        if not folder.is_symlink():
            with suppress(OSError):  # it is not empty
                folder.rmdir()
