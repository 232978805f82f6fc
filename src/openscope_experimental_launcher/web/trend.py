"""Where a measured quantity goes to, if it goes on as in the last minutes."""

from __future__ import annotations

from collections.abc import Sequence

LOOKS_BACK_S = 300.0
"""So much of the past tells of the future."""

_LEAST_S = 30.0
_LEAST_POINTS = 10
_FARTHEST_S = 12 * 3600.0
_SURE = 0.9


def seconds_until(
    at: Sequence[float], values: Sequence[float], limit: float, *, upper: bool
) -> float | None:
    """Seconds from the last time until a straight line through the values reaches a limit.

    Args:
        at: times in seconds, growing; the last `LOOKS_BACK_S` of them, 30 s at least.
        values: what was measured then.
        limit: what is reached.
        upper: whether the limit is one from above.

    Returns:
        None when too little is known, when the values follow no line (correlation below 0.9), go
        the other way, are beyond the limit already, or take more than 12 h.
    """
    if len(at) < _LEAST_POINTS or at[-1] - at[0] < _LEAST_S:
        return None
    mid_at, mid = sum(at) / len(at), sum(values) / len(values)
    spread = sum((x - mid_at) ** 2 for x in at)
    rise = sum((x - mid_at) * (y - mid) for x, y in zip(at, values, strict=True))
    scatter = sum((y - mid) ** 2 for y in values)
    slope = rise / spread
    if (slope > 0) != upper or rise * rise < _SURE**2 * spread * scatter or not rise:
        return None
    left_s = (limit - mid) / slope - (at[-1] - mid_at)
    return left_s if 0 < left_s < _FARTHEST_S else None
