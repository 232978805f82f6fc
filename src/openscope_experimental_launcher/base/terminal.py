"""What a run shows on a terminal, the same for `openscope run` and for a lab's own script."""

from __future__ import annotations

import sys
from collections.abc import Callable

from ..display.live import open_display
from ..display.waiting import can_show, waiting_screen
from ..plan import Plan
from ..session.folder import SessionFolder
from .options import Display, RunOptions


def with_display(options: RunOptions) -> RunOptions:
    """`options` for a run that is watched on standard output."""
    waiting = waiting_screen if can_show(sys.stdout) else None
    return options._replace(open_display=_open_display, open_waiting=waiting, tell=tell)


def _open_display(folder: SessionFolder, plan: Plan, on_note: Callable[[str], None]) -> Display:
    return open_display(folder, plan=plan.as_json(), on_note=on_note)


def tell(line: str) -> None:
    """Show what is going on before there is a display. On a terminal, lines of progress replace
    one another; elsewhere only what is no percentage is shown."""
    progress = "%" in line
    if sys.stdout.isatty():
        end = "" if progress else "\n"
        sys.stdout.write(f"\r\x1b[K{_short(line)}{end}")
    elif not progress:
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _short(line: str) -> str:
    import shutil

    return line[: shutil.get_terminal_size().columns - 1]
