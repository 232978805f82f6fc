"""What the guard looks at beside the acquisition: its launcher, the clock, the disk, the files.

Standard library only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from openscope_experimental_launcher.locks import is_held
from openscope_experimental_launcher.supervision.records import Records

LAUNCHER_GRACE_S = 2.0
CLOCK_JUMP_S = 2.0
FILES_SHARE = 20  # of the time, one part in twenty at most goes into looking at many files


class LauncherWatch:
    """Notices that the launcher is lost or has come back, by the lock that it holds.

    Args:
        lock: the launcher's lock file.
        spec: what the guard was told of its run.
        records: the guard's journal.
    """

    def __init__(self, lock: Path, spec: dict[str, Any], records: Records) -> None:
        self._lock = lock
        self._policy = spec["on_launcher_lost"]
        self._minutes = spec["unattended_minutes"]
        self._records = records
        self._seen = True
        self._missing_since: float | None = None
        self._unattended_until: float | None = None

    def look(self, now: float) -> str:
        """Why the acquisition must be stopped; empty when it need not.

        Args:
            now: monotonic seconds.
        """
        if is_held(self._lock):
            if not self._seen:
                self._records.write("launcher.returned", {})
            self._seen, self._missing_since, self._unattended_until = True, None, None
            return ""
        if self._missing_since is None:
            self._missing_since = now
        if self._seen and now - self._missing_since >= LAUNCHER_GRACE_S:
            self._seen = False
            self._records.write("launcher.lost", {"policy": self._policy})
            if self._policy == "stop":
                return "the launcher was lost"
            self._unattended_until = now + 60 * self._minutes
        if self._unattended_until is not None and now >= self._unattended_until:
            self._unattended_until = None
            return f"no launcher came back within {self._minutes:g} minutes"
        return ""


class WallClock:
    """Notices that the computer's clock was set, against the one that does not jump."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def jumped_by(self) -> float | None:
        """Seconds by which it was set since the last look; None when it was not."""
        offset = time.time() - time.monotonic()
        jump = offset - self._offset
        if abs(jump) <= CLOCK_JUMP_S:
            return None
        self._offset = offset
        return jump


class SessionFiles:
    """The sizes of a session's files.

    Args:
        folder: the session folder.
        expected: names of the files in it that are expected.
    """

    def __init__(self, folder: str, expected: Iterable[str]) -> None:
        self._folder = folder
        self._expected = tuple(expected)
        self._total: int | None = None
        self._look_at = 0.0

    def free_mb(self) -> float:
        """Free space on their volume, in MB (10^6 bytes)."""
        if sys.platform == "win32":
            import shutil

            return shutil.disk_usage(self._folder).free / 1e6
        volume = os.statvfs(self._folder)
        return volume.f_bavail * volume.f_frsize / 1e6

    def expected(self) -> dict[str, int | None]:
        """The size of each expected file in bytes; None for one that is not there."""
        return {name: self._size_of(name) for name in self._expected}

    def _size_of(self, name: str) -> int | None:
        try:
            return os.stat(os.path.join(self._folder, name)).st_size  # noqa: PTH116, PTH118
        except OSError:
            return None

    def any_grew(self, now: float) -> bool:
        """Whether any file has changed its size since the last look. A folder of many files is
        looked at less often, so that this takes little of the time.

        Args:
            now: monotonic seconds.
        """
        if now < self._look_at:
            return False
        total = size_below(self._folder)
        self._look_at = time.monotonic() + FILES_SHARE * (time.monotonic() - now)
        grew = self._total not in (None, total)
        self._total = total
        return grew


def size_below(folder: str) -> int:
    """Bytes in the files of a session, but in its journal and logs, which its launcher writes."""
    total = 0
    for place, folders, names in os.walk(folder):
        if place == folder:
            folders[:] = [name for name in folders if name != "logs"]
            names = [name for name in names if name != "journal.jsonl"]
        for name in names:
            with suppress(OSError):  # a listing may hold an old size, and what is gone by now
                total += os.stat(os.path.join(place, name)).st_size  # noqa: PTH116, PTH118
    return total
