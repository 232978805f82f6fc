"""Copying many files to one or more places, so that what arrived is known to be what was sent.

A file is read once, hashed on the way and written to all places under a temporary name; brought to
the disk; read back from there; and only then given its name. Several files are on their way at a
time: while one is read back, the next is copied. What was cut off goes on where it was.

Faults are of three kinds. One of a *place* (a share that drops) ends the pass for this place; after
a while there is another pass for what is left. One of a *file* that may pass (it still grows) puts
the file into the next pass. One that stays (it is not what was sealed) is reported, and all other
files are copied.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import nullcontext, suppress
from pathlib import Path

from ..errors import TransferError
from ..files import replace_file, sync_folder
from .disk import BLOCK, SYNCS_AT_ONCE, digest_on_disk, sync_all
from .failures import in_words, may_pass, too_small
from .onefile import Item, Passing, Written, damaged_again, keep_time, reading
from .paths import extended, shown
from .places import Place
from .tally import Outcome, Progress, Tally
from .trust import look_of
from .writing import Originals, as_written, at

PATIENCE_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds to wait before another pass, each time that one brought nothing; then it is given up."""

_WORKERS = 3
_BATCH_BYTES = 32 * 1024 * 1024
_BATCH_FILES = 400
_LOOK_S = 0.2


class _Stopped(Exception):
    """Somebody wants the end."""


class Copying:
    """One transfer. Make it, and call `run` once.

    Args:
        source: folder of the files.
        items: the files.
        places: where they go.
        algorithm: of the checksums, a name that `hashlib` knows.
        retries: how often a copy that arrived damaged is made again.
        patience_s: waits between passes that bring nothing.
        on_progress: told how far it is, from any thread.
    """

    def __init__(
        self,
        source: Path,
        items: Iterable[Item],
        places: Sequence[Place],
        *,
        algorithm: str = "sha256",
        retries: int = 2,
        patience_s: Sequence[float] = PATIENCE_S,
        on_progress: Callable[[Progress], object] = lambda _: None,
    ) -> None:
        self.items = list(items)
        self.places = list(places)
        self._retries = retries
        self._patience_s = patience_s
        self._stop = threading.Event()
        self._one_large = threading.Lock()
        self._tally = Tally(self.places, on_progress)
        self._originals = Originals(extended(source), algorithm, self._on_bytes)
        self._passing: dict[str, TransferError] = {}
        self._sizes: dict[str, int] = {}
        self._looks: dict[str, os.stat_result] = {}

    # -- passes ------------------------------------------------------------------------------------

    def run(self) -> dict[Place, Outcome]:
        """Copy until everything has arrived, or nothing more can be done now.

        Returns:
            What came of it at each place.

        Raises:
            KeyboardInterrupt: as it came; a later transfer goes on where this one was.
        """
        self._measure()
        tries = 0
        while True:
            arrived = self._tally.arrived
            self._pass()
            went_on = self._tally.arrived > arrived or any(p.went_on for p in self.places)
            tries = 0 if went_on else tries
            waiting = self._worth_waiting()
            if not waiting or tries == len(self._patience_s):
                break
            self._tally.tell(waiting)
            self._stop.wait(self._patience_s[tries])
            tries += 1
        return {
            place: self._tally.outcome(place, len(self._wanted(place)), self._passing)
            for place in self.places
        }

    def _measure(self) -> None:
        for item in self.items:
            self._sizes[item.name] = 0
            with suppress(OSError):  # which is found and said when its turn comes
                self._looks[item.name] = status = os.lstat(self._originals.text(item))
                self._sizes[item.name] = status.st_size
        self._tally.expect(sum(self._size_of(self._wanted(place)) for place in self.places))

    def _wanted(self, place: Place) -> list[Item]:
        return [item for item in self.items if place.wants(item.name)]

    def _size_of(self, items: Iterable[Item]) -> int:
        return sum(self._sizes[item.name] for item in items)

    def _pass(self) -> None:
        self._passing.clear()
        for place in self.places:
            place.failure, place.went_on = None, False
            at(place, lambda place=place: self._open(place))  # type: ignore[misc]
        open_ = [place for place in self.places if place.failure is None]
        left = [i for i in self.items if any(self._tally.lacks(p, i.name) for p in open_)]
        with (
            ThreadPoolExecutor(_WORKERS, "transfer") as workers,
            ThreadPoolExecutor(_WORKERS * len(self.places), "transfer-settle") as settlers,
        ):
            try:
                running = {
                    workers.submit(self._do, batch, settlers)
                    for batch in _batches(left, self._sizes)
                }
                while running:  # in short waits, so that Ctrl-C is heard on Windows too
                    done, running = wait(running, _LOOK_S, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:
                self._stop.set()
                workers.shutdown(cancel_futures=True)
                raise

    def _open(self, place: Place) -> None:
        """See that a place is there and has room for what it lacks."""
        place.open()
        lacking = [i for i in self._wanted(place) if self._tally.lacks(place, i.name)]
        free = place.free_bytes()
        if free >= self._size_of(lacking):
            return
        needed = sum(self._lacking_bytes(place, item) for item in lacking)
        if free < needed:
            raise too_small(place, needed, free)

    def _lacking_bytes(self, place: Place, item: Item) -> int:
        """How much room a file still needs at a place where something of it may be."""
        try:
            status = self._originals.path(item).lstat()
        except OSError:
            return 0
        file = as_written(place, item, status, "")
        there = max(map(_size_on_disk, (file.target, file.partial)))
        return max(status.st_size - there, 0)

    def _worth_waiting(self) -> str:
        """What is worth waiting for, in words; empty when there is nothing. A place that was away
        from the beginning is not: it may be away for days."""
        for place in self.places:
            if place.failure is not None and place.was_open and may_pass(place.failure):
                return f"{shown(place.root)}: {in_words(place.failure)}"
        return next((error.message for error in self._passing.values()), "")

    # -- one batch ---------------------------------------------------------------------------------

    def _do(self, batch: list[Item], settlers: ThreadPoolExecutor) -> None:
        with suppress(_Stopped):
            written: dict[Place, list[Written]] = {place: [] for place in self.places}
            for item in batch:
                self._write_item(item, self.places, written)
            settling = [
                settlers.submit(self._settle_at, place, files)
                for place, files in written.items()
                if files
            ]
            for future in settling:
                future.result()

    def _settle_at(self, place: Place, files: list[Written]) -> None:
        with suppress(_Stopped):
            at(place, lambda: self._settle(place, files))

    def _write_item(
        self, item: Item, places: Sequence[Place], written: dict[Place, list[Written]]
    ) -> None:
        self._check_stop()
        try:
            status = self._look_at(item)
            lacking = [place for place in places if self._must_go(place, item, status)]
            large = status.st_size > BLOCK
            # One at a time, so that a disk with a moving head reads one file from end to end.
            with self._one_large if large else nullcontext():
                made = self._originals.write(item, lacking, large=large) if lacking else {}
        except Passing as passing:
            self._passing[item.name] = passing.error
        except TransferError as error:
            for place in places:
                self._tally.fail(place, item.name, error)
        else:
            for place, file in made.items():
                written[place].append(file)

    def _must_go(self, place: Place, item: Item, status: os.stat_result) -> bool:
        if place.failure is not None or not self._tally.lacks(place, item.name):
            return False
        there: list[bool] = []
        at(place, lambda: there.append(self._is_there(place, item, status)))
        return there == [False]

    def _is_there(self, place: Place, item: Item, status: os.stat_result) -> bool:
        if place.make_folder(item.name.rpartition("/")[0]):
            return False
        target = place.target(item.name)
        try:
            copy = target.lstat()
        except FileNotFoundError:
            return False
        if not place.skip_there or not stat.S_ISREG(copy.st_mode):
            return False
        digest = place.trust.digest(item.name, look_of(status), look_of(copy), item.sealed)
        if not digest:
            digest = self._compared(target, item, status, copy)
            if not digest:
                return False
            place.trust.note(item.name, look_of(status), look_of(copy), digest)
        self._tally.arrive(place, item.name, status.st_size, there=True)
        return True

    def _compared(
        self, target: Path, item: Item, status: os.stat_result, copy: os.stat_result
    ) -> str:
        """The checksum of a copy that is there and right; empty when it is not."""
        if copy.st_size != status.st_size:
            return ""
        digest = digest_on_disk(target, self._originals.algorithm, lambda _: self._check_stop())
        expected = item.sealed
        if not expected:
            with reading(self._originals.path(item)) as original:
                expected = digest_on_disk(
                    original, self._originals.algorithm, lambda _: self._check_stop()
                )
        return digest if digest == expected else ""

    # -- settling ----------------------------------------------------------------------------------

    def _settle(self, place: Place, files: list[Written]) -> None:
        """Bring files to the disk, read them back, and give those that are right their names."""
        for attempt in range(self._retries + 1):
            place.check()
            if SYNCS_AT_ONCE:
                sync_all(place.folder)
            damaged = self._verify(place, files)
            if not damaged:
                return
            files = self._written_again(place, damaged, last=attempt == self._retries)

    def _verify(self, place: Place, files: list[Written]) -> list[Written]:
        """Read files back and publish the good ones; the damaged ones."""
        good: list[Written] = []
        damaged: list[Written] = []
        for file in files:
            digest = digest_on_disk(file.partial, self._originals.algorithm, self._on_bytes)
            (good if digest == file.digest else damaged).append(file)
        for file in good:
            if os.utime not in os.supports_fd:
                keep_time(file)
            replace_file(file.partial, file.target)
        for folder in {file.target.parent for file in good}:
            sync_folder(folder)
        place.check()
        for file in good:
            place.trust.note(file.item.name, file.source, look_of(file.target.lstat()), file.digest)
            self._tally.arrive(place, file.item.name, file.source.size, there=False)
        return damaged

    def _written_again(self, place: Place, damaged: list[Written], *, last: bool) -> list[Written]:
        for file in damaged:
            with suppress(FileNotFoundError):
                file.partial.unlink()
            if last:
                self._tally.fail(place, file.item.name, damaged_again(file, self._retries + 1))
            else:
                self._tally.count(-2 * file.source.size)
        again: dict[Place, list[Written]] = {place: []}
        for file in [] if last else damaged:
            self._write_item(file.item, [place], again)
        return again[place]

    def _look_at(self, item: Item) -> os.stat_result:
        # The first look is an early one, and good enough: whoever reads the file looks again.
        status = self._looks.pop(item.name, None)
        if status is None or status.st_size > BLOCK:
            with reading(self._originals.path(item)) as original:
                status = original.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise TransferError(
                f"{item.name} is a link or no regular file.",
                code="copy-source-link",
                where=shown(self._originals.path(item)),
                fix="Put the file itself into the session folder.",
            )
        return status

    def _on_bytes(self, count: int) -> None:
        self._check_stop()
        self._tally.count(count)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _Stopped


def _size_on_disk(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _batches(items: Iterable[Item], sizes: Mapping[str, int]) -> Iterator[list[Item]]:
    """Large files alone, small ones together, in their order."""
    batch: list[Item] = []
    size = 0
    for item in items:
        if sizes[item.name] > BLOCK:
            yield [item]
            continue
        batch.append(item)
        size += sizes[item.name]
        if size > _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
