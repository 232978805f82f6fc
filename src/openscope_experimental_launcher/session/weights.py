"""The subject's weights before and after a session, as it keeps them in `mouse_weight.csv`."""

from __future__ import annotations

import csv
import io
import math
from contextlib import suppress
from pathlib import Path

COLUMNS = ("time", "phase", "weight_g", "subject_id", "user_id")
_LONGEST_TABLE = 65536


def weights_of(table: Path) -> tuple[float | None, float | None]:
    """The last weights, in grams, that were written down before and after the acquisition; None
    for one that was not.

    Args:
        table: the session's `mouse_weight.csv`, which need not be there.
    """
    found: dict[str, float] = {}
    try:
        with table.open(newline="", encoding="utf-8", errors="replace") as stream:
            rows = list(csv.DictReader(io.StringIO(stream.read(_LONGEST_TABLE))))
    except (OSError, csv.Error):
        return None, None
    for row in rows:
        with suppress(TypeError, ValueError, KeyError):  # a row that a person wrote
            weight = float(row["weight_g"])
            if math.isfinite(weight):
                found[row["phase"]] = weight
    return found.get("before"), found.get("after")
