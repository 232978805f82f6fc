"""Reading what an acquisition printed: the end of its files, made safe to show."""

from __future__ import annotations

import re
from pathlib import Path

_CONTROLS = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def readable(data: bytes) -> str:
    """Bytes of a program as text that no terminal acts on: control sequences are removed, and
    what is no UTF-8 is shown as replacement characters."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROLS.sub("", text)


def tail(path: Path, max_bytes: int = 65536) -> str:
    """The last part of an output file, from the beginning of a line where there is one."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(size - max_bytes, 0))
            data = stream.read(max_bytes)
    except OSError:
        return ""
    if size > max_bytes and b"\n" in data:
        data = data[data.index(b"\n") + 1 :]
    return readable(data)


class OutputFollower:
    """Follows a growing output file in bounded memory.

    Args:
        path: the file; need not exist yet.
        max_bytes: what is read at a time; when more has come, the part before it is skipped.
    """

    def __init__(self, path: Path, max_bytes: int = 16384) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self._offset = 0
        self._rest = b""

    def new_lines(self, *, final: bool = False) -> tuple[list[str], int]:
        """Lines that came since the last call, and how many bytes before them were skipped.

        Args:
            final: give out the last line too when no newline ends it.
        """
        try:
            with self.path.open("rb") as stream:
                size = stream.seek(0, 2)
                skipped = max(size - self._offset - self.max_bytes, 0)
                stream.seek(self._offset + skipped)
                data = stream.read(self.max_bytes)
        except OSError:
            return [], 0
        self._offset += skipped + len(data)
        if skipped:
            self._rest, data = b"", data[data.find(b"\n") + 1 :]
        data = self._rest + data
        cut = len(data) if final else data.rfind(b"\n") + 1
        if cut == 0 and len(data) > self.max_bytes:  # a line without an end
            cut = len(data)
        data, self._rest = data[:cut], data[cut:]
        return readable(data).splitlines(), skipped
