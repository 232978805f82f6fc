"""Keeping count of a transfer: what has arrived where, and how far all of it is."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..errors import TransferError
from .places import Place


class Progress(NamedTuple):
    """How far a transfer is.

    Attributes:
        done: bytes that were copied and read back, counted so that it ends at `total`.
        total: bytes of all files.
        files: how many files have arrived everywhere.
        waiting: what is waited for before another try; empty when it goes on.
    """

    done: int
    total: int
    files: int
    waiting: str = ""


class Outcome(NamedTuple):
    """What came of copying to one place.

    Attributes:
        wanted: how many files were to go there.
        copied: names of the files that were copied and verified.
        there: names of those that were there already, verified.
        size_bytes: the sizes of both together.
        failures: what became of others, by their names.
        away: why the place can take no more now, or None.
    """

    wanted: int
    copied: list[str]
    there: list[str]
    size_bytes: int
    failures: Mapping[str, TransferError]
    away: OSError | None

    @property
    def complete(self) -> bool:
        """Whether everything has arrived."""
        return len(self.copied) + len(self.there) == self.wanted


class _Ledger:
    """What has become of the files at one place."""

    def __init__(self) -> None:
        self.copied: list[str] = []
        self.there: list[str] = []
        self.done: set[str] = set()
        self.size_bytes = 0
        self.failures: dict[str, TransferError] = {}


class Tally:
    """The count of one transfer. Any thread may use it.

    Args:
        places: where files go.
        on_progress: told how far it is.
    """

    def __init__(self, places: Sequence[Place], on_progress: Callable[[Progress], object]) -> None:
        self.arrived = 0
        self._ledgers = {place: _Ledger() for place in places}
        self._each = max(len(places), 1)
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._units = 0
        self._total_units = 0

    def expect(self, size_bytes: int) -> None:
        """Say how much is to arrive, at all places together."""
        self._total_units = 2 * size_bytes
        self.tell()

    def count(self, size_bytes: int) -> None:
        """Count bytes that were written or read back."""
        with self._lock:
            self._units += size_bytes
        self.tell()

    def arrive(self, place: Place, name: str, size_bytes: int, *, there: bool) -> None:
        """Note that a file has arrived, or was there."""
        ledger = self._ledgers[place]
        with self._lock:
            ledger.done.add(name)
            (ledger.there if there else ledger.copied).append(name)
            ledger.size_bytes += size_bytes
            self.arrived += 1
        if there:
            self.count(2 * size_bytes)
        self.tell()

    def fail(self, place: Place, name: str, error: TransferError) -> None:
        """Note that a file cannot be copied."""
        self._ledgers[place].failures[name] = error

    def lacks(self, place: Place, name: str) -> bool:
        """Whether a file is still to go to a place."""
        ledger = self._ledgers[place]
        return place.wants(name) and name not in ledger.done and name not in ledger.failures

    def outcome(self, place: Place, wanted: int, passing: Mapping[str, TransferError]) -> Outcome:
        """What came of it at one place.

        Args:
            place: the place.
            wanted: how many files were to go there.
            passing: what was against files that perhaps can be copied later.
        """
        ledger = self._ledgers[place]
        left = {name: error for name, error in passing.items() if self.lacks(place, name)}
        failures = {**left, **ledger.failures}
        return Outcome(
            wanted, ledger.copied, ledger.there, ledger.size_bytes, failures, place.failure
        )

    def tell(self, waiting: str = "") -> None:
        """Tell how far it is."""
        each = 2 * self._each
        done = min(self._units, self._total_units) // each
        files = self.arrived // self._each
        self._on_progress(Progress(done, self._total_units // each, files, waiting))
