"""Pictures of terminals: a program runs in a real pseudo terminal, and its screen becomes SVG."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pexpect
import pyte
from pyte.screens import Char

_CELL_W, _CELL_H, _PAD, _BAR = 8.4, 19.0, 14.0, 26.0
_BACKGROUND, _FOREGROUND = "#1c2128", "#d0d7de"
_COLOURS = {
    "black": "#545d68",
    "red": "#ff7b72",
    "green": "#57ab5a",
    "brown": "#d4a72c",
    "blue": "#6cb6ff",
    "magenta": "#dcbdfb",
    "cyan": "#39c5cf",
    "white": "#d0d7de",
}
_DIM = "#8b949e"
_FAINT = re.compile(rb"\x1b\[2m")


class Terminal:
    """A pseudo terminal in which a program runs.

    Args:
        command: the program and its arguments.
        folder: where it is started.
        environment: its variables.
        columns: width of the terminal.
        rows: height of the terminal.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        columns: int = 100,
        rows: int = 40,
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self._program = pexpect.spawn(
            command[0],
            list(command[1:]),
            cwd=str(folder),
            env={**environment, "TERM": "xterm-256color"},
            dimensions=(rows, columns),
            timeout=None,
        )

    def until(self, seen: str | Callable[[str], bool], *, limit_s: float = 120) -> None:
        """Let the program go on until its screen shows this.

        Raises:
            TimeoutError: it did not in `limit_s` seconds.
            EOFError: it ended before.
        """
        shows = seen if callable(seen) else (lambda screen: seen in screen)
        deadline = time.monotonic() + limit_s
        while not shows(self.text()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the screen never showed {seen}:\n{self.text()}")
            if not self._take():
                if shows(self.text()):
                    return
                raise EOFError(f"ended before {seen}:\n{self.text()}")

    def watch(self, seconds: float) -> None:
        """Let the program go on for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._take():
            pass

    def type(self, keys: str) -> None:
        """Press these keys."""
        self._program.send(keys)

    def end(self) -> int:
        """Wait for the program's end; returns its exit code."""
        while self._take():
            pass
        self._program.close()
        return int(self._program.exitstatus or 0)

    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(self.screen.display)

    def _take(self) -> bool:
        try:
            # pyte knows no faint text; it is italic here, which the launcher never prints.
            arrived = self._program.read_nonblocking(65536, timeout=0.1)
            self._stream.feed(_FAINT.sub(b"\x1b[3m", arrived))
        except pexpect.TIMEOUT:
            pass
        except pexpect.EOF:
            return False
        return True


def svg(screen: pyte.Screen, title: str, command: str = "") -> str:
    """The screen as SVG: what is on it, in its colours, without the empty rows at its end.

    Args:
        screen: the screen.
        title: what the picture shows, for those who cannot see it.
        command: what was typed, as a first line.
    """
    rows = [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]
    while rows and not "".join(char.data for char in rows[-1]).strip():
        rows.pop()
    if command:
        prompt = Char("$", fg="green", bold=True)
        rows.insert(0, [prompt, *(Char(letter, bold=True) for letter in f" {command}")])
    width = screen.columns * _CELL_W + 2 * _PAD
    height = len(rows) * _CELL_H + 2 * _PAD + _BAR
    dots = "".join(
        f'<circle cx="{_PAD + 5 + 18 * n:g}" cy="17" r="5.5" fill="{colour}"/>'
        for n, colour in enumerate(("#f47067", "#daaa3f", "#57ab5a"))
    )
    body = "\n".join(piece for y, row in enumerate(rows) for piece in _row(row, y))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" font-size="14" '
        "font-family=\"'DejaVu Sans Mono',Menlo,Consolas,monospace\">\n"
        f"<title>{html.escape(title)}</title>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{_BACKGROUND}"/>{dots}\n{body}\n</svg>\n'
    )


def _row(row: Sequence[Char], y: int) -> Iterator[str]:
    top = y * _CELL_H + _PAD + _BAR
    x = 0
    for style, chars in groupby(row, key=lambda char: char._replace(data="")):
        text = "".join(char.data for char in chars)
        left, wide = x * _CELL_W + _PAD, len(text) * _CELL_W
        x += len(text)
        ink, paper = _colour(style.fg, _FOREGROUND), _colour(style.bg, _BACKGROUND)
        if style.reverse:
            ink, paper = paper, ink
        if style.italics:
            ink = _DIM
        if paper != _BACKGROUND:
            yield (
                f'<rect x="{left:g}" y="{top:g}" width="{wide:g}" height="{_CELL_H:g}" '
                f'fill="{paper}"/>'
            )
        if word := text.strip():
            left += (len(text) - len(text.lstrip())) * _CELL_W
            bold = ' font-weight="bold"' if style.bold else ""
            kept = html.escape(word).replace(" ", "\u00a0")  # a row of blanks would become one
            yield (
                f'<text x="{left:g}" y="{top + 14:g}" textLength="{len(word) * _CELL_W:g}" '
                f'fill="{ink}"{bold}>{kept}</text>'
            )


def _colour(name: str, default: str) -> str:
    if name == "default":
        return default
    return _COLOURS.get(name.removeprefix("bright"), f"#{name}")
