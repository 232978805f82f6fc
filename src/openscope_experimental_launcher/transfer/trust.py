"""What has arrived at a place already and was verified there, so that it need not be read again.

A line for each file in the launcher's state folder. A line is believed only while the copy, and
where it counts the original, still have the sizes and times that they had; what is not believed is
read and compared. Losing the list costs time and nothing else.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..jsonl import LineLog, read_lines


class Look(NamedTuple):
    """What a file looks like from outside."""

    size: int
    mtime_ns: int


def look_of(status: os.stat_result) -> Look:
    """The look of a file of this status."""
    return Look(status.st_size, status.st_mtime_ns)


class _Line(NamedTuple):
    source: Look
    copy: Look
    digest: str


class Trust:
    """The list of one session at one place. One process at a time may write it.

    Args:
        file: where it is kept; None keeps it nowhere.
        algorithm: of the checksums; lines of another one are passed over.
    """

    def __init__(self, file: Path | None, algorithm: str) -> None:
        self._algorithm = algorithm
        self._lines: dict[str, _Line] = {}
        self._writing = threading.Lock()
        self._log: LineLog | None = None
        if file is not None:
            self._read(file)
            with suppress(OSError):
                file.parent.mkdir(parents=True, exist_ok=True)
                self._log = LineLog(file)

    def _read(self, file: Path) -> None:
        for line in read_lines(file):
            try:
                algorithm, name, digest = line["by"], line["name"], line["digest"]
                known = _Line(Look(*line["source"]), Look(*line["copy"]), digest)
            except (KeyError, TypeError):
                continue
            if algorithm == self._algorithm:
                self._lines[name] = known

    def digest(self, name: str, source: Look, copy: Look, sealed: str) -> str:
        """The checksum of a copy that was verified before; empty when it must be read.

        Args:
            name: the file.
            source: what the original looks like.
            copy: what the copy looks like.
            sealed: the checksum that it must have; where there is one, the original's look does
                not count.
        """
        line = self._lines.get(name)
        if line is None or line.copy != copy:
            return ""
        same = line.digest == sealed if sealed else line.source == source
        return line.digest if same else ""

    def note(self, name: str, source: Look, copy: Look, digest: str) -> None:
        """Note that a copy was verified."""
        self._lines[name] = _Line(source, copy, digest)
        if self._log is not None:
            line = {"name": name, "source": source, "copy": copy, "digest": digest}
            with self._writing, suppress(OSError):  # a full disk; see above
                self._log.append({**line, "by": self._algorithm}, sync=False)

    def close(self) -> None:
        """Close the file."""
        if self._log is not None:
            self._log.close()
