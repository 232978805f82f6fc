"""How much room a session will need, and how long, as far as that can be known: from sessions
like it.

It is an estimate, not a limit: what an acquisition may write is watched while it runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..files import read_json_object
from ..jsonl import parse_lines
from ..masking import mask_values
from ..parameters.placeholders import bind
from .folder import NAME_PATTERN, SessionFolder

SAME_EXPERIMENT = ("launcher", "repository_url", "script_path", "command")
"""Keys by whose values sessions are of one experiment; its commit and its subject may differ."""

_LOOKED_AT = 10
_TAKEN = 3
_LONG_ENOUGH_S = 60.0
_JOURNAL_END = 65536


class Estimate(NamedTuple):
    """Room that a session may need.

    Attributes:
        size: bytes.
        words: what it is made of.
    """

    size: float
    words: str


def estimate_room(
    root: Path, parameters: Mapping[str, Any], expected_mb_per_min: float = 0.0
) -> Estimate | None:
    """Room that a session may need; None when nothing is known about it.

    It is the size of the largest of the last sessions of the same experiment in this folder,
    more when `max_duration_s` lets this one run longer. Without any, it is what the files of
    `expect` grow by at least until `max_duration_s`.

    Args:
        root: folder of all sessions.
        parameters: this session's, as JSON.
        expected_mb_per_min: megabytes (10⁶ bytes) by which the expected files grow each minute.
    """
    limit_s = parameters.get("max_duration_s")
    earlier = [_taken_by(session, limit_s) for session in _sessions_like(root, parameters)]
    if earlier:
        return max(earlier)
    if expected_mb_per_min and limit_s:
        size = expected_mb_per_min * 1e6 * limit_s / 60
        words = f"the files of expect grow by at least {expected_mb_per_min:g} MB a minute"
        return Estimate(size, f"{words}, for max_duration_s ({limit_s / 60:g} min)")
    return None


def estimate_duration(root: Path, parameters: Mapping[str, Any]) -> float | None:
    """Seconds that the acquisition may take: the middle one of the last completed sessions of the
    same experiment in this folder; None when there is none.

    Args:
        root: folder of all sessions.
        parameters: this session's, as JSON.
    """
    earlier = _sessions_like(root, parameters)
    took = sorted(session.duration_s for session in earlier if session.completed)
    return took[len(took) // 2] if took else None


class _Earlier(NamedTuple):
    name: str
    size: int
    duration_s: float
    completed: bool


def _taken_by(earlier: _Earlier, limit_s: float | None) -> Estimate:
    words = f"{earlier.name} took {earlier.size / 1e9:.1f} GB in {earlier.duration_s / 60:.0f} min"
    longer = (limit_s or 0.0) / earlier.duration_s if earlier.duration_s > _LONG_ENOUGH_S else 0.0
    if longer > 1 and limit_s:
        words += f", and this one may run for {limit_s / 60:g} min"
    return Estimate(earlier.size * max(longer, 1.0), words)


def _sessions_like(root: Path, parameters: Mapping[str, Any]) -> Iterator[_Earlier]:
    taken = 0
    for folder in _newest(root):
        values = read_json_object(folder.metadata / "processed_parameters.json")
        if values.get("rehearsal") or not _same(values, parameters, folder):
            continue
        runtime = read_json_object(folder.metadata / "runtime_information.json")
        size, duration_s = _sealed_size(folder.journal), runtime.get("duration_s")
        if isinstance(size, int) and isinstance(duration_s, (int, float)):
            completed = runtime.get("outcome") == "completed"
            yield _Earlier(folder.name, size, float(duration_s), completed)
            taken += 1
            if taken == _TAKEN:
                return


def _same(values: Mapping[str, Any], parameters: Mapping[str, Any], folder: SessionFolder) -> bool:
    """Whether `parameters` would have been recorded in this folder as `values` were."""
    asked = {key: parameters.get(key) for key in SAME_EXPERIMENT}
    return all(
        values.get(key) == value
        for key, value in mask_values(bind(asked, str(folder.path), folder.name)).items()
    )


def _newest(root: Path) -> list[SessionFolder]:
    """The last sessions of a folder by the times in their names, newest first."""
    try:
        names = os.listdir(root)  # noqa: PTH208 - there may be thousands
    except OSError:
        return []
    matches = filter(None, map(NAME_PATTERN.match, names))
    found = sorted(((m["date"], m["time"], m[0]) for m in matches), reverse=True)
    return [SessionFolder(root / name) for _, _, name in found[:_LOOKED_AT]]


def _sealed_size(journal: Path) -> Any:
    """Bytes of a session when it was sealed, from the end of its journal; None when it was not."""
    try:
        with journal.open("rb") as stream:
            stream.seek(max(stream.seek(0, os.SEEK_END) - _JOURNAL_END, 0))
            end = stream.read()
    except OSError:
        return None
    for record in parse_lines(end):
        if record.get("name") == "manifest.sealed" and isinstance(record.get("data"), dict):
            return record["data"].get("size_bytes")
    return None
