"""What the acquisition printed, with the time of each line as far as the guard's index knows it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..session.folder import SessionFolder
from ..session.output import readable
from ..session.past import PastSession
from .words import form_of

STREAMS = ("stdout", "stderr")
_TAIL = 256 * 1024
_COMPARED = 2 * 1024 * 1024


class Printed(NamedTuple):
    """One line that was printed.

    Attributes:
        stream: `stdout` or `stderr`.
        text: the line.
        at: when it was there at the latest, seconds since 1970; None when that is not known.
    """

    stream: str
    text: str
    at: float | None


def last_lines(folder: SessionFolder, attempt: int, stream: str) -> list[Printed]:
    """The last lines of one stream, oldest first."""
    path = folder.output(stream, max(attempt, 1))
    data, begin = _end_of(path, _TAIL)
    sizes, times = _index(path.with_suffix(".times"))
    lines, offset = [], begin
    for line in data.splitlines(keepends=True):
        offset += len(line)
        place = bisect_left(sizes, offset)
        at = times[place] if place < len(times) else None
        lines += [Printed(stream, text, at) for text in readable(line).splitlines()]
    return lines


def new_in(
    story: PastSession, attempt: int, good: PastSession, good_attempt: int
) -> Printed | None:
    """The first line of a kind that the good session never printed; on standard error first, where
    programs complain. None when there is none."""
    for stream in reversed(STREAMS):
        path = good.folder.output(stream, max(good_attempt, 1))
        known = {_anonymous(line, good) for line in _compared(path)}
        for line in _compared(story.folder.output(stream, max(attempt, 1))):
            if line.strip() and _anonymous(line, story) not in known:
                return Printed(stream, line, None)
    return None


def _anonymous(line: str, past: PastSession) -> str:
    return form_of(line.replace(past.name, "#"))


def _compared(path: Path) -> Iterator[str]:
    """The lines at the beginning and at the end of a file."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_COMPARED)
    except OSError:
        return
    yield from readable(head).splitlines()
    if len(head) == _COMPARED:
        yield from readable(_end_of(path, _COMPARED)[0]).splitlines()


def _end_of(path: Path, most: int) -> tuple[bytes, int]:
    """The last bytes of a file, from the beginning of a line where there is one, and where they
    begin."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            begin = max(size - most, 0)
            stream.seek(begin)
            data = stream.read(most)
    except OSError:
        return b"", 0
    cut = data.find(b"\n") + 1 if begin else 0
    return data[cut:], begin + cut


def _index(path: Path) -> tuple[list[int], list[float]]:
    """Sizes and times of the last part of an index; entries that cannot be read end it."""
    sizes: list[int] = []
    times: list[float] = []
    for line in _end_of(path, 4 * _TAIL)[0].splitlines():
        size, _, time = line.partition(b"\t")
        try:
            entry = int(size), float(time)
        except ValueError:
            break
        if sizes and entry[0] < sizes[-1]:
            break
        sizes.append(entry[0])
        times.append(entry[1])
    return sizes, times
