"""A session's stimulus table, read into epochs: stretches of time in which one stimulus was shown.

Tables differ from lab to lab, so little is asked of one: a column of start times. What else it has
is taken as far as it is understood (see docs/metadata.md).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

_COLUMNS = {
    "start": ("start_time", "start", "start_s", "onset", "onset_time", "onset_s"),
    "stop": ("stop_time", "stop", "stop_s", "end_time", "end", "end_s", "offset", "offset_time"),
    "duration": ("duration", "duration_s"),
    "name": ("stim_name", "stimulus_name", "stimulus", "stim", "name"),
    "block": ("stim_block", "stimulus_block", "block", "epoch"),
    "modality": ("stimulus_modality", "stim_modality", "modality"),
}
"""What a column may be called, in small letters, the likeliest first."""

_COUNTERS = ("stim_index", "stimulus_index", "index", "trial", "trial_index", "")
_LARGEST_BYTES = 100_000_000
_MOST_EPOCHS = 50
_MOST_NAMES = 5
_MOST_VALUES = 20
_SLACK = timedelta(seconds=2)
_UNIX_S = 1e9  # no session lasts that long, and no clock of this century shows less
_NOT_SHOWN = ("logs", "experiment_metadata")


class Epoch(NamedTuple):
    """A stretch of the stimulus table.

    Attributes:
        name: of the stimulus; of those that alternate, their names.
        start, stop: within the acquisition.
        rows: how many rows of the table it is.
        values: the values that each other column has in it.
        modalities: how it reaches the animal, as the table says; empty when it does not.
    """

    name: str
    start: datetime
    stop: datetime
    rows: int
    values: dict[str, object]
    modalities: list[str]


class _Row(NamedTuple):
    start: datetime
    stop: datetime
    cells: Sequence[str]


def find_table(folder: Path, named: str | None) -> Path | None:
    """The stimulus table of a session; None when it has none.

    Args:
        folder: the session folder.
        named: its path in it, when the parameters name one.
    """
    if named:
        path = folder / named
        inside = path.resolve().is_relative_to(folder.resolve())
        return path if inside and path.is_file() else None
    found = [
        path
        for pattern in ("*.csv", "*/*.csv")
        for path in sorted(folder.glob(pattern))
        if "stim" in path.stem.lower() and "table" in path.stem.lower()
        if path.parent.name not in _NOT_SHOWN and not path.parent.name.startswith("attempt_")
    ]
    return next(
        (path for path in found if path.name == "stimulus_table.csv"), next(iter(found), None)
    )


def read_epochs(table: Path, start: datetime, end: datetime, otherwise: str) -> list[Epoch]:
    """The epochs of a stimulus table.

    Args:
        table: the file; comma, semicolon or tabulator separate its columns.
        start: of the acquisition; times that are numbers are seconds since then, or since 1970.
        end: of the acquisition.
        otherwise: name of the stimulus when the table has none.

    Raises:
        OSError: it cannot be read.
        ValueError: it cannot be understood, and why.
    """
    header, lines = _read(table)
    plain = [name.lower().replace(" ", "_") for name in header]
    places = {
        meaning: next((plain.index(name) for name in names if name in plain), None)
        for meaning, names in _COLUMNS.items()
    }
    if places["start"] is None:
        raise ValueError(f"it has no column with start times ({', '.join(_COLUMNS['start'])})")
    rows = list(_rows(lines, places, start))
    if not rows:
        raise ValueError("it has no row with a start time")
    first, last = min(row.start for row in rows), max(row.stop for row in rows)
    if first < start - _SLACK or last > end + _SLACK:
        raise ValueError("its times are not within the acquisition")

    def named(row: _Row) -> str:
        place = places["name"]
        return (row.cells[place].strip() if place is not None else "") or otherwise

    def epoch(rows: list[_Row]) -> Epoch:
        names = list(dict.fromkeys(map(named, rows)))
        place = places["modality"]
        modalities = [] if place is None else dict.fromkeys(row.cells[place] for row in rows)
        used = {places[key] for key in ("start", "stop", "duration", "name", "modality")}
        return Epoch(
            ", ".join(names) if len(names) <= _MOST_NAMES else f"{len(names)} stimuli",
            min(max(min(row.start for row in rows), start), end),
            max(min(max(row.stop for row in rows), end), start),
            len(rows),
            dict(_values(header, used, rows)),
            [text for text in modalities if text.strip()],
        )

    return [epoch(stretch) for stretch in _stretches(rows, named, places["block"])]


def _read(table: Path) -> tuple[list[str], Iterator[list[str]]]:
    if table.stat().st_size > _LARGEST_BYTES:
        raise ValueError(f"it is larger than {_LARGEST_BYTES / 1e6:.0f} MB")
    text = table.read_text("utf-8-sig", "replace")
    first = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
    try:
        header = [name.strip() for name in next(lines, [])]
        return header, iter([line for line in lines if len(line) == len(header)])
    except csv.Error as error:
        raise ValueError(f"it is no table: {error}") from error


def _rows(
    lines: Iterator[list[str]], places: dict[str, int | None], begin: datetime
) -> Iterator[_Row]:
    def moment(cells: Sequence[str], meaning: str) -> datetime | None:
        place = places[meaning]
        return None if place is None else _moment(cells[place], begin)

    for cells in lines:
        start = moment(cells, "start")
        if start is None:
            continue
        stop = moment(cells, "stop")
        place = places["duration"]
        if stop is None and place is not None:
            stop = start + timedelta(seconds=max(_number(cells[place]) or 0.0, 0.0))
        yield _Row(start, max(stop or start, start), cells)


def _moment(text: str, begin: datetime) -> datetime | None:
    seconds = _number(text)
    try:
        if seconds is None:
            return datetime.fromisoformat(text.strip()).replace(
                tzinfo=datetime.fromisoformat(text.strip()).tzinfo or begin.tzinfo
            )
        if seconds >= _UNIX_S:
            return datetime.fromtimestamp(seconds, begin.tzinfo)
        return begin + timedelta(seconds=seconds)
    except (ValueError, OverflowError, OSError):
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _whole(number: float) -> float:
    return int(number) if number.is_integer() else number


def _stretches(
    rows: list[_Row], named: Callable[[_Row], str], block: int | None
) -> list[list[_Row]]:
    """Rows that belong together: of one stimulus, and where many alternate, of one block."""
    ways: list[Callable[[_Row], str]] = [named]
    if block is not None:
        ways.append(lambda row: row.cells[block])
    for way in ways:
        stretches = [list(group) for _, group in groupby(rows, way)]
        if len(stretches) <= _MOST_EPOCHS:
            return stretches
    return [rows]


def _values(
    header: list[str], used: set[int | None], rows: list[_Row]
) -> Iterator[tuple[str, object]]:
    """What each column holds: its value, its values, or the least and the greatest of many."""
    for place, name in enumerate(header):
        if place in used or name.lower() in _COUNTERS:
            continue
        cells = list(dict.fromkeys(row.cells[place].strip() for row in rows))
        numbers = [_number(cell) for cell in cells]
        whole = [_whole(number) for number in numbers if number is not None]
        values: list[float] | list[str] = sorted(whole) if len(whole) == len(cells) else cells
        if len(values) == 1:
            yield name, values[0]
        elif len(values) <= _MOST_VALUES:
            yield name, values
        elif len(whole) == len(cells):
            yield name, {"min": min(whole), "max": max(whole)}
