"""Reading single keys from the terminal, and the one-line editor for notes."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
from typing import Any, Literal, Protocol, TextIO

ENTER, ESCAPE, BACKSPACE = "\r\n", "\x1b", "\x08\x7f"
MAX_NOTE = 1000

_KEY_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O.|[^\x1b\[O])")


class Keyboard(Protocol):
    """Keys as they are pressed. Ctrl-C goes on to interrupt the program."""

    def open(self) -> None:
        """Switch to single keys without echo."""

    def read(self) -> str:
        """What was typed since the last call; never waits."""

    def close(self) -> None:
        """Restore the terminal as it was; from any thread, any number of times."""


def find_keyboard(stdin: TextIO | None) -> Keyboard | None:
    """The keyboard behind `stdin`; None when it is no terminal."""
    if stdin is None or stdin.closed or not stdin.isatty():
        return None
    if sys.platform == "win32":
        return WindowsKeyboard()
    else:  # noqa: RET505 - so that a type checker skips it on Windows
        return PosixKeyboard(stdin.fileno())


if sys.platform == "win32":

    class WindowsKeyboard:
        """The keys of a Windows console, which needs no switching."""

        def open(self) -> None:
            """Nothing to switch."""

        def read(self) -> str:
            import msvcrt

            typed = ""
            while msvcrt.kbhit():
                key = msvcrt.getwch()
                if key in ("\x00", "\xe0"):  # arrows and function keys come as two
                    msvcrt.getwch()
                else:
                    typed += key
            return typed

        def close(self) -> None:
            """Nothing to restore."""

else:
    import select
    import termios

    class PosixKeyboard:
        """The keys of a POSIX terminal in cbreak mode, with its signals kept.

        Args:
            fd: descriptor of the terminal.
        """

        def __init__(self, fd: int) -> None:
            self._fd = fd
            self._before: list[Any] | None = None
            self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

        def open(self) -> None:
            if self._before is not None or not self._in_foreground():
                return
            with contextlib.suppress(termios.error):
                before = termios.tcgetattr(self._fd)
                single = [*before]
                single[3] &= ~(termios.ICANON | termios.ECHO)
                self._before = before
                termios.tcsetattr(self._fd, termios.TCSANOW, single)

        def read(self) -> str:
            if self._before is None or not self._in_foreground():
                return ""
            if not select.select([self._fd], [], [], 0)[0]:
                return ""
            return self._decoder.decode(os.read(self._fd, 1024))

        def close(self) -> None:
            before, self._before = self._before, None
            # In the background the terminal is the shell's, and touching it would stop us.
            if before is not None and self._in_foreground():
                with contextlib.suppress(termios.error):  # the terminal is gone
                    # NOW, not DRAIN, which would wait for a frozen terminal.
                    termios.tcsetattr(self._fd, termios.TCSANOW, before)

        def _in_foreground(self) -> bool:
            try:
                return os.tcgetpgrp(self._fd) == os.getpgrp()
            except OSError:
                return False


class NoteLine:
    """A line of text being typed.

    Attributes:
        text: what it says so far.
    """

    def __init__(self) -> None:
        self.text = ""

    def feed(self, typed: str) -> Literal["typing", "done", "cancelled"]:
        """Take in keys; those after Enter or Esc are dropped, so that a pasted text of many lines
        cannot become commands."""
        for key in _KEY_SEQUENCE.sub("", typed):
            if key in ENTER:
                return "done"
            if key == ESCAPE:
                return "cancelled"
            if key in BACKSPACE:
                self.text = self.text[:-1]
            elif key.isprintable() and len(self.text) < MAX_NOTE:
                self.text += key
        return "typing"
