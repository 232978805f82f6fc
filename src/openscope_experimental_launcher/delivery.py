"""Bringing closed sessions to where they are kept.

A copy is complete when every file was verified at its destination. Then its receipt is written
there, an event in the journal, and the journal itself is brought last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .amending import close_again
from .errors import LauncherError, SessionError, TransferError
from .files import sha256_of
from .recovery import adopted, finish_sealing
from .session.folder import SessionFolder
from .session.journal import SessionCopied, iso_now
from .session.record import read_record
from .session.state import session_lock
from .steps.kept import kept_session
from .transfer.claims import claim_copy
from .transfer.engine import PATIENCE_S, Copying
from .transfer.failures import in_words, is_full
from .transfer.flags import Flag, flags, keep_flag, raise_flag
from .transfer.journals import bring_journal
from .transfer.paths import shown
from .transfer.places import Place
from .transfer.queue import (
    Job,
    forget_job,
    forget_old_trust,
    jobs,
    keep_job,
    lost_mount,
    mount_file,
    remember_mount,
)
from .transfer.receipt import launcher_version, write_receipt
from .transfer.sources import Sealed, sealed_session
from .transfer.tally import Outcome, Progress
from .transfer.trust import Trust
from .transfer.writing import at

_ROUNDS = 3
_ALGORITHM = "sha256"
_HOLDER_PATIENCE_S = 5.0  # bringing a session's report to its copies takes less


class Delivered(NamedTuple):
    """What came of one copy.

    Attributes:
        job: what was asked for.
        outcome: what came of the files; None when it was not begun.
        error: why it is not complete, or None.
        links: links of the session that were left out, since they lead out of its folder.
    """

    job: Job
    outcome: Outcome | None = None
    error: LauncherError | None = None
    links: Sequence[str] = ()


class _Copy(NamedTuple):
    """A copy that is being made."""

    job: Job
    place: Place


def deliver(
    folder: SessionFolder,
    wanted: Sequence[Job],
    *,
    on_progress: Callable[[Progress], object] = lambda _: None,
    patience_s: Sequence[float] = PATIENCE_S,
) -> list[Delivered]:
    """Make copies of a session, all at the same time. What cannot be done stays in the queue.

    Args:
        folder: the session folder.
        wanted: the copies.
        on_progress: told how far it is.
        patience_s: seconds to wait for a destination that has gone, each time.

    Returns:
        What came of each.

    Raises:
        SessionError: the session cannot be copied at all.
        KeyboardInterrupt: as it came; the copies stay in the queue and go on where they were.
    """
    forget_old_trust()
    try:
        if not folder.journal.is_file():
            raise SessionError(
                "The session folder is not there.",
                code="session-unknown",
                where=str(folder.path),
                fix="Bring its disk back; or forget the copy: openscope transfer SESSION --forget",
            )
        finish_sealing(folder)
        with ExitStack() as held:
            copies, delivered = _begin(folder, wanted, held)
            if copies:
                delivered += _make(folder, copies, on_progress, patience_s)
    except SessionError as error:
        for job in wanted:
            keep_job(job._replace(why=error.message))
        raise
    return delivered


def _make(
    folder: SessionFolder,
    copies: Sequence[_Copy],
    on_progress: Callable[[Progress], object],
    patience_s: Sequence[float],
) -> list[Delivered]:
    begun, started = iso_now(), time.monotonic()
    sealed, outcomes = _copy(folder, copies, on_progress, patience_s)
    errors = {copy: _why_not(outcomes[copy.place], sealed, copy.place) for copy in copies}
    for copy in _good(errors):
        errors[copy] = _left_with(
            copy, partial(_give_receipt, folder, copy, sealed, outcomes, begun)
        )
    unnoted = _note(folder, _good(errors), sealed, outcomes, time.monotonic() - started)
    for copy in _good(errors):
        errors[copy] = unnoted or _end(folder, copy, sealed)
    for copy, error in errors.items():
        if error is not None:
            keep_job(copy.job._replace(why=error.message))
    return [Delivered(c.job, outcomes[c.place], error, sealed.links) for c, error in errors.items()]


def _good(errors: Mapping[_Copy, LauncherError | None]) -> list[_Copy]:
    return [copy for copy, error in errors.items() if error is None]


def _left_with(copy: _Copy, work: Callable[[], object]) -> LauncherError | None:
    return None if at(copy.place, work) else _away(copy.place)


def waiting_sessions() -> list[SessionFolder]:
    """The sessions that copies, or manifests for a service, are still to be made of."""
    named = [*(job.session for job in jobs()), *(flag.session for flag in flags())]
    return [SessionFolder(Path(session)) for session in dict.fromkeys(named)]


def raise_flags(folder: SessionFolder) -> list[tuple[Flag, LauncherError | None]]:
    """Write the manifests that a service waits for, once all copies of the session are made.

    Returns:
        Each with why it could not be written, or None.
    """
    return [(flag, _raise(flag)) for flag in flags(folder.path)]


def _raise(flag: Flag) -> LauncherError | None:
    try:
        if jobs(Path(flag.session)):
            raise TransferError(
                "It waits for the session's copies.", code="watchdog-waits", where=str(flag.file)
            )
        raise_flag(flag)
    except TransferError as error:
        keep_flag(flag._replace(why=error.message))
        return error
    return None


def _begin(
    folder: SessionFolder, wanted: Sequence[Job], held: ExitStack
) -> tuple[list[_Copy], list[Delivered]]:
    copies, refused = [], []
    claim = partial(claim_copy, folder.path)
    for job in wanted:
        lock = job.lock()
        if not lock.acquire(patience_s=_HOLDER_PATIENCE_S):
            refused.append(Delivered(job, error=_at_work(job)))
            continue
        held.callback(lock.release)
        error = _why_no_place(folder, job)
        if error is not None:
            keep_job(job._replace(why=error.message))
            refused.append(Delivered(job, error=error))
            continue
        trust = Trust(job.trust_file(), _ALGORITHM)
        held.callback(trust.close)
        copies.append(_Copy(job, Place(job.to, folder.name, trust=trust, claim=claim)))
    return copies, refused


def _why_no_place(folder: SessionFolder, job: Job) -> LauncherError | None:
    mount = lost_mount(job.to)
    if mount:
        return TransferError(
            f"The destination's disk or share is not mounted at {mount}.",
            code="copy-destination-away",
            where=job.to,
            fix="Mount it; then: openscope catch-up. When it is to be a plain folder from now on, "
            f"delete {mount_file(job.to)}.",
        )
    copy, session = (Path(job.to) / folder.name).resolve(), folder.path.resolve()
    if copy.is_relative_to(session) or session.is_relative_to(copy):
        return TransferError(
            "The copy would lie in the session itself.",
            code="copy-inside-session",
            where=job.to,
            fix="Name a folder outside of the session folders.",
        )
    return None


def _at_work(job: Job) -> LauncherError:
    return TransferError(
        "Another process makes this copy at this moment.",
        code="copy-at-work",
        where=job.to,
        fix="Let it come to its end.",
    )


def _copy(
    folder: SessionFolder,
    copies: Sequence[_Copy],
    on_progress: Callable[[Progress], object],
    patience_s: Sequence[float],
) -> tuple[Sealed, dict[Place, Outcome]]:
    """Copy what is sealed; again when it was sealed anew meanwhile."""
    accepted: set[str] = set()
    places = [copy.place for copy in copies]
    for _ in range(_ROUNDS):
        sealed = sealed_session(folder, read_record(folder.journal), accepted)
        copying = Copying(
            folder.path, sealed.items, places, on_progress=on_progress, patience_s=patience_s
        )
        outcomes = copying.run()
        # Files that are not as sealed are copied only where all that ask for the session mean it.
        as_is = all(copy.job.as_is for copy in copies)
        changed = _not_as_sealed(outcomes.values()) if as_is else set()
        accepted |= changed
        if not changed and sha256_of(folder.manifest) == sealed.manifest_sha256:
            break
    return sealed, outcomes


def _not_as_sealed(outcomes: Iterable[Outcome]) -> set[str]:
    return {
        name
        for outcome in outcomes
        for name, error in outcome.failures.items()
        if error.code == "copy-source-not-as-sealed"
    }


def _why_not(outcome: Outcome, sealed: Sealed, place: Place) -> LauncherError | None:
    """Why a copy is not complete; None when it is."""
    if place.failure is not None:
        return _away(place)
    errors = list(outcome.failures.values())
    if errors:
        findings = [finding for error in errors for finding in error.findings]
        return TransferError.from_findings("Not all files could be copied.", findings)
    if sealed.missing:
        return SessionError(
            f"{len(sealed.missing)} files of the manifest are not there: "
            f"{', '.join(sealed.missing[:5])}.",
            code="copy-source-missing",
            where=shown(place.folder),
            fix="All others were copied. See openscope verify SESSION.",
        )
    if not outcome.complete:
        raise AssertionError(f"files were lost sight of on their way to {place}")
    return None


def _away(place: Place) -> LauncherError:
    if isinstance(place.failure, LauncherError):
        return place.failure
    if place.failure is not None and is_full(place.failure):
        words, code = "The destination is full.", "copy-destination-full"
        fix = "Make room there; then: openscope catch-up"
    else:
        why = in_words(place.failure) if place.failure else "it is away"
        if isinstance(place.failure, FileNotFoundError):
            why = "there is no such folder, or its disk or share is away"
        words, code = f"The destination cannot be used now: {why}.", "copy-destination-away"
        fix = "It is waited for. When it is back: openscope catch-up"
    return TransferError(words, code=code, where=shown(place.root), fix=fix)


def _give_receipt(
    folder: SessionFolder,
    copy: _Copy,
    sealed: Sealed,
    outcomes: Mapping[Place, Outcome],
    begun: str,
) -> None:
    write_receipt(
        copy.place,
        folder.path,
        outcomes[copy.place],
        begun=begun,
        manifest_sha256=sealed.manifest_sha256,
        unsealed=sealed.unsealed,
        links=sealed.links,
    )


def _note(
    folder: SessionFolder,
    good: Sequence[_Copy],
    sealed: Sealed,
    outcomes: Mapping[Place, Outcome],
    duration_s: float,
) -> LauncherError | None:
    """Note complete copies in the journal; why it could not be written, or None."""
    try:
        _record(folder, good, sealed, outcomes, duration_s)
    except LauncherError:
        raise
    except OSError as error:
        return SessionError(
            "The copy is complete and verified, but the session's own records cannot be written: "
            f"{error.strerror or error}.",
            code="copy-not-noted",
            where=str(error.filename or folder.path),
            fix="Bring the session's disk back, or make room on it (openscope transfer SESSION "
            "--free removes data that two copies have); then: openscope catch-up",
        )
    return None


def _record(
    folder: SessionFolder,
    good: Sequence[_Copy],
    sealed: Sealed,
    outcomes: Mapping[Place, Outcome],
    duration_s: float,
) -> None:
    """Write the events of complete copies into the journal."""
    if not good:
        return
    with adopted(folder) as journal:
        # Now nobody else can seal it; and whoever does later finds these events, and asks anew.
        if sha256_of(folder.manifest) != sealed.manifest_sha256:
            raise _changed(folder, "was changed again and again while it was copied")
        for copy in good:
            outcome = outcomes[copy.place]
            journal.record(
                SessionCopied(
                    copy.job.to,
                    shown(copy.place.folder),
                    outcome.wanted,
                    outcome.size_bytes,
                    sealed.manifest_sha256,
                    round(duration_s, 3),
                    launcher_version(),
                    sealed.links,
                )
            )
        close_again(folder, journal, kept_session(folder, read_record(folder.journal)))


def _changed(folder: SessionFolder, what: str) -> SessionError:
    return SessionError(
        f"The session {what}.",
        code="copy-session-changed",
        where=str(folder.path),
        fix="Let whatever changes it come to its end; then: openscope catch-up",
    )


def _end(folder: SessionFolder, copy: _Copy, sealed: Sealed) -> LauncherError | None:
    """Bring the journal, clear up, and forget that the copy was to be made; what is against it."""
    error = _left_with(copy, partial(_bring_last, folder, copy))
    return error or _forget(folder, copy, sealed)


def _bring_last(folder: SessionFolder, copy: _Copy) -> None:
    bring_journal(folder.journal, SessionFolder(copy.place.folder).journal)
    copy.place.remove_partials()
    remember_mount(copy.job.to)


def _forget(folder: SessionFolder, copy: _Copy, sealed: Sealed) -> LauncherError | None:
    """Forget a copy that was made, while nobody can seal the session: whoever does so before asks
    for the copy anew, and that must not be forgotten."""
    lock = session_lock(folder.path)
    if not lock.acquire(patience_s=_HOLDER_PATIENCE_S):
        return _changed(folder, "is at work, and may be changed after this copy of it")
    try:
        now = (read_record(folder.journal).sealed or {}).get("sha256")
        if now != sealed.manifest_sha256:
            return _changed(folder, "was changed while a copy of it was finished")
        forget_job(copy.job)
    finally:
        lock.release()
    return None
