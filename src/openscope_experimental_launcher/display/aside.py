"""What the program itself prints while a picture is on the terminal."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from typing import Any, TextIO, cast


class Asides:
    """Takes the place of the program's terminal streams and keeps what is printed, for the
    display's thread to put above the picture.

    Whoever prints never waits for the terminal, and no two threads write to it at once. A stream
    that is not a terminal (a log file) is left alone.
    """

    def __init__(self) -> None:
        self._said: deque[str] = deque()
        self._rest = ""
        self._before: tuple[TextIO, TextIO] | None = None

    def open(self) -> None:
        """Take the place of `sys.stdout` and `sys.stderr`."""
        self._before = (sys.stdout, sys.stderr)
        if _is_terminal(sys.stdout):
            sys.stdout = cast(TextIO, _Aside(sys.stdout, self))
        if _is_terminal(sys.stderr):
            sys.stderr = cast(TextIO, _Aside(sys.stderr, self))

    def keep(self, text: str) -> bool:
        """Take text in; False when there is no picture to put it above."""
        if self._before is None:
            return False
        self._said.append(text)
        return True

    def lines(self) -> list[str]:
        """Whole lines that were printed since the last call."""
        text = self._rest + self._take()
        *whole, self._rest = text.split("\n")
        return whole

    def close(self, *, tell: bool) -> None:
        """Give the streams back. May be called again.

        Args:
            tell: print what has not been shown; not for a terminal that is frozen.
        """
        before, self._before = self._before, None
        if before is None:
            return
        if isinstance(sys.stdout, _Aside):
            sys.stdout = before[0]
        if isinstance(sys.stderr, _Aside):
            sys.stderr = before[1]
        left, self._rest = self._rest + self._take(), ""
        if left and tell:
            with contextlib.suppress(OSError, ValueError):  # the terminal is gone
                before[0].write(left)
                before[0].flush()

    def _take(self) -> str:
        return "".join(self._said.popleft() for _ in range(len(self._said)))


class _Aside:
    """Outlives the picture in the hands of whoever took it (a logging handler): then it passes
    everything on."""

    def __init__(self, below: TextIO, asides: Asides) -> None:
        self._below = below
        self._asides = asides

    def write(self, text: str) -> int:
        if not self._asides.keep(text):
            self._below.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        if not self._asides.keep(""):
            self._below.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()
