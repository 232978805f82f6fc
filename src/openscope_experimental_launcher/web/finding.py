"""Finding the sessions that are open, cheaply enough to do it all day."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..jsonl import parse_lines
from ..session.state import open_sessions

_ROOTS_LOOK_S = 2.0
_SHARE = 20  # of the time, one part in twenty at most goes into looking through large folders
_JOURNAL_END = 8192


class OpenSessions:
    """The sessions that were opened and not closed: those this account knows of on this computer,
    and those in folders of sessions that were named.

    Args:
        roots: the folders that were named.
        closed: session folders that are known to be closed.
    """

    def __init__(self, roots: Sequence[Path], closed: Iterable[str]) -> None:
        self._roots = roots
        self._closed = set(closed)
        self._below: list[Path] = []
        self._look_at = 0.0

    def find(self) -> dict[Path, bool]:
        """The folders of all of them, each with whether it is known here, and not only found."""
        now = time.monotonic()
        if self._roots and now >= self._look_at:
            self._below = [folder for root in self._roots for folder in self._open_below(root)]
            took_s = time.monotonic() - now
            self._look_at = now + max(_ROOTS_LOOK_S, _SHARE * took_s)
        return dict.fromkeys(self._below, False) | dict.fromkeys(open_sessions(), True)

    def _open_below(self, root: Path) -> Iterator[Path]:
        try:
            with os.scandir(root) as entries:
                # A link could lead out of the folder that was named.
                paths = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:  # the disk is away; it may come back
            return
        for path in paths:
            if path in self._closed:
                continue
            end = _end_of(os.path.join(path, "journal.jsonl"))  # noqa: PTH118 - there may be thousands
            if end is None:
                continue
            if any(record.get("name") == "session.closed" for record in parse_lines(end)):
                self._closed.add(path)
            else:
                yield Path(path)


def _end_of(journal: str) -> bytes | None:
    """The last bytes of a journal; None when there is none."""
    try:
        with open(journal, "rb") as stream:  # noqa: PTH123
            stream.seek(max(stream.seek(0, os.SEEK_END) - _JOURNAL_END, 0))
            return stream.read()
    except OSError:
        return None
