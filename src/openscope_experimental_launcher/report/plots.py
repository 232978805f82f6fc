"""Plots of what was measured: a drawing that needs no script and prints well, the same points for
the zoomable one, and the same in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from ..display.words import clock
from ..supervision.limits import Limits, system_ceiling
from .reading import Story
from .samples import Curve, Samples, since, thinned

WIDTH, HEIGHT = 720, 150
"""Size of a drawing's plane in its own units."""

_BUCKETS = 700
_DRAWN_BUCKETS = 240
_ROWS = 12
_NEAR = 0.25


class Plot(NamedTuple):
    """One quantity over time.

    Attributes:
        key: a name for it that is no other's on the page.
        title: what it is.
        unit: of its values.
        at: seconds since the start (in the last minute: before the end, negative).
        values: thinned, with every peak.
        limit: at which the acquisition is stopped, or None.
        limit_words: what the limit is.
        words: what the plot shows, for those who cannot see it.
        line: points of the drawing.
        limit_y: height of the limit in the drawing, or None when it is far from the curve.
        top: the highest value in the drawing, as text.
        bottom: the lowest value in the drawing, as text.
        begin: the first time in the drawing, as text.
        end: the last time in the drawing, as text.
        rows: for a table: from when, lowest, highest.
    """

    key: str
    title: str
    unit: str
    at: list[float]
    values: list[float]
    limit: float | None
    limit_words: str
    words: str
    line: str
    limit_y: float | None
    top: str
    bottom: str
    begin: str
    end: str
    rows: list[tuple[str, str, str]]

    def data(self) -> dict[str, Any]:
        """What the zoomable plot is made of, as JSON."""
        return {
            "unit": self.unit,
            "at": self.at,
            "values": self.values,
            "limit": self.limit,
            "near": self.limit_y is not None,
        }


class Quantity(NamedTuple):
    """What is measured of a session, and where it must stay.

    Attributes:
        key: a short name for it.
        title: what it is.
        unit: of its values.
        curve: what was measured; times are the journal's monotonic ones.
        limit: at which the acquisition is stopped, or None.
        limit_words: what the limit is.
        upper: whether the limit is one from above.
    """

    key: str
    title: str
    unit: str
    curve: Curve
    limit: float | None
    limit_words: str
    upper: bool = True


def plots_of(story: Story) -> list[Plot]:
    """The plots of a whole session: memory, processor and disk; none that was not measured."""
    return [
        _plot(quantity, story.zero, _BUCKETS, clock)
        for quantity in quantities(story.limits, story.samples)
        if len(quantity.curve.at) > 1
    ]


def last_minute_plots(story: Story, end: float, seconds: float) -> list[Plot]:
    """Memory and processor in the last seconds before a time, every sample.

    Args:
        story: the session.
        end: monotonic time.
        seconds: how many.
    """
    parts = (
        quantity._replace(
            key=f"last_{quantity.key}", curve=since(quantity.curve, end - seconds, end)
        )
        for quantity in quantities(story.limits, story.samples)
        if quantity.key in ("memory", "cpu")
    )
    return [_plot(part, end, _BUCKETS, _before_end) for part in parts if len(part.curve.at) > 1]


def quantities(limits: Mapping[str, Any], samples: Samples) -> Iterator[Quantity]:
    """Memory, processor and disk with their limits.

    Args:
        limits: the limits of the session's plan.
        samples: its measurements.
    """
    memory_limit = _number(limits.get("memory_limit_mb"))
    yield Quantity(
        "memory",
        "Memory of the acquisition",
        "MB",
        samples.curve("memory_mb"),
        memory_limit,
        _words("memory_limit_mb", memory_limit, "MB"),
    )
    system = samples.curve("system_percent")
    ceiling = _ceiling(_number(limits.get("kill_threshold")), system)
    yield Quantity(
        "system",
        "Memory of the whole computer",
        "%",
        system,
        ceiling,
        _words("kill_threshold", ceiling, "%"),
    )
    yield Quantity("cpu", "Processor", "% of one core", samples.cpu(), None, "")
    free = samples.curve("disk_free_mb")
    reserve = _number(limits.get("disk_reserve_gb"))
    yield Quantity(
        "disk",
        "Free space on the session's disk",
        "GB",
        Curve(free.at, [value / 1000 for value in free.values]),
        reserve,
        _words("disk_reserve_gb", reserve, "GB"),
        upper=False,
    )


def _ceiling(threshold: float | None, system: Curve) -> float | None:
    if not system.values:
        return None
    return system_ceiling(Limits(threshold, initial_memory_percent=system.values[0]))


def _words(parameter: str, limit: float | None, unit: str) -> str:
    return "" if limit is None else f"{parameter}: {_amount(limit)} {unit}"


def _number(value: Any) -> float | None:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e15 else None


def _plot(quantity: Quantity, zero: float, buckets: int, say_time: Callable[[float], str]) -> Plot:
    whole = Curve([at - zero for at in quantity.curve.at], quantity.curve.values)
    points = thinned(whole, buckets)
    limit = quantity.limit
    near = limit is not None and _is_near(limit, points.values, upper=quantity.upper)
    line, limit_y, bottom, top = _drawn(points, limit if near else None)
    return Plot(
        quantity.key,
        quantity.title,
        quantity.unit,
        [round(at, 1) for at in points.at],
        [float(f"{value:.5g}") for value in points.values],
        limit,
        quantity.limit_words,
        _in_words(quantity, whole, say_time),
        line,
        limit_y,
        _amount(top),
        _amount(bottom),
        say_time(points.at[0]),
        say_time(points.at[-1]),
        _table(whole, say_time),
    )


def _is_near(limit: float, values: list[float], *, upper: bool) -> bool:
    """Whether a curve can still be made out in a plot that reaches to its limit."""
    return max(values) >= _NEAR * limit if upper else limit >= _NEAR * max(values)


def _drawn(points: Curve, limit: float | None) -> tuple[str, float | None, float, float]:
    at, values = thinned(points, _DRAWN_BUCKETS)
    shown = [*values, *([limit] if limit is not None else [])]
    top, bottom = max(shown), min(*shown, 0.0)
    if limit is None and min(values) > 0.5 * top:  # a small change at a great height
        least = min(values)
        spare = max(0.05 * (top - least), 0.005 * top - 0.5 * (top - least))
        bottom, top = least - spare, top + spare
    span, length = (top - bottom) or 1.0, (at[-1] - at[0]) or 1.0

    def height(value: float) -> float:
        return round(HEIGHT * (1 - (value - bottom) / span), 1)

    places = (
        f"{WIDTH * (when - at[0]) / length:.1f},{height(value):g}"
        for when, value in zip(at, values, strict=True)
    )
    return " ".join(places), None if limit is None else height(limit), bottom, top


def _in_words(quantity: Quantity, whole: Curve, say_time: Callable[[float], str]) -> str:
    values, unit = whole.values, quantity.unit
    low, high = min(values), max(values)
    parts = [
        f"{_amount(values[0])} {unit} at the beginning",
        f"lowest {_amount(low)} {unit} at {say_time(whole.at[values.index(low)])}",
        f"highest {_amount(high)} {unit} at {say_time(whole.at[values.index(high)])}",
        f"{_amount(values[-1])} {unit} at the end",
    ]
    limit = quantity.limit
    if limit:
        share = f"{100 * high / limit:.0f} % of it at most" if quantity.upper else "kept free"
        parts.append(f"limit {_amount(limit)} {unit} ({share})")
    return "; ".join(parts) + "."


def _table(whole: Curve, say_time: Callable[[float], str]) -> list[tuple[str, str, str]]:
    """The curve in some equal parts of the time."""
    begin, length = whole.at[0], whole.at[-1] - whole.at[0]
    parts = min(_ROWS, len(whole.at))
    edges = [begin + number * length / parts for number in range(parts + 1)]
    rows = []
    for first, last in pairwise(edges):
        values = since(whole, first, last).values
        if values:
            rows.append((say_time(first), _amount(min(values)), _amount(max(values))))
    return rows


def _amount(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _before_end(seconds: float) -> str:
    return f"{seconds:.0f} s".replace("-", "−")
