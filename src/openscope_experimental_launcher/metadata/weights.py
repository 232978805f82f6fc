"""The animal's weights before and after, as a session keeps them in `mouse_weight.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

TABLE = "mouse_weight.csv"
COLUMNS = ("time", "phase", "weight_g", "subject_id", "user_id")


def weights_of(session_folder: Path) -> tuple[str | None, str | None]:
    """The last weights in grams that were written down before and after the acquisition; None for
    one that was not."""
    found: dict[str, str] = {}
    try:
        with (session_folder / TABLE).open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                found[row.get("phase") or ""] = row.get("weight_g") or ""
    except (OSError, ValueError, csv.Error):  # none, or not as the launcher writes it
        return None, None
    return found.get("before") or None, found.get("after") or None
