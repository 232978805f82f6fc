"""Ctrl-C and the signals that end a program, while a session runs."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_WORDS = {
    "SIGINT": "Ctrl-C",
    "SIGTERM": "the launcher was told to end",
    "SIGHUP": "the terminal was closed",
    "SIGBREAK": "Ctrl-Break",
}


def _numbers() -> list[signal.Signals]:
    names = ["SIGINT", "SIGTERM", "SIGBREAK" if sys.platform == "win32" else "SIGHUP"]
    return [signal.Signals[name] for name in names]


@contextmanager
def deliberate_end(on_end: Callable[[str], bool]) -> Iterator[None]:
    """Send the signals that end a program to `on_end` for the length of a `with` block.

    Handlers belong to the main thread; elsewhere (a lab's own threads) nothing is changed.

    Args:
        on_end: called with the reason in words. Returns whether it took care of it; if not,
            KeyboardInterrupt is raised where the program stands.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: FrameType | None) -> None:
        if not on_end(_WORDS[signal.Signals(number).name]):
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in _numbers()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
