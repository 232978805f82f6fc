"""The life of a display: a thread of its own that only reads, and that can hang or die alone."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable
from typing import Literal

from .stream import SafeStream
from .view import SessionView

PATIENCE_S = 2.0
"""How long the session waits for its display to pause or to end; then it goes on without it."""

State = Literal["new", "showing", "paused", "stopped"]

_log = logging.getLogger("openscope.display")
_log.addHandler(logging.NullHandler())  # never to the terminal by logging's last resort


class Display:
    """Shows a running session. Subclasses say how.

    All reading and writing is done by the display's own thread. When the terminal goes away the
    display ends by itself, without a word; when it has a fault, the fault goes to the log
    `openscope.display`. Neither reaches the session.

    Args:
        view: what is shown.
        stream: where.
        interval_s: seconds between two looks at the session; may be changed while it runs.
    """

    def __init__(self, view: SessionView, stream: SafeStream, *, interval_s: float) -> None:
        self.view = view
        self.stream = stream
        self.interval_s = interval_s
        self._wanted: State = "new"
        self._reached: State = "new"
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="display", daemon=True)
        self._unhook: Callable[[], None] = lambda: None

    # -- for the session ---------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to show the session. Returns at once."""
        if self._wanted == "new":
            self._unhook = log_failures_of(self._thread)
            self._wanted = "showing"
            atexit.register(self.stop)
            self._thread.start()

    def pause(self) -> None:
        """Leave the terminal to somebody else (an interactive step) until `resume`."""
        self._bring_to("paused")

    def resume(self) -> None:
        """Take the terminal back."""
        self._bring_to("showing")

    def stop(self) -> None:
        """Show the last news and give the terminal back as it was. May be called again."""
        try:
            self._bring_to("stopped")
        finally:
            self._release()
            self._unhook()
            atexit.unregister(self.stop)
        if not self.alive:
            self.stream.close()

    def __enter__(self) -> Display:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether it still shows anything."""
        return self._thread.is_alive()

    def _bring_to(self, state: State) -> None:
        with self._change:
            if self._wanted not in ("showing", "paused"):
                return
            self._wanted = state
            self._change.notify_all()
            self._change.wait_for(lambda: self._reached in (state, "stopped"), PATIENCE_S)

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wanted != "stopped":
                self._open()
                self._arrive("showing")
                while self._wanted == "showing":
                    began = time.monotonic()
                    self._show()
                    self._sleep_while("showing", began + self.interval_s - time.monotonic())
                if self._wanted == "paused":
                    self._close()
                    self._arrive("paused")
                    self._sleep_while("paused", None)
            self._finish()
        except OSError as error:
            _log.info("the display ended: its stream is gone: %s", error)
        finally:
            self._release()
            self.stream.close()
            self._arrive("stopped")

    def _arrive(self, state: State) -> None:
        with self._change:
            self._reached = state
            self._change.notify_all()

    def _sleep_while(self, state: State, seconds: float | None) -> None:
        with self._change:
            self._change.wait_for(lambda: self._wanted != state, seconds)

    # -- for subclasses ----------------------------------------------------------------------------

    def _open(self) -> None:
        """Prepare the terminal, at the start and after each pause."""

    def _show(self) -> None:
        """Look at the session once and show what is new."""
        raise NotImplementedError

    def _close(self) -> None:
        """Leave the terminal in order, for a pause."""

    def _finish(self) -> None:
        """Show the last news and leave the terminal in order."""
        raise NotImplementedError

    def _release(self) -> None:
        """Restore what was changed of the terminal and the program; from any thread, any number of
        times, also while the display's own thread hangs in a write."""


def log_failures_of(thread: threading.Thread) -> Callable[[], None]:
    """Send an exception that ends `thread` to the log instead of the terminal.

    Returns:
        A function that takes the hook away again, unless somebody has put another above it.
    """
    previous = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        if failure.thread is not thread:
            previous(failure)
        elif failure.exc_value is not None:
            _log.error("the display failed; the session goes on", exc_info=failure.exc_value)

    def unhook() -> None:
        if threading.excepthook is hook and not thread.is_alive():
            threading.excepthook = previous

    threading.excepthook = hook
    return unhook
