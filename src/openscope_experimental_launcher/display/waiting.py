"""Who is missing, while the computers of one session wait for one another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from .keys import Keyboard, find_keyboard
from .stream import Line, SafeStream, can_draw, make_console, one_line
from .words import clock

if TYPE_CHECKING:
    from rich.live import Live

    from ..sync import OnWait, Waiting


def in_one_line(state: Waiting) -> str:
    """What is waited for, in one line that changes only when something happened."""
    missing = ", ".join(state.missing) or "the decision"
    here = f"; here: {', '.join(state.here)}" if state.here else ""
    trouble = f" {state.trouble}" if state.trouble else ""
    return one_line(f"Waiting for {missing} ({state.place}{here}).{trouble}")


@contextmanager
def waiting_screen(stream: TextIO | None = None) -> Iterator[OnWait]:
    """Show on a terminal who is missing, and take the key with which the operator goes on.

    Args:
        stream: the terminal; standard output when not given.
    """
    from rich.live import Live

    safe = SafeStream(stream or sys.stdout, direct=True)
    keyboard = find_keyboard(sys.stdin)
    live = Live(
        console=make_console(safe),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    live.start()
    if keyboard is not None:
        keyboard.open()
        keyboard.read()  # what was typed before there was anything to read
    try:
        yield _Screen(safe, live, keyboard).show
    finally:
        if keyboard is not None:
            keyboard.close()
        live.stop()
        safe.close()


def can_show(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal that the screen can be drawn on."""
    return can_draw(SafeStream(stream))


class _Screen:
    """The picture, and the two keys that go on without the missing computers."""

    def __init__(self, stream: SafeStream, live: Live, keyboard: Keyboard | None) -> None:
        self._stream = stream
        self._live = live
        self._keyboard = keyboard
        self._asking = False
        self._drawn: list[Line] = []

    def show(self, state: Waiting) -> bool:
        """Draw the state. True when the operator goes on without those who are missing."""
        typed = self._keyboard.read().lower() if self._keyboard is not None else ""
        for key in typed if state.may_go_on else "":
            if self._asking and key == "y":
                return True
            self._asking = key == "g"
        self._asking = self._asking and state.may_go_on
        self._draw(waiting_lines(state, asking=self._asking, keys=self._keyboard is not None))
        return False

    def _draw(self, picture: list[Line]) -> None:
        if picture == self._drawn or not self._stream.ready():
            return
        from rich.text import Text

        self._drawn = picture
        self._live.console.size = self._stream.size()  # rich would rather believe a stale COLUMNS
        text = Text("\n").join(Text.assemble(*line) for line in picture)
        text.no_wrap, text.overflow = True, "crop"
        self._live.update(text, refresh=True)


def waiting_lines(state: Waiting, *, asking: bool, keys: bool) -> list[Line]:
    """The picture of who is missing.

    Args:
        state: what there is to see.
        asking: whether it was asked to go on without the missing computers.
        keys: whether keys can be pressed.
    """
    what = f"{state.role} {state.node}, {state.place}"
    lines: list[Line] = [
        [],
        [("  One session, several computers   ", "bold"), (one_line(what), "dim")],
    ]
    rows = [("here", name, "green") for name in state.here]
    rows += [("missing", name, "yellow") for name in state.missing]
    lines += [[(f"  {label:<10}", "dim"), (one_line(name), style)] for label, name, style in rows]
    if state.trouble:
        lines.append([("  " + one_line(state.trouble), "red")])
    hints = _hints(state, asking=asking, keys=keys)
    lines += [[("  " + hint, "dim")] for hint in (f"{clock(state.left_s)} left", *hints)]
    return lines


def _hints(state: Waiting, *, asking: bool, keys: bool) -> list[str]:
    if asking:
        return ["Go on without them? y goes on, any other key waits"]
    if state.may_go_on and keys:
        return ["g goes on without them  ·  Ctrl-C leaves"]
    return [
        "Ctrl-C leaves; to be able to go on without them, run with",
        "--set session_sync_allow_bypass=true",
    ]
