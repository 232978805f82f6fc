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

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import TransferError
from ..files import replace_file, sync_folder
from .disk import BLOCK, SYNCS_AT_ONCE, digest_on_disk, open_source, sync_all
from .failures import in_words, may_pass
from .onefile import (
    Item,
    Passing,
    Written,
    changed,
    damaged_again,
    keep_time,
    not_as_sealed,
    open_writer,
    reading,
    write_whole,
)
from .paths import extended, shown
from .places import Place
from .streaming import Writer, stream
from .trust import look_of

PATIENCE_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds to wait before another pass, each time that one brought nothing; then it is given up."""

_WORKERS = 3
_BATCH_BYTES = 32 * 1024 * 1024
_BATCH_FILES = 400
_LOOK_S = 0.2


class Outcome(NamedTuple):
    """What came of copying to one place.

    Attributes:
        copied: names of the files that were copied and verified.
        there: names of those that were there already, verified.
        size_bytes: the sizes of both together.
        failures: what became of the others, by their names.
        away: why the place can take no more now, or None.
    """

    copied: list[str]
    there: list[str]
    size_bytes: int
    failures: dict[str, TransferError]
    away: OSError | None

    @property
    def complete(self) -> bool:
        """Whether everything has arrived."""
        return self.away is None and not self.failures


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


class _Stopped(Exception):
    """Somebody wants the end."""


class _Ledger:
    """What has become of the files at one place."""

    def __init__(self) -> None:
        self.copied: list[str] = []
        self.there: list[str] = []
        self.done: set[str] = set()
        self.size_bytes = 0
        self.failures: dict[str, TransferError] = {}

    def settled(self, name: str) -> bool:
        return name in self.done or name in self.failures


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
        self.source = extended(source)
        self.items = list(items)
        self.places = list(places)
        self._algorithm = algorithm
        self._retries = retries
        self._patience_s = patience_s
        self._on_progress = on_progress
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._one_large = threading.Lock()
        self._ledgers = {place: _Ledger() for place in self.places}
        self._passing: dict[str, TransferError] = {}
        self._went_on = False
        self._sizes: dict[str, int] = {}
        self._units = 0
        self._total_units = 0
        self._arrived = 0

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
            self._went_on = False
            self._pass()
            tries = 0 if self._went_on else tries
            waiting = self._worth_waiting()
            if not waiting or tries == len(self._patience_s):
                break
            self._tell(waiting)
            self._stop.wait(self._patience_s[tries])
            tries += 1
        return {place: self._outcome(place) for place in self.places}

    def _measure(self) -> None:
        for item in self.items:
            try:
                self._sizes[item.name] = self._original(item).lstat().st_size
            except OSError:  # which is found and said when its turn comes
                self._sizes[item.name] = 0
        self._total_units = 2 * sum(
            self._sizes[item.name]
            for place in self.places
            for item in self.items
            if place.wants(item.name)
        )
        self._tell()

    def _pass(self) -> None:
        self._passing.clear()
        for place in self.places:
            place.failure = None
            self._at(place, place.open)
        left = [item for item in self.items if any(self._lacks(p, item) for p in self.places)]
        with ThreadPoolExecutor(_WORKERS, "transfer") as workers:
            try:
                running = {workers.submit(self._do, batch) for batch in self._batches(left)}
                while running:  # in short waits, so that Ctrl-C is heard on Windows too
                    done, running = wait(running, _LOOK_S, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
            except BaseException:
                self._stop.set()
                workers.shutdown(cancel_futures=True)
                raise

    def _worth_waiting(self) -> str:
        """What is worth waiting for, in words; empty when there is nothing."""
        for place in self.places:
            if place.failure is not None and may_pass(place.failure):
                return f"{shown(place.root)}: {in_words(place.failure)}"
        return next((error.message for error in self._passing.values()), "")

    def _outcome(self, place: Place) -> Outcome:
        ledger = self._ledgers[place]
        left = {
            name: error
            for name, error in self._passing.items()
            if place.wants(name) and name not in ledger.done
        }
        return Outcome(
            ledger.copied,
            ledger.there,
            ledger.size_bytes,
            {**left, **ledger.failures},
            place.failure,
        )

    def _batches(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """Large files alone, small ones together, in their order."""
        batch: list[Item] = []
        size = 0
        for item in items:
            if self._sizes[item.name] > BLOCK:
                yield [item]
                continue
            batch.append(item)
            size += self._sizes[item.name]
            if size > _BATCH_BYTES or len(batch) >= _BATCH_FILES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    # -- one batch ---------------------------------------------------------------------------------

    def _do(self, batch: list[Item]) -> None:
        with suppress(_Stopped):
            written: dict[Place, list[Written]] = {place: [] for place in self.places}
            for item in batch:
                self._write_item(item, self.places, written)
            self._settle_all(written)

    def _settle_all(self, written: dict[Place, list[Written]]) -> None:
        wanted = [(place, files) for place, files in written.items() if files]
        others = [
            threading.Thread(target=self._settle_quietly, args=pair, daemon=True)
            for pair in wanted[1:]
        ]
        for thread in others:
            thread.start()
        for pair in wanted[:1]:
            self._settle_quietly(*pair)
        for thread in others:
            thread.join()
        self._check_stop()

    def _settle_quietly(self, place: Place, files: list[Written]) -> None:
        with suppress(_Stopped):
            self._at(place, lambda: self._settle(place, files))

    def _at(self, place: Place, work: Callable[[], object]) -> None:
        """Do something at a place; what goes wrong there is kept."""
        try:
            work()
        except OSError as error:
            place.failure = error

    # -- writing -----------------------------------------------------------------------------------

    def _write_item(
        self, item: Item, places: Sequence[Place], written: dict[Place, list[Written]]
    ) -> None:
        self._check_stop()
        try:
            status = self._look_at(item)
            lacking = [place for place in places if self._must_go(place, item, status)]
            if not lacking:
                return
            if status.st_size > BLOCK:
                made = self._write_large(item, lacking)
            else:
                made = self._write_small(item, lacking)
        except Passing as passing:
            self._passing[item.name] = passing.error
        except TransferError as error:
            for place in places:
                self._ledgers[place].failures[item.name] = error
        else:
            for place, file in made.items():
                written[place].append(file)

    def _must_go(self, place: Place, item: Item, status: os.stat_result) -> bool:
        if not self._lacks(place, item) or place.failure is not None:
            return False
        there: list[bool] = []
        self._at(place, lambda: there.append(self._is_there(place, item, status)))
        return there == [False]

    def _lacks(self, place: Place, item: Item) -> bool:
        return place.wants(item.name) and not self._ledgers[place].settled(item.name)

    def _is_there(self, place: Place, item: Item, status: os.stat_result) -> bool:
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
        self._arrive(place, item, status.st_size, there=True)
        return True

    def _compared(
        self, target: Path, item: Item, status: os.stat_result, copy: os.stat_result
    ) -> str:
        """The checksum of a copy that is there and right; empty when it is not."""
        if copy.st_size != status.st_size:
            return ""
        digest = digest_on_disk(target, self._algorithm, lambda _: self._check_stop())
        expected = item.sealed
        if not expected:
            with reading(self._original(item)) as original:
                expected = digest_on_disk(original, self._algorithm, lambda _: self._check_stop())
        return digest if digest == expected else ""

    def _write_small(self, item: Item, places: Sequence[Place]) -> dict[Place, Written]:
        with reading(self._original(item)), open_source(self._original(item)) as stream_:
            before = os.fstat(stream_.fileno())
            content = b"".join(iter(lambda: stream_.read(BLOCK), b""))
            after = os.fstat(stream_.fileno())
        digest = hashlib.new(self._algorithm, content).hexdigest()
        self._check_read(item, before, after, len(content), digest)
        made: dict[Place, Written] = {}
        for place in places:
            file = self._as_written(place, item, before, digest)
            self._at(place, lambda file=file, place=place: write_whole(place, file, content))  # type: ignore[misc]
            if place.failure is None:
                made[place] = file
                self._count(len(content))
        return made

    def _write_large(self, item: Item, places: Sequence[Place]) -> dict[Place, Written]:
        # One at a time, so that a disk with a moving head reads one file from end to end.
        with (
            self._one_large,
            reading(self._original(item)),
            open_source(self._original(item)) as source,
        ):
            before = os.fstat(source.fileno())
            files = {place: self._as_written(place, item, before, "") for place in places}
            writers: dict[Place, Writer] = {}
            for place, file in files.items():
                self._at(
                    place,
                    lambda p=place, f=file: writers.update({p: open_writer(p, f)}),  # type: ignore[misc]
                )
            if not writers:
                return {}
            digest, size = stream(
                source,
                list(writers.values()),
                self._algorithm,
                lambda count: self._on_bytes(count, len(writers)),
            )
            after = os.fstat(source.fileno())
        for place, writer in writers.items():
            if writer.error is not None:
                place.failure = writer.error
                self._went_on |= writer.written > BLOCK
        if all(writer.error for writer in writers.values()):
            return {}
        self._check_read(item, before, after, size, digest, list(files.values()))
        return {
            place: files[place]._replace(digest=digest)
            for place, writer in writers.items()
            if writer.error is None
        }

    def _check_read(
        self,
        item: Item,
        before: os.stat_result,
        after: os.stat_result,
        size: int,
        digest: str,
        made: Sequence[Written] = (),
    ) -> None:
        """See that what was read is one state of the file, and the one that was sealed."""
        error: Exception | None = None
        if look_of(before) != look_of(after) or size != before.st_size:
            error = Passing(changed(self._original(item)))
        elif item.sealed and digest != item.sealed:
            error = not_as_sealed(self._original(item))
        if error is not None:
            for file in made:
                with suppress(OSError):
                    file.partial.unlink()
            raise error

    def _as_written(self, place: Place, item: Item, status: os.stat_result, digest: str) -> Written:
        target = place.target(item.name)
        look = look_of(status)
        # Of a fixed length, since the file's own name may be as long as the system allows; another
        # state of the file has another one, and is never continued.
        state = hashlib.sha256(repr((item.name, *look)).encode("utf-8", "surrogateescape"))
        partial = target.with_name(f".{state.hexdigest()[:16]}.partial")
        return Written(item, partial, target, look, digest)

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
            digest = digest_on_disk(file.partial, self._algorithm, self._on_bytes)
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
            self._arrive(place, file.item, file.source.size, there=False)
        return damaged

    def _written_again(self, place: Place, damaged: list[Written], *, last: bool) -> list[Written]:
        for file in damaged:
            with suppress(FileNotFoundError):
                file.partial.unlink()
            if last:
                error = damaged_again(file, self._retries + 1)
                self._ledgers[place].failures[file.item.name] = error
            else:
                self._count(-2 * file.source.size)
        again: dict[Place, list[Written]] = {place: []}
        for file in [] if last else damaged:
            self._write_item(file.item, [place], again)
        return again[place]

    # -- counting ----------------------------------------------------------------------------------

    def _original(self, item: Item) -> Path:
        return self.source / PurePosixPath(item.name)

    def _look_at(self, item: Item) -> os.stat_result:
        with reading(self._original(item)):
            status = self._original(item).lstat()
        if not stat.S_ISREG(status.st_mode):
            raise TransferError(
                f"{item.name} is a link or no regular file.",
                code="copy-source-link",
                where=shown(self._original(item)),
                fix="Put the file itself into the session folder.",
            )
        return status

    def _arrive(self, place: Place, item: Item, size: int, *, there: bool) -> None:
        ledger = self._ledgers[place]
        with self._lock:
            ledger.done.add(item.name)
            (ledger.there if there else ledger.copied).append(item.name)
            ledger.size_bytes += size
            self._went_on = True
            self._arrived += 1
            if there:
                self._units += 2 * size
        self._tell()

    def _on_bytes(self, count: int, places: int = 1) -> None:
        self._check_stop()
        self._count(count * places)

    def _count(self, units: int) -> None:
        with self._lock:
            self._units += units
        self._tell()

    def _tell(self, waiting: str = "") -> None:
        each = 2 * max(len(self.places), 1)
        self._on_progress(
            Progress(
                min(self._units, self._total_units) // each,
                self._total_units // each,
                self._arrived // max(len(self.places), 1),
                waiting,
            )
        )

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _Stopped
