"""What is done to a session that was closed before: steps, its standard metadata, its report.

A step may add files to the session or change some; then the manifest is sealed anew. What no step
touched keeps the checksum that it was sealed with, so that damage is still found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from .closing import Closing, finish_closing
from .engines.python import interpreter
from .errors import SessionError, StepError
from .files import sha256_of, write_atomic
from .metadata.aind.making import Made, make_records, write_records
from .parameters.wording import printable
from .recovery import adopted, record_sealing
from .report import REPORT_NAME, make_report, report_unwritable
from .session.folder import SessionFolder
from .session.journal import Event, Journal, StepFinished
from .session.manifest import listed_files, read_manifest, seal
from .session.record import SessionRecord, read_record
from .session.state import forget_sealing, note_for_history, note_sealing
from .session.unclosed import not_closed
from .steps import get_step, is_installed
from .steps.kept import Kept, kept_session
from .steps.phase import complete_archives
from .steps.pipeline import PlannedStep, ad_hoc_step, plan_steps
from .steps.runner import StepSession, comes_sealed, run_steps

_ByName = Mapping[str, tuple[int, int]]


class Person(NamedTuple):
    """Whether somebody is there, and how they get the terminal.

    Attributes:
        there: whether steps that need a person can be run.
        terminal: gives the terminal to such a step.
    """

    there: bool = False
    terminal: Callable[[], AbstractContextManager[object]] = nullcontext


class _Events:
    """Keeps events until the manifest that they belong to is sealed: a power cut before that
    leaves the steps to be run again, and not files that no manifest knows."""

    def __init__(self) -> None:
        self.kept: list[Event] = []

    def record(self, event: Event) -> None:
        """Keep one event."""
        self.kept.append(event)


def run_again(
    folder: SessionFolder, name: str, *, given: Mapping[str, Any], person: Person
) -> list[StepFinished]:
    """Run one step of a closed session again.

    Args:
        folder: the session folder.
        name: a step of its pipelines, by its name or its file's; or any installed step.
        given: parameters over those that the session had.
        person: whether somebody is there.

    Returns:
        How it went; several when its pipelines have it several times.

    Raises:
        SessionError: the session is not closed, or another launcher works on it.
        StepError: there is no such step.
    """
    with adopted(folder) as journal:
        record, kept = _closed_session(folder)
        steps = [
            step._replace(parameters={**step.parameters, **given}) for step in _named(name, kept)
        ]
        return _amend(folder, journal, record, kept, steps, person)


def catch_up(folder: SessionFolder, *, person: Person) -> list[StepFinished]:
    """Run the steps of a closed session that were left to be done later.

    Args:
        folder: the session folder.
        person: whether somebody is there; if not, steps that need a person stay.

    Returns:
        How each went.

    Raises:
        SessionError: the session is not closed, or another launcher works on it.
    """
    with adopted(folder) as journal:
        record, kept = _closed_session(folder)
        pending = record.pending_places()
        steps = [
            step
            for phase in ("before", "after")
            for step in plan_steps(phase, kept.parameters)
            if (step.phase, step.position) in pending
        ]
        if not person.there:
            steps = [step for step in steps if not _needs_person(step)]
        return _amend(folder, journal, record, kept, steps, person) if steps else []


def complete(
    folder: SessionFolder,
    *,
    metadata: bool,
    report: bool,
    given: Mapping[str, Any] | None = None,
) -> Made | None:
    """Write the standard metadata and the report of a closed session into its folder, and seal
    that anew, once.

    Args:
        folder: the session folder.
        metadata: whether to make the standard metadata.
        report: whether to make the report.
        given: values for the metadata, which are kept with the session.

    Returns:
        The standard metadata; None when they were not asked for.

    Raises:
        SessionError: the session is not closed, another launcher works on it, or its folder or
            manifest cannot be used.
    """
    try:
        _closed_record(folder, adopted=False)
        # Made before the session is held: whoever wants to work on it need not wait.
        made = make_records(folder, given) if metadata else None
        html = _report_of(folder, made) if report else None
        with adopted(folder) as journal:
            record = _closed_record(folder)
            before = _sizes(folder)
            read_manifest(folder)  # without one nothing can be sealed
            if made is not None:
                write_records(folder, made)
            if html is not None:
                write_atomic(folder.path / REPORT_NAME, html)
            if _seal_anew(folder, journal, before):
                kept = kept_session(folder, record)
                if kept is not None:
                    _archive_again(folder, journal, kept)
                close_again(folder, journal, kept)
            return made
    except OSError as error:
        if isinstance(error, SessionError):
            raise
        raise (report_unwritable if report else _unwritable)(error, folder.path) from error


def _report_of(folder: SessionFolder, made: Made | None) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / REPORT_NAME
        return make_report(folder.path, file, added=made.files if made else {}).read_bytes()


def _unwritable(error: OSError, where: Path) -> SessionError:
    return SessionError(
        f"The standard metadata cannot be written: {error.strerror or error}.",
        code="metadata-unwritable",
        where=str(where),
        fix="Check the folder's permissions and its disk; then: openscope metadata SESSION",
    )


def take_in_late_notes(folder: SessionFolder) -> None:
    """Take the notes that were left for a session while it was closed into its journal.

    Raises:
        SessionError: the session is not closed, or another launcher works on it.
    """
    with adopted(folder) as journal:
        close_again(folder, journal, kept_session(folder, _closed_record(folder)))


def _archive_again(folder: SessionFolder, journal: Journal, kept: Kept) -> None:
    session = _step_session(folder, kept, read_record(folder.journal))
    _run(_archivers([], kept, changed=True), session, journal, Person(), sealed=True)


def _closed_record(folder: SessionFolder, *, adopted: bool = True) -> SessionRecord:
    record = read_record(folder.journal)
    if record.closed is None:
        raise not_closed(folder, "This session was never closed.", adopted=adopted)
    return record


def _closed_session(folder: SessionFolder) -> tuple[SessionRecord, Kept]:
    record = _closed_record(folder)
    kept = kept_session(folder, record)
    if kept is None:
        raise SessionError(
            "The session does not have the parameters that it ran with.",
            code="session-incomplete",
            where=str(folder.metadata / "processed_parameters.json"),
            fix="It failed before they were written; there is nothing to run a step with.",
        )
    return record, kept


def _named(name: str, kept: Kept) -> list[PlannedStep]:
    phases: tuple[Literal["before", "after"], ...] = ("before", "after")
    planned = [step for phase in phases for step in plan_steps(phase, kept.parameters)]
    found = [step for step in planned if name in (step.name, PurePosixPath(step.name).name)]
    if found or is_installed(name):
        return found or [ad_hoc_step(name, kept.parameters)]
    get_step(name)  # says what is not there
    raise StepError(f"There is no step {printable(name)}.", code="step-unknown")


def _needs_person(step: PlannedStep) -> bool:
    return step.kind == "step" and is_installed(step.name) and get_step(step.name).interactive


def _amend(
    folder: SessionFolder,
    journal: Journal,
    record: SessionRecord,
    kept: Kept,
    steps: Sequence[PlannedStep],
    person: Person,
) -> list[StepFinished]:
    _check_code(steps, record, kept)
    session = _step_session(folder, kept, record)
    before = _sizes(folder)
    events = _Events()
    try:
        ended = _run(steps, session, events, person, sealed=False)
    finally:  # an interrupted step may have changed something too
        changed = _seal_anew(folder, journal, before)
        for event in events.kept:
            journal.record(event)
    ended += _run(_archivers(steps, kept, changed), session, journal, person, sealed=True)
    close_again(folder, journal, kept)
    return ended


def _step_session(folder: SessionFolder, kept: Kept, record: SessionRecord) -> StepSession:
    return StepSession(
        folder,
        kept.parameters,
        kept.root,
        interpreter(kept.parameters, kept.root),
        kept.rehearsal,
        outcome=record.outcome or "lost",
    )


def _run(
    steps: Sequence[PlannedStep],
    session: StepSession,
    journal: Journal | _Events,
    person: Person,
    *,
    sealed: bool,
) -> list[StepFinished]:
    # Whoever runs a step again means it, whatever became of the acquisition; and a failure is
    # said and has no consequences now.
    wanted = [step._replace(run_after_failure=True, on_failure="continue") for step in steps]
    return run_steps(
        [step for step in wanted if comes_sealed(step) == sealed],
        session._replace(sealed=sealed),
        journal,
        ask=(lambda *_: "go on") if person.there else None,
        terminal=person.terminal,
    )


def _archivers(steps: Sequence[PlannedStep], kept: Kept, changed: bool) -> list[PlannedStep]:
    """The archivers that are to run: those asked for; all of the session's when it changed."""
    asked = [step for step in steps if comes_sealed(step)]
    if not changed:
        return asked
    asked_places = {(step.phase, step.position) for step in asked}
    own = [step for step in plan_steps("after", kept.parameters) if comes_sealed(step)]
    return asked + [step for step in own if (step.phase, step.position) not in asked_places]


def _check_code(steps: Sequence[PlannedStep], record: SessionRecord, kept: Kept) -> None:
    """Refuse to run a file of the repository at another commit than the session's."""
    commit = str((record.repository or {}).get("commit") or "")
    if not commit or not any(step.kind == "script" for step in steps):
        return
    from .repository import Git

    head = Git(kept.root).run("rev-parse", "HEAD").text.strip() if kept.root.is_dir() else ""
    if head != commit:
        raise StepError(
            f"The code of this session is not there: {kept.root} is at {head[:12] or 'no commit'}.",
            code="step-code-moved",
            where=f"commit {commit}",
            fix=f"Check it out there first: git checkout {commit[:12]}",
        )


def _sizes(folder: SessionFolder) -> _ByName:
    """Size and time of change of each file that a manifest would list."""
    return dict(_looked_at(folder))


def _looked_at(folder: SessionFolder) -> Iterator[tuple[str, tuple[int, int]]]:
    for path in listed_files(folder):
        status = path.stat()
        name = path.relative_to(folder.path).as_posix()
        yield name, (status.st_size, status.st_mtime_ns)


def _seal_anew(folder: SessionFolder, journal: Journal, before: _ByName) -> bool:
    """Seal what the steps added, changed or removed; whether there was any."""
    after = _sizes(folder)
    changed = [name for name, look in after.items() if before.get(name) != look]
    gone = [name for name in before if name not in after]
    if not changed and not gone:
        return False
    manifest = read_manifest(folder)
    files = {name: entry for name, entry in manifest["files"].items() if name not in gone}
    for name in changed:
        path = folder.path / name
        files[name] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
    manifest["files"] = dict(sorted(files.items(), key=lambda item: Path(item[0]).parts))
    digest = seal(folder, manifest, beforehand=partial(note_sealing, folder.path))
    record_sealing(folder, journal, digest, files)
    return True


def close_again(folder: SessionFolder, journal: Journal, kept: Kept | None) -> None:
    """Record what is left to be done now; the last event of a journal stays `session.closed`.

    Args:
        folder: the session folder.
        journal: its journal, adopted.
        kept: what the folder keeps of the session; None leaves archives as they are.
    """
    record = read_record(folder.journal)
    by = (record.closed or {}).get("closed_by")
    closing = Closing(folder, journal, "recovery" if by == "recovery" else "launcher")
    if kept is not None:
        closing.archive = lambda _: None
        closing.copied = lambda closed: complete_archives(
            kept.parameters, folder, closed, rehearsal=kept.rehearsal
        )
    finish_closing(closing, record)
    forget_sealing(folder.path)
    note_for_history(folder.path)
