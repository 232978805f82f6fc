"""Reading an original once and writing it to all places, small or large."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from .disk import BLOCK, OnBytes, open_source
from .onefile import (
    Item,
    Passing,
    Written,
    changed,
    not_as_sealed,
    open_writer,
    reading,
    write_whole,
)
from .places import Place
from .streaming import Writer, stream
from .trust import look_of


class Originals(NamedTuple):
    """The files that are copied.

    Attributes:
        folder: where they are.
        algorithm: of the checksums.
        on_bytes: told how many bytes were written, at all places together; may raise.
    """

    folder: Path
    algorithm: str
    on_bytes: OnBytes

    def path(self, item: Item) -> Path:
        """Where a file is."""
        return self.folder / PurePosixPath(item.name)

    def text(self, item: Item) -> str:
        """The same as text, which is made sooner."""
        return f"{self.folder}{os.sep}{item.name.replace('/', os.sep)}"

    def write(self, item: Item, places: Sequence[Place], *, large: bool) -> dict[Place, Written]:
        """Copy a file to places, under its temporary names.

        Args:
            item: the file.
            places: where it goes. What goes wrong at one of them is kept there.
            large: whether it is written while it is read.

        Returns:
            What was written, where it was.

        Raises:
            Passing: it cannot be read, or changes while it is.
            TransferError: it is not what was sealed.
        """
        return self._write_large(item, places) if large else self._write_small(item, places)

    def _write_small(self, item: Item, places: Sequence[Place]) -> dict[Place, Written]:
        with reading(self.path(item)) as original, open_source(original) as source:
            before = os.fstat(source.fileno())
            content = _read_small(source)
            after = os.fstat(source.fileno())
        digest = hashlib.new(self.algorithm, content).hexdigest()
        self._check_read(item, before, after, len(content), digest)
        made = {place: as_written(place, item, before, digest) for place in places}
        for place, file in list(made.items()):
            if at(place, lambda p=place, f=file: write_whole(p, f, content)):  # type: ignore[misc]
                self.on_bytes(len(content))
            else:
                del made[place]
        return made

    def _write_large(self, item: Item, places: Sequence[Place]) -> dict[Place, Written]:
        writers: dict[Place, Writer] = {}
        with reading(self.path(item)) as original, open_source(original) as source:
            before = os.fstat(source.fileno())
            files = {place: as_written(place, item, before, "") for place in places}
            for place, file in files.items():
                at(place, lambda p=place, f=file: writers.update({p: open_writer(p, f)}))  # type: ignore[misc]
            if not writers:
                return {}
            digest, size = stream(
                source,
                list(writers.values()),
                self.algorithm,
                lambda count: self.on_bytes(count * len(writers)),
            )
            after = os.fstat(source.fileno())
        good = _without_failed(writers)
        if good:
            self._check_read(item, before, after, size, digest, [files[place] for place in good])
        return {place: files[place]._replace(digest=digest) for place in good}

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
            error = Passing(changed(self.path(item)))
        elif item.sealed and digest != item.sealed:
            error = not_as_sealed(self.path(item))
        if error is not None:
            for file in made:
                with suppress(OSError):
                    file.partial.unlink()
            raise error


def _read_small(source: FileIO) -> bytes:
    """A small file's bytes. One that has grown large since it was looked at is cut, and so found
    out to have changed."""
    content = source.read(BLOCK + 1) or b""
    while more := source.read(BLOCK + 1 - len(content)):
        content += more
    return content


def at(place: Place, work: Callable[[], object]) -> bool:
    """Do something at a place; what goes wrong there is kept. Whether it went well."""
    try:
        work()
    except OSError as error:
        place.failure = error
        return False
    return True


def as_written(place: Place, item: Item, status: os.stat_result, digest: str) -> Written:
    """A file with the names that it has at a place.

    The temporary one has a fixed length, since the file's own may be as long as the system allows;
    it is another one for another state of the file, so that such a one is never continued.
    """
    target, look = place.target(item.name), look_of(status)
    state = hashlib.sha256(repr((item.name, *look)).encode("utf-8", "surrogateescape"))
    partial = target.with_name(f".{state.hexdigest()[:16]}.partial")
    return Written(item, partial, target, look, digest)


def _without_failed(writers: Mapping[Place, Writer]) -> list[Place]:
    for place, writer in writers.items():
        if writer.error is not None:
            place.failure = writer.error
            place.went_on |= writer.written > BLOCK
    return [place for place, writer in writers.items() if writer.error is None]
