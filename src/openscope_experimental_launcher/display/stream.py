"""Writing to a terminal, pipe or file that may be slow, gone, or short of characters."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TextIO, cast

from ..session.output import readable

if TYPE_CHECKING:
    from rich.console import Console

Line = Sequence[tuple[str, str]]
"""One line to show: pieces of text, each with a style as rich names them (empty for none)."""

WRITE_WAIT_S = 1.0
"""How long a stream that takes no more may keep the display waiting before it counts as gone."""

_PLAIN_SIGNS = {"…": "...", "·": "|", "─": "-", "—": "-", "✓": "ok", "✗": "x", "▏": "|", "→": "->"}


def _in_plain_signs(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_PLAIN_SIGNS.get(sign, "?") for sign in lacking), error.end


codecs.register_error("openscope.plain", _in_plain_signs)


class SafeStream:
    """A text stream that takes any text: signs its encoding lacks become plain ones.

    What is written is sent at `flush`, in one piece.

    Args:
        stream: the stream below; None (a program without a console) takes nothing.
        direct: send to a file descriptor of its own, past the stream's buffer and lock, so that a
            thread which hangs in a frozen terminal holds nothing that the program needs.
    """

    def __init__(self, stream: TextIO | None, *, direct: bool = False) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self._waiting: list[str] = []
        self._fd = _own_descriptor(stream) if direct else None

    def write(self, text: str) -> int:
        """Take in text for the next `flush`."""
        self._waiting.append(text)
        return len(text)

    def flush(self) -> None:
        """Send what was written.

        Raises:
            OSError: the stream is gone or stuck.
        """
        text, self._waiting = "".join(self._waiting), []
        if not text or self._stream is None:
            return
        data = text.encode(self.encoding, "openscope.plain")
        if self._fd is not None:
            _write_all(self._fd, data)
        elif self._stream.closed:
            raise OSError("the stream is closed")
        else:
            self._stream.write(data.decode(self.encoding))
            self._stream.flush()

    def ready(self) -> bool:
        """Whether a write would be taken now; a terminal frozen by Ctrl-S takes none."""
        return self._fd is None or _takes_more(self._fd, 0.0)

    def speaks(self, text: str) -> bool:
        """Whether the encoding has all signs of `text`."""
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and not self._stream.closed and self._stream.isatty()

    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal as they are now; 80 and 24 where they are not known."""
        try:
            columns, rows = os.get_terminal_size(self.fileno())
        except (OSError, ValueError):
            return 80, 24
        return columns or 80, rows or 24

    def fileno(self) -> int:
        """The descriptor of the stream below."""
        if self._stream is None:
            raise OSError("there is no stream")
        return self._stream.fileno()

    def close(self) -> None:
        """Let go of the descriptor of its own; the stream below stays open."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _own_descriptor(stream: TextIO | None) -> int | None:
    # A Windows console takes text only through the stream, which knows its code page.
    if stream is None or sys.platform == "win32":
        return None
    try:
        stream.flush()
        return os.dup(stream.fileno())
    except (OSError, ValueError):  # no descriptor (a test's StringIO), or closed
        return None


def _takes_more(fd: int, within_s: float) -> bool:
    import select

    return bool(select.select([], [fd], [], within_s)[1])


def _write_all(fd: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            # Another program made the terminal non-blocking, and it is slow.
            if not _takes_more(fd, WRITE_WAIT_S):
                raise


def can_draw(stream: SafeStream) -> bool:
    """Whether a stream is a terminal on which the cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def make_console(stream: SafeStream) -> Console:
    """A rich console that interprets nothing in the text it is given."""
    from rich.console import Console

    class QuietConsole(Console):
        def on_broken_pipe(self) -> None:
            # rich would end the program here; the caller decides what a lost terminal means.
            raise BrokenPipeError("the terminal is gone")

    return QuietConsole(file=cast(TextIO, stream), markup=False, emoji=False, highlight=False)


def print_lines(lines: Iterable[Line], stream: TextIO | None) -> None:
    """Print styled lines: with colours on a terminal, as plain text elsewhere.

    A stream that is gone is left in peace: there is nobody to read.
    """
    safe = SafeStream(stream)
    with contextlib.suppress(OSError):
        if safe.isatty():
            from rich.text import Text

            console = make_console(safe)
            for line in lines:
                console.print(Text.assemble(*line), soft_wrap=True)
        else:
            for line in lines:
                safe.write("".join(text for text, _ in line) + "\n")
        safe.flush()


def one_line(text: object) -> str:
    """Anything as one line that no terminal acts on."""
    lines = readable(str(text).encode("utf-8", "replace")).expandtabs(4).splitlines()
    return " ".join(line.strip() for line in lines)
