"""Ctrl-C and whatever else ends a program deliberately, while a session runs."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

TERMINAL_CLOSED = "the terminal was closed"
"""The reason given for a terminal or console window that was closed."""

CTRL_C = "Ctrl-C"
"""The reason given for a person's Ctrl-C, the only one that says more when it comes again."""

_WORDS = {
    "SIGINT": CTRL_C,
    "SIGTERM": "the launcher was told to end",
    "SIGHUP": TERMINAL_CLOSED,
    "SIGBREAK": "Ctrl-Break",
}


def _numbers() -> list[signal.Signals]:
    names = ["SIGINT", "SIGTERM", "SIGBREAK" if sys.platform == "win32" else "SIGHUP"]
    return [signal.Signals[name] for name in names]


@contextmanager
def deliberate_end(on_end: Callable[[str], bool]) -> Iterator[None]:
    """Send what ends a program to `on_end` for the length of a `with` block.

    That is the signals, and on Windows also a closed console window and a log-off, for which the
    system waits some seconds until the block is left. Handlers belong to the main thread;
    elsewhere (a lab's own threads) nothing is changed.

    Args:
        on_end: called with the reason in words, on Windows perhaps in another thread. Returns
            whether it took care of it; if not, KeyboardInterrupt is raised where the program
            stands.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: FrameType | None) -> None:
        if not on_end(_WORDS[signal.Signals(number).name]):
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in _numbers()}
    try:
        with _system_end(on_end):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _system_end(on_end: Callable[[str], bool]) -> Iterator[None]:
    if sys.platform != "win32":
        yield
        return
    from .system_end import system_end

    def tell(reason: str) -> None:
        if not on_end(reason):
            _thread.interrupt_main()

    with system_end(tell, TERMINAL_CLOSED):
        yield
