"""How far a copy is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from .stream import SafeStream, can_draw, make_console, one_line
from .words import clock, size

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_EVERY_S = 0.1
_LINE_EVERY_S = 10.0


class HowFar(Protocol):
    """What is told of a copy; see `transfer.tally.Progress`."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def waiting(self) -> str: ...


class TransferProgress:
    """Shows how far a copy is, with its rate and the time that is left. Call it from any thread.

    Args:
        title: what is copied.
        stream: where it is shown; standard output when not given.
    """

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = SafeStream(stream or sys.stdout)
        self._drawing = can_draw(self._stream)
        self._lock = threading.Lock()
        self._next = 0.0 if self._drawing else time.monotonic() + _LINE_EVERY_S
        self._begun = time.monotonic()
        self._waiting = ""
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock, suppress(OSError):
            if self._bar is not None:
                self._bar.stop()
                self._bar = None

    def __call__(self, progress: HowFar) -> None:
        if time.monotonic() < self._next and progress.waiting == self._waiting:
            return
        if not self._lock.acquire(blocking=False):  # another thread draws
            return
        try:
            with suppress(OSError):  # nobody looks any more
                self._show(progress)
        finally:
            self._lock.release()

    def _show(self, progress: HowFar) -> None:
        if self._drawing:
            self._next = time.monotonic() + _EVERY_S
            self._draw(progress)
        else:
            self._next = time.monotonic() + _LINE_EVERY_S
            self._stream.write(self._line(progress) + "\n")
            self._stream.flush()
        self._waiting = progress.waiting

    def _draw(self, progress: HowFar) -> None:
        if self._bar is None:
            self._bar = _new_bar(self._stream)
            self._bar.start()
            self._task = self._bar.add_task(one_line(self._title), total=progress.total, why="")
        assert self._task is not None  # noqa: S101 - made with the bar
        why = f"waiting: {one_line(progress.waiting)}" if progress.waiting else ""
        self._bar.update(self._task, completed=progress.done, total=progress.total, why=why)
        self._bar.refresh()
        self._stream.flush()

    def _line(self, progress: HowFar) -> str:
        done = f"{self._title}: {size(progress.done)} of {size(progress.total)}"
        if progress.waiting:
            return f"{done}, waiting: {one_line(progress.waiting)}"
        rate = progress.done / max(time.monotonic() - self._begun, 0.001)
        left = f", {clock((progress.total - progress.done) / rate)} left" if rate else ""
        return f"{done}, {size(rate)}/s{left}"


def _new_bar(stream: SafeStream) -> Bar:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns: list[Any] = [
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[why]}", markup=False),
    ]
    return Progress(
        *columns,
        console=make_console(stream),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
