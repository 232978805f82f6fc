"""The measurements of a session: thousands of them as columns, and as the few that a plot needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

Column = list[float | None]
_LARGEST = 1e15
"""What is as large was never measured."""


class Curve(NamedTuple):
    """One measured quantity over time.

    Attributes:
        at: seconds on the session's clock, growing.
        values: what was measured then.
    """

    at: list[float]
    values: list[float]


class Samples:
    """The measurements of one session, in the order of its journal."""

    __slots__ = ("_at", "_columns", "_starts")

    def __init__(self) -> None:
        self._at: list[float] = []
        self._columns: dict[str, Column] = {
            name: [] for name in ("memory_mb", "cpu_s", "system_percent", "disk_free_mb")
        }
        self._starts: list[int] = []

    def __len__(self) -> int:
        return len(self._at)

    @property
    def last(self) -> float | None:
        """The monotonic time of the last one."""
        return self._at[-1] if self._at else None

    def add(self, mono: float, data: Mapping[str, Any]) -> None:
        """Take in the data of one `acquisition.sampled`.

        Args:
            mono: the event's time; samples that do not come after the one before are passed over.
            data: the event's data.
        """
        at = self._at
        if at and mono <= at[-1]:
            return
        at.append(mono)
        for name, column in self._columns.items():
            column.append(data.get(name))

    def attempt_begins(self) -> None:
        """The processor time that follows is that of another process tree."""
        self._starts.append(len(self._at))

    def curve(self, name: str) -> Curve:
        """A measured quantity, without the times at which it was not known."""
        known = [
            (at, value)
            for at, value in zip(self._at, self._columns[name], strict=True)
            if value is not None and -_LARGEST < value < _LARGEST
        ]
        return Curve([at for at, _ in known], [value for _, value in known])

    def cpu(self) -> Curve:
        """Processor use of the tree in percent of one core, between each two samples."""
        at, used = self._at, self._columns["cpu_s"]
        starts = set(self._starts)
        pairs = [
            (now, 100.0 * (after - before) / (now - then))
            for number, ((then, before), (now, after)) in enumerate(
                pairwise(zip(at, used, strict=True)), 1
            )
            # A process that ended takes its time with it, and another attempt begins at 0.
            if before is not None and after is not None and before <= after < _LARGEST
            if before > -_LARGEST
            if number not in starts
        ]
        return Curve([at for at, _ in pairs], [value for _, value in pairs])


def thinned(curve: Curve, buckets: int) -> Curve:
    """At most two points for each of so many equal parts of the time: its lowest and its highest,
    so that no peak is lost however short it was."""
    at, values = curve
    if len(at) <= 2 * buckets:
        return curve
    width = (at[-1] - at[0]) / buckets
    kept_at, kept = [], []
    begin, edge = 0, at[0]
    for number in range(1, buckets + 1):
        edge = at[0] + number * width
        end = bisect_right(at, edge, begin) if number < buckets else len(at)
        if end == begin:
            continue
        part = values[begin:end]
        for index in sorted({part.index(min(part)), part.index(max(part))}):
            kept_at.append(at[begin + index])
            kept.append(part[index])
        begin = end
    return Curve(kept_at, kept)


def since(curve: Curve, begin: float, end: float) -> Curve:
    """The part of a curve between two times, both included."""
    first = bisect_right(curve.at, begin)
    if first and curve.at[first - 1] == begin:
        first -= 1
    last = bisect_right(curve.at, end, first)
    return Curve(curve.at[first:last], curve.values[first:last])
