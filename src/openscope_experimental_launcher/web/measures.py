"""What was measured of one running session, for its curves and for what will come of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..report.plots import Quantity, quantities
from ..report.samples import Samples, thinned
from .trend import LOOKS_BACK_S, seconds_until

Point = list[float | None]
"""Seconds since the start, memory (MB), memory of the computer (%), processor (% of a core), free
space (GB)."""

_PLACES = {"memory": 1, "system": 2, "cpu": 3, "disk": 4}
"""Where the quantities of a report stand in a point."""

_BUCKETS = 250
_RECENT = 300


class Measures:
    """The measurements of a session: all of them for its curves, the last ones for a forecast.

    Attributes:
        zero: the monotonic time at which the acquisition first started; None before.
    """

    def __init__(self) -> None:
        self.zero: float | None = None
        self._limits: Mapping[str, Any] = {}
        self._samples = Samples()
        self._recent: deque[Point] = deque(maxlen=_RECENT)
        self._limited: list[Quantity] = []

    def set_limits(self, limits: Mapping[str, Any]) -> None:
        """Take the limits of the session's plan."""
        self._limits = limits
        self._limited = [q for q in quantities(limits, self._samples) if q.limit is not None]

    def attempt_begins(self, mono: float) -> None:
        """The acquisition starts, perhaps once more."""
        self.zero = mono if self.zero is None else self.zero
        self._samples.attempt_begins()
        self._recent.clear()

    def add(self, mono: float, data: Mapping[str, Any]) -> None:
        """Take in one measurement."""
        self._samples.add(mono, data)
        free_mb = data.get("disk_free_mb")
        self._recent.append(
            [
                round(mono - (self.zero or 0.0), 2),
                data.get("memory_mb"),
                data.get("system_percent"),
                None,
                None if free_mb is None else free_mb / 1000,
            ]
        )
        if len(self._samples) == 1:  # the limit of the computer's memory depends on the first one
            self.set_limits(self._limits)

    def last_point(self, cpu_percent: float | None) -> Point | None:
        """The newest measurement, with the processor's use, which takes two of them to know."""
        if not self._recent:
            return None
        at, memory, system, _, free = self._recent[-1]
        return [at, memory, system, None if cpu_percent is None else round(cpu_percent, 1), free]

    def forecasts(self, within_s: float | None) -> Iterator[str]:
        """What limits will be reached, and when, if all goes on as in the last minutes.

        Args:
            within_s: only within so many seconds; None for any time.
        """
        begin = self._seconds(self._recent[-1]) - LOOKS_BACK_S if self._recent else 0.0
        recent = [point for point in self._recent if self._seconds(point) > begin]
        for quantity in self._limited:
            place, limit = _PLACES[quantity.key], quantity.limit
            known = [(self._seconds(p), v) for p in recent if (v := p[place]) is not None]
            if limit is None or not known:
                continue
            times, values = zip(*known, strict=True)
            left_s = seconds_until(times, values, limit, upper=quantity.upper)
            if left_s is not None and (within_s is None or left_s < within_s):
                when = datetime.now() + timedelta(seconds=left_s)
                words = f"at its limit of {limit:,.4g} {quantity.unit} at {when:%H:%M}"
                yield f"{quantity.title}: at this rate {words}."

    @staticmethod
    def _seconds(point: Point) -> float:
        return point[0] or 0.0

    def plots(self) -> list[dict[str, Any]]:
        """The curves so far, thinned, with every peak."""
        return [self._plot(quantity) for quantity in quantities(self._limits, self._samples)]

    def _plot(self, quantity: Quantity) -> dict[str, Any]:
        at, values = thinned(quantity.curve, _BUCKETS)
        zero = self.zero or 0.0
        return {
            "key": quantity.key,
            "title": quantity.title,
            "unit": quantity.unit,
            "limit": quantity.limit,
            "at": [round(when - zero, 2) for when in at],
            "values": [float(f"{value:.5g}") for value in values],
        }
