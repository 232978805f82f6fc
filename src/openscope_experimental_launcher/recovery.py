"""Sessions whose launcher was lost: finding them, saying what is known, closing them.

A session is open when its journal has no `session.closed`. It is *running* while a launcher holds
its lock, *unattended* while only its guard lives, and *interrupted* when nobody does. Locks do not
reach other computers: a session that was opened on another one is *elsewhere*. Recovery closes it
through the same code as a run does; it can be killed and repeated at any point.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .closing import Closing, close_session, finish_closing, left_open
from .engines import get_engine
from .errors import EngineError, Finding, SessionError, attempt
from .files import sha256_of
from .locks import ProcessLock
from .session.folder import SessionFolder, plain_path
from .session.journal import AcquisitionJudged, Journal, ManifestSealed, finding_event
from .session.manifest import read_manifest
from .session.past import read_past
from .session.record import SessionRecord, read_record
from .session.state import (
    as_noted,
    fallback_journal,
    forget_sealing,
    forget_session,
    has_journal,
    has_launcher,
    is_noted_open,
    note_for_history,
    noted_sealing,
    open_sessions,
    session_key,
    session_lock,
)
from .steps.kept import kept_session
from .steps.phase import complete_archives, run_phase
from .supervision.judgement import Judgement, judge_end
from .supervision.pump import RecordPump
from .supervision.supervisor import (
    Acquisition,
    discard_runs,
    guard_lives,
    runs_of,
)
from .transfer.queue import add_job

State = Literal["closed", "running", "unattended", "interrupted", "elsewhere"]

_BUSY_S = 2.0
_BUSY_LOOK_S = 0.05


class OpenSession(NamedTuple):
    """What is known of a session that was never closed.

    Attributes:
        folder: its folder.
        state: `running`, `unattended` (its guard lives, its launcher does not), `interrupted`,
            `elsewhere` (another computer opened it, and may be running it), or `closed` after all.
        record: what its journal says.
    """

    folder: SessionFolder
    state: State
    record: SessionRecord

    def describe(self) -> str:
        """One sentence for a person."""
        stage = self.record.stage or "opening"
        if self.state == "closed":
            return f"{self.folder.name}: closed, {self.record.outcome}."
        if self.state == "running":
            return f"{self.folder.name}: running, at the stage {stage}."
        if self.state == "unattended":
            return f"{self.folder.name}: its launcher was lost; the acquisition goes on."
        if self.state == "elsewhere":
            host = self.record.opened.get("host")
            return f"{self.folder.name}: opened on {host}, last heard of {self.record.last}."
        if not self.record.last:
            return f"{self.folder.name}: interrupted; its journal cannot be read."
        ended = "its acquisition ended" if self.record.ended else f"it was at the stage {stage}"
        return f"{self.folder.name}: interrupted; {ended}, last heard of {self.record.last}."


def look_at(folder: SessionFolder) -> OpenSession:
    """The state of one session; changes nothing.

    Raises:
        SessionError: the folder is no session, or cannot be read.
    """
    try:
        return _look_at(folder)
    except SessionError:
        raise
    except OSError as error:
        raise _unreadable(folder.path, error) from error


def _unreadable(path: Path, error: OSError) -> SessionError:
    return SessionError(
        f"This cannot be read: {error.strerror or error}.",
        code="session-unreadable",
        where=str(path),
        fix=f"Bring its disk back, or check it; then: openscope recover {path}",
    )


def _look_at(folder: SessionFolder) -> OpenSession:
    if not folder.journal.is_file():
        raise SessionError(
            "This is no session folder: it has no journal.",
            code="session-unknown",
            where=str(folder.path),
            fix="Give the folder of a session, or its name when it is an open one.",
        )
    record = read_record(folder.journal)
    return OpenSession(folder, state_of(folder, record), record)


def state_of(folder: SessionFolder, record: SessionRecord) -> State:
    """The state of a session whose journal was read already; changes nothing."""
    if record.closed is not None:
        return "closed"
    if _is_elsewhere(folder, record):
        return "elsewhere"
    if has_launcher(folder.path):
        return "running"
    return "unattended" if any(map(guard_lives, runs_of(folder))) else "interrupted"


def _is_elsewhere(folder: SessionFolder, record: SessionRecord) -> bool:
    host = record.opened.get("host")
    return bool(host) and host != platform.node() and not is_noted_open(folder.path)


def find_open(
    root: Path | None = None, *, on_failure: Callable[[SessionError], object] = lambda _: None
) -> list[OpenSession]:
    """Sessions that were never closed.

    Args:
        root: a folder of sessions, to find those in it; None for all that this machine knows of.
        on_failure: told of each session that cannot be read. It keeps none of the others back.

    Raises:
        SessionError: `root` cannot be read.
    """
    found = []
    for folder in open_sessions(unsure=True) if root is None else _in_folder(plain_path(root)):
        try:
            session = look_at(SessionFolder(folder))
        except SessionError as error:
            on_failure(error)
            continue
        if session.state != "closed":
            found.append(session)
    return found


def _in_folder(root: Path) -> list[Path]:
    """The sessions in a folder, and the open ones that are known to lie deeper in it."""
    within = Path(session_key(root))
    known = {session_key(folder): folder for folder in open_sessions(unsure=True)}
    deep = {key: folder for key, folder in known.items() if within in Path(key).parents}
    try:
        inside = [path for path in sorted(root.iterdir()) if has_journal(path, unsure=True)]
    except OSError as error:
        raise _unreadable(root, error) from error
    return list(({session_key(folder): folder for folder in inside} | deep).values())


def find_session(named: str) -> SessionFolder:
    """The session that a person means: a folder, its name, or a part of it that no other has.

    Raises:
        SessionError: there is none, or several.
    """
    path = plain_path(Path(named).expanduser())
    if has_journal(path):
        return SessionFolder(as_noted(path))
    for folder in open_sessions(unsure=True):
        if folder.name == named:
            return SessionFolder(folder)
    from .session.index import locate

    return locate(named)


@contextmanager
def adopted(folder: SessionFolder) -> Iterator[Journal]:
    """Become the launcher of a session that has lost its own: hold its lock and write its journal.

    If it is a closed one, and sealing it anew was cut off, that is finished first. What holds it
    for a moment, such as a report that is sealed, is waited for.

    Raises:
        SessionError: another launcher holds it.
    """
    lock = session_lock(folder.path)
    deadline = time.monotonic() + _BUSY_S
    while not lock.acquire(holder={"pid": os.getpid()}):
        if time.monotonic() < deadline:
            time.sleep(_BUSY_LOOK_S)
            continue
        raise SessionError(
            "This session has a launcher, which is still at work.",
            code="session-busy",
            where=str(folder.path),
            fix="Wait for it, or stop the session: openscope stop " + folder.name,
        )
    journal = Journal(fallback_journal(folder.path))
    try:
        journal.open(folder.journal)
        if noted_sealing(folder.path):
            _finish_sealing(folder, journal)
        yield journal
    finally:
        journal.close()
        lock.release()


def finish_sealing(folder: SessionFolder) -> None:
    """Finish sealing a closed session anew, where that was cut off.

    Raises:
        SessionError: another launcher holds the session.
    """
    if noted_sealing(folder.path):
        with adopted(folder):
            """Whoever adopts it finishes that first."""


def _finish_sealing(folder: SessionFolder, journal: Journal) -> None:
    """Finish what a crash or a power cut left of sealing a closed session anew. A manifest that is
    not the one that was to be sealed is left as it is, to be found as damaged."""
    record, sought = read_record(folder.journal), noted_sealing(folder.path)
    if record.closed is not None and folder.manifest.is_file():
        is_new = sha256_of(folder.manifest) == sought
        if is_new and sought != (record.sealed or {}).get("sha256"):
            record_sealing(folder, journal, sought, read_manifest(folder)["files"])
        if is_new:
            by = record.closed.get("closed_by")
            closing = Closing(folder, journal, "recovery" if by == "recovery" else "launcher")
            finish_closing(closing, read_record(folder.journal))
            note_for_history(folder.path)
    forget_sealing(folder.path)


def record_sealing(
    folder: SessionFolder, journal: Journal, sha256: str, files: Mapping[str, Any]
) -> None:
    """Record that a closed session was sealed anew; its copies are now older than it.

    Args:
        folder: the session folder.
        journal: its journal, adopted.
        sha256: the checksum of its new manifest.
        files: what that lists.
    """
    size = sum(entry["size"] for entry in files.values())
    journal.record(ManifestSealed(sha256, len(files), size))
    record = read_record(folder.journal)
    for copy in record.copies if record.freed is None else ():
        add_job(folder.path, str(copy.get("destination", "")), why="The session was changed.")


def recover(
    folder: SessionFolder,
    *,
    from_elsewhere: bool = False,
    on_ended: Callable[[], object] = lambda: None,
) -> SessionRecord:
    """Close a session that has lost its launcher; if its acquisition still runs, wait for its end
    first. Of a session that is closed, only a sealing that was cut off is finished.

    Args:
        folder: the session folder.
        from_elsewhere: whether somebody knows that the other computer runs it no more.
        on_ended: called when nothing of its acquisition runs any more, and only records are left
            to be finished.

    Raises:
        SessionError: another launcher holds it, another computer may be running it, or a record
            cannot be written; it can be recovered again.
    """
    session = look_at(folder)
    if session.state == "closed":
        finish_sealing(folder)
        forget_session(folder.path)
        return read_record(folder.journal)
    if session.state == "elsewhere" and not from_elsewhere:
        raise SessionError(
            "Another computer opened this session and may still be running it.",
            code="session-elsewhere",
            where=f"{folder.path}, opened on {session.record.opened.get('host')}",
            fix="Recover it there; or, when that computer runs it no more: "
            f"openscope recover {folder.path} --from-elsewhere",
        )
    try:
        return _recover(folder, on_ended)
    except SessionError:
        raise
    except OSError as error:
        raise left_open(folder, fallback_journal(folder.path), error) from error


def _recover(folder: SessionFolder, on_ended: Callable[[], object]) -> SessionRecord:
    with adopted(folder) as journal, ExitStack() as held:
        for run_folder in runs_of(folder):
            # Holding the guard's lock, so that none that was ordered can still start.
            guard_lock = ProcessLock(run_folder / "guard.lock")
            while True:
                _see_to_the_end(folder, run_folder, journal)
                if guard_lock.acquire():
                    break
            held.callback(guard_lock.release)
        on_ended()
        record = read_record(folder.journal)
        if not record.outcome:
            _judge(folder, journal, record)
        closing = Closing(
            folder,
            journal,
            "recovery",
            finish_files=lambda record: _finish_files(folder, journal, record),
            archive=lambda record: _run_steps(folder, journal, record, sealed=True),
            copied=lambda record: _complete_archives(folder, record),
        )
        record = close_session(closing)
        discard_runs(folder)
        forget_session(folder.path)
        return record


def _see_to_the_end(folder: SessionFolder, run_folder: Path, journal: Journal) -> None:
    acquisition = Acquisition.attach(run_folder)
    pump = RecordPump(acquisition, journal, folder.path)
    pump.start()
    acquisition.wait()
    pump.finish()
    acquisition.close()
    if acquisition.ended is None:
        acquisition.orphans.wait(journal)


def _judge(folder: SessionFolder, journal: Journal, record: SessionRecord) -> None:
    judgement = _judgement(folder, record)
    for finding in judgement.findings:
        journal.record(finding_event("acquisition", finding))
    code = record.ended.get("exit_code") if record.ended else None
    attempt_number = max(record.attempts, 1)
    journal.record(AcquisitionJudged(judgement.outcome, code, judgement.reason, attempt_number))


def _judgement(folder: SessionFolder, record: SessionRecord) -> Judgement:
    unguarded = any(finding["code"] == "acquisition-unguarded" for finding in record.findings)
    if record.started is None and not unguarded:
        return Judgement("failed", "The launcher was lost before the acquisition started.")
    # A journal that lost its first events leaves the metadata to say it.
    name = record.opened.get("launcher") or read_past(folder).plan.get("launcher")
    if not name:
        return Judgement("lost", "The session's records are damaged; what ran is unknown.")
    try:
        engine = get_engine(str(name))
    except EngineError as error:
        return Judgement("lost", f"Its engine is not installed here: {error.message}")
    stdout, stderr = (folder.output(stream, record.attempts) for stream in ("stdout", "stderr"))
    return judge_end(record.ended, engine, stdout, stderr)


def _finish_files(folder: SessionFolder, journal: Journal, record: SessionRecord) -> list[Finding]:
    """The steps that are left, with nobody there to ask."""
    findings: list[Finding] = []
    failure = attempt(lambda: _run_steps(folder, journal, record))
    if failure is not None:
        words = f"The steps after the acquisition were not run: {failure.error.message}"
        findings.append(Finding("warning", "recovery-steps-not-run", words))
    return findings


def _run_steps(
    folder: SessionFolder, journal: Journal, record: SessionRecord, *, sealed: bool = False
) -> None:
    kept = kept_session(folder, record)
    if kept is None:
        return
    run_phase(
        "after",
        kept.parameters,
        folder,
        journal,
        root=kept.root,
        rehearsal=kept.rehearsal,
        record=record,
        sealed=sealed,
    )


def _complete_archives(folder: SessionFolder, record: SessionRecord) -> None:
    kept = kept_session(folder, record)
    if kept is not None:
        complete_archives(kept.parameters, folder, record, rehearsal=kept.rehearsal)
