"""The parameter files that were used last, for a launcher started without one."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from ..files import write_atomic

MOST_REMEMBERED = 20
_NAME = "recent.json"


def recent_files(state_folder: Path) -> list[Path]:
    """The files used last that are still there, latest first.

    Args:
        state_folder: the launcher's own folder.
    """
    return [path for path in _remembered(state_folder) if _is_file(path)]


def remember(state_folder: Path, file: Path) -> None:
    """Put `file` first. A list that is damaged or cannot be written never stops a session.

    Args:
        state_folder: the launcher's own folder; made when it is not there.
        file: the parameter file.
    """
    latest = file.absolute()
    paths = [latest, *(path for path in _remembered(state_folder) if path != latest)]
    # ASCII only, because a file's name may hold bytes that are no UTF-8.
    content = json.dumps([str(path) for path in paths[:MOST_REMEMBERED]], indent=2)
    with suppress(OSError):
        state_folder.mkdir(parents=True, exist_ok=True)
        write_atomic(state_folder / _NAME, content + "\n")


def _remembered(state_folder: Path) -> list[Path]:
    try:
        names = json.loads((state_folder / _NAME).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(names, list):
        return []
    return [Path(name) for name in names[:MOST_REMEMBERED] if isinstance(name, str) and name]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
