"""The display on a terminal: one picture, redrawn in place a few times a second."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .aside import Asides
from .frame import TALLEST, draw, keys_line, typing_line
from .keys import Keyboard, NoteLine
from .stream import Line, SafeStream, make_console, one_line
from .thread import Display
from .view import SessionView

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

QUIET_INTERVAL_S = 0.25
TYPING_INTERVAL_S = 0.05

_LONGEST_LINE = 500
_STYLES = {"stdout": "", "stderr": "red"}


class TerminalDisplay(Display):
    """Draws the session and takes notes.

    Args:
        view: what is shown.
        stream: the terminal.
        plan: the session's plan, as JSON.
        keyboard: where keys come from; None for none.
        on_note: takes a note that was typed.
    """

    def __init__(
        self,
        view: SessionView,
        stream: SafeStream,
        *,
        plan: Mapping[str, Any],
        keyboard: Keyboard | None,
        on_note: Callable[[str], None] | None,
    ) -> None:
        super().__init__(view, stream, interval_s=QUIET_INTERVAL_S)
        self._plan = plan
        self._keyboard = keyboard
        self._on_note = on_note
        self._note: NoteLine | None = None
        self._trouble = ""
        self._output: deque[Line] = deque(maxlen=TALLEST)
        self._console: Console | None = None
        self._live: Live | None = None
        self._drawn: list[Line] = []
        self._size = (0, 0)
        self._asides = Asides()

    # -- the terminal ------------------------------------------------------------------------------

    def _open(self) -> None:
        from rich.live import Live

        self._console = self._console or make_console(self.stream)
        self._drawn, self._size = [], (0, 0)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()
        self._asides.open()
        if self._keyboard is not None:
            self._keyboard.open()

    def _close(self) -> None:
        if self._keyboard is not None:
            self._keyboard.close()
        self._draw(footer=[])
        self._stop_live()
        self._asides.close(tell=True)

    def _finish(self) -> None:
        self._take_in(final=True)
        self._close()

    def _stop_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _release(self) -> None:
        if self._keyboard is not None:
            self._keyboard.close()
        if threading.current_thread() is self._thread:
            with contextlib.suppress(OSError):
                self._stop_live()
        self._asides.close(tell=self.stream.ready())

    # -- the picture -------------------------------------------------------------------------------

    def _show(self) -> None:
        self._take_in()
        self._take_keys()
        self._draw(footer=self._footer())

    def _take_in(self, *, final: bool = False) -> None:
        for output in self.view.look(final=final).output:
            style = _STYLES[output.stream]
            for line in output.lines[-TALLEST:]:
                self._output.append([(" " + line.expandtabs(4)[:_LONGEST_LINE], style)])

    def _draw(self, *, footer: list[Line]) -> None:
        if self._console is None or self._live is None or not self.stream.ready():
            return
        from rich.text import Text

        width, height = self.stream.size()
        picture = draw(self.view, self._plan, self._output, footer, width=width, height=height)
        asides = self._asides.lines()
        if not asides and picture == self._drawn and (width, height) == self._size:
            return
        self._console.size = (width, height)  # rich would rather believe a stale COLUMNS
        if self._size not in ((0, 0), (width, height)):
            self._console.clear()  # a terminal that was resized has moved what stood on it
        self._drawn, self._size = picture, (width, height)
        self._live.update(self._as_text(picture), refresh=not asides)
        if asides:
            self._console.print(*map(Text.from_ansi, asides), sep="\n")

    def _as_text(self, picture: list[Line]) -> Text:
        from rich.text import Text

        text = Text("\n").join(Text.assemble(*line) for line in picture)
        text.no_wrap = True
        text.overflow = "ellipsis" if self.stream.speaks("…") else "crop"
        return text

    # -- notes -------------------------------------------------------------------------------------

    def _footer(self) -> list[Line]:
        if self._note is not None:
            return [typing_line(self._note.text, self._size[0] or 80)]
        if self._trouble:
            return [[(f" {self._trouble}", "bold red")]]
        return [keys_line(self._plan, notes=self._keyboard is not None)]

    def _take_keys(self) -> None:
        typed = self._keyboard.read() if self._keyboard is not None else ""
        if self._note is None and typed[:1] in ("n", "N"):
            self._note, self._trouble, typed = NoteLine(), "", typed[1:]
        if self._note is not None:
            end = self._note.feed(typed)
            if end != "typing":
                text, self._note = self._note.text.strip(), None
                if end == "done" and text:
                    self._save(text)
        self.interval_s = QUIET_INTERVAL_S if self._note is None else TYPING_INTERVAL_S

    def _save(self, text: str) -> None:
        if self._on_note is None:
            return
        try:
            self._on_note(text)
        except OSError as error:
            self._trouble = f"The note was not saved: {one_line(error)}"
