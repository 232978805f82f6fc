"""What `session_archiver` does when it runs: copies to all its places at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from ..display.transfer import TransferProgress
from ..errors import TransferError
from ..files import sha256_of
from ..session.folder import SessionFolder
from ..session.journal import iso_now
from ..transfer.claims import claim_copy
from ..transfer.engine import Copying
from ..transfer.failures import in_words
from ..transfer.journals import bring_journal
from ..transfer.onefile import Item
from ..transfer.places import Place
from ..transfer.queue import trust_file
from ..transfer.receipt import write_receipt
from ..transfer.sources import sealed_digests
from ..transfer.tally import Outcome
from ..transfer.trust import Trust
from ..transfer.writing import at
from . import StepResult
from .session_archiver import JOURNAL, ArchiverParameters, Destination, goes

_MAY_PASS = {"copy-source-changed", "copy-source-unreadable"}
_SHOWN = 5


def archive(
    session: Path,
    files: Sequence[str],
    destinations: Sequence[Destination],
    routes: set[str],
    wanted: ArchiverParameters,
) -> list[StepResult]:
    """Copy the files to all places at once; what came of each."""
    # The journal still grows, and comes last.
    sealed = sealed_digests(SessionFolder(session)) if wanted.checksum_algo == "sha256" else {}
    items = [Item(name, sealed.get(name, "")) for name in files if name != JOURNAL]
    begun = iso_now()
    with ExitStack() as held:
        with_journal = {
            place: JOURNAL in files and goes(JOURNAL, place, routes) for place in destinations
        }
        places = {
            place: held.enter_context(
                _opened(place, session, routes, wanted, with_journal=with_journal[place])
            )
            for place in destinations
        }
        with TransferProgress(session.name) as progress:
            outcomes = Copying(
                session,
                items,
                list(places.values()),
                algorithm=wanted.checksum_algo,
                retries=wanted.max_retries,
                on_progress=progress,
            ).run()
        results = []
        for destination, place in places.items():
            has_journal = with_journal[destination]
            outcome = outcomes[place]
            if outcome.complete:
                at(place, partial(_end, session, place, outcome, wanted, begun, has_journal))
            results.append(_result(destination, place, outcome, has_journal))
    return results


@contextmanager
def _opened(
    destination: Destination,
    session: Path,
    routes: set[str],
    wanted: ArchiverParameters,
    *,
    with_journal: bool,
) -> Iterator[Place]:
    trust = Trust(trust_file(session, destination.folder), wanted.checksum_algo)
    try:
        yield Place(
            destination.folder.parent,
            session.name,
            wants=lambda name: goes(name, destination, routes),
            trust=trust,
            make_root=True,
            skip_there=wanted.skip_completed,
            claim=partial(claim_copy, session, with_journal=with_journal),
        )
    finally:
        trust.close()


def _end(
    session: Path,
    place: Place,
    outcome: Outcome,
    wanted: ArchiverParameters,
    begun: str,
    has_journal: bool,
) -> None:
    manifest = session / "manifest.json"
    write_receipt(
        place,
        session,
        outcome,
        begun=begun,
        algorithm=wanted.checksum_algo,
        manifest_sha256=sha256_of(manifest) if manifest.is_file() else "",
    )
    if has_journal:
        bring_journal(session / JOURNAL, place.folder / JOURNAL)
    place.remove_partials()


def _result(
    destination: Destination, place: Place, outcome: Outcome, has_journal: bool
) -> StepResult:
    kind = destination.kind
    if isinstance(place.failure, TransferError):  # a person has to do something about it
        error = place.failure
        return StepResult(False, f"{kind}: {error.where}: {error.message} {error.fix}")
    if place.failure is not None:
        words = f"{kind}: {destination.folder} cannot be written ({in_words(place.failure)})."
        return StepResult(False, words, pending=True)
    if not outcome.complete:
        for error in outcome.failures.values():
            print(error.render(), flush=True)  # noqa: T201 - for the step's log
        shown = ", ".join(list(outcome.failures)[:_SHOWN])
        words = f"{kind}: {len(outcome.failures)} files could not be copied: {shown}."
        later = {error.code for error in outcome.failures.values()} <= _MAY_PASS
        return StepResult(False, words, pending=later)
    there = f", {len(outcome.there)} were there" if outcome.there else ""
    copied = len(outcome.copied) + has_journal
    return StepResult(True, f"{kind}: {copied} files copied and verified{there}.")
