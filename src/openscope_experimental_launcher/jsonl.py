"""Append-only files of one JSON object a line, safe against crashes at any byte.

Standard library only: the session's journal and the guard's own small journal are both kept with
it. A line is acknowledged when `append` returns. A line torn by a crash is ignored on reading and
fenced off by the next writer with a newline, so that it can never swallow the line after it.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_APPEND = (
    os.O_RDWR
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
_fdatasync = getattr(os, "fdatasync", os.fsync)


class LineLog:
    """The writer of one JSON-lines file. There must be only one at a time.

    Args:
        path: the file; created when it is not there.
        mode: permission bits for a new file.
    """

    def __init__(self, path: Path, *, mode: int = 0o644) -> None:
        self.path = path
        self._fd = os.open(path, _APPEND, mode)
        self._torn = self._ends_torn()

    def append(self, record: dict[str, Any], *, sync: bool) -> None:
        """Write one line.

        Args:
            record: a JSON object; must not hold NaN or infinities.
            sync: return only when the line is on the disk.

        Raises:
            OSError: the disk is full or gone, or (looked at with `sync`) the file was deleted;
                what came before is intact.
        """
        if sync and not self.in_place():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
        line = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        if self._torn:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        finally:
            if written:
                self._torn = written < len(data)
        if sync:
            _fdatasync(self._fd)

    def in_place(self) -> bool:
        """Whether the file that is written is still the one that a reader would find."""
        if sys.platform == "win32":
            return True  # an open file cannot be deleted there
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._fd))
        except OSError:
            return False

    def written(self) -> bytes:
        """Everything in the file, also when it was deleted."""
        size = os.lseek(self._fd, 0, os.SEEK_END)
        os.lseek(self._fd, 0, os.SEEK_SET)
        return os.read(self._fd, size)

    def close(self) -> None:
        """Close the file; appending afterwards is an error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _ends_torn(self) -> bool:
        size = os.lseek(self._fd, 0, os.SEEK_END)
        if size == 0:
            return False
        os.lseek(self._fd, size - 1, os.SEEK_SET)
        return os.read(self._fd, 1) != b"\n"


def parse_lines(data: bytes) -> Iterator[dict[str, Any]]:
    """The records in `data`; torn, blank and foreign lines are passed over."""
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode())  # faster than letting it guess the encoding
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            yield record


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file that may have been cut at any byte; none when it is not there."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    yield from parse_lines(data)


class LineFollower:
    """Reads the records of a growing file as they arrive, each once.

    Args:
        path: the file; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new_records(self) -> list[dict[str, Any]]:
        """The whole records added since the last call."""
        try:
            # Most looks find nothing new, and this tells for a fraction of opening the file.
            if os.stat(self.path).st_size == self._offset:  # noqa: PTH116 - many times a second
                return []
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except FileNotFoundError:
            return []
        end = data.rfind(b"\n") + 1
        self._offset += end
        return list(parse_lines(data[:end]))
