"""What the guard writes: its own journal, and the times of the child's output.

Standard library only.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from openscope_experimental_launcher.jsonl import LineLog, read_lines

_NEW_FILE = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
)
RESERVE_BYTES = 256 * 1024

if sys.platform == "win32":
    from openscope_experimental_launcher.supervision.tree_windows import open_output
else:

    def open_output(path: Path) -> int:
        """A new file for the child's output, to which everybody appends."""
        return os.open(path, _NEW_FILE, 0o644)


class OutputFile:
    """One of the child's output files: the child writes it, the guard only looks at its size.

    Args:
        path: the file; made here.
        fallen: whether a guard that was killed has made it.
    """

    def __init__(self, path: Path, *, fallen: bool = False) -> None:
        times = path.with_suffix(".times")
        self.fd = _open_again(path) if fallen else open_output(path)
        self.size = 0
        times_fd = _open_again(times) if fallen else os.open(times, _NEW_FILE, 0o644)
        self._times: int | None = times_fd if times_fd >= 0 else None

    def grew(self) -> bool:
        """Note the present size with its time; whether it changed since the last call."""
        try:
            size = os.fstat(self.fd).st_size
        except OSError:
            return False
        if size == self.size:
            return False
        self.size = size
        if self._times is not None:
            try:
                os.write(self._times, b"%d\t%.3f\n" % (size, time.time()))
            except OSError:
                os.close(self._times)
                self._times = None  # the disk is full or gone: the times are lost, not the output
        return True


def _open_again(path: Path) -> int:
    """A file that a killed guard had open; -1 when it is gone, which reads as a file that rests."""
    try:
        return os.open(path, _NEW_FILE & ~(os.O_CREAT | os.O_EXCL))
    except OSError:
        return -1


class Records:
    """The guard's own journal, with room kept back for the moment when the disk is full.

    Attributes:
        earlier: what a guard that was killed has recorded.
    """

    def __init__(self, folder: Path) -> None:
        self.earlier = list(read_lines(folder / "guard.jsonl"))
        self._log = LineLog(folder / "guard.jsonl", mode=0o600)
        self._reserve = folder / "reserve"
        with suppress(OSError):  # no room for it any more: a guard that takes over must go on
            self._reserve.write_bytes(bytes(RESERVE_BYTES))
        self._sequence = self.earlier[-1]["seq"] if self.earlier else 0

    def of(self, name: str) -> list[dict[str, Any]]:
        """The earlier records of one name."""
        return [record for record in self.earlier if record["name"] == name]

    def write(self, name: str, data: dict[str, Any], *, sync: bool = True) -> None:
        self._sequence += 1
        record = {
            "seq": self._sequence,
            "time": iso_now(),
            "mono": round(time.monotonic(), 6),
            "name": name,
            "data": data,
        }
        try:
            self._log.append(record, sync=sync)
        except OSError:
            self._reserve.unlink(missing_ok=True)
            try:
                self._log.append(record, sync=sync)
            except OSError as error:
                # Nothing is left to write to; the acquisition must go on being watched.
                complain(f"record lost: {record}: {error}")


def iso_now() -> str:
    """Local wall time with milliseconds and offset, ISO 8601."""
    now = time.time()
    local = time.localtime(now)
    offset = time.strftime("%z", local)
    milliseconds = int(now * 1000) % 1000
    return (
        f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{milliseconds:03d}{offset[:3]}:{offset[3:]}"
    )


def complain(words: str) -> None:
    """The last resort: the guard's own error output, a file in the run folder."""
    sys.stderr.write(f"guard: {words}\n")
    sys.stderr.flush()
