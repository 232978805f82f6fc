"""The live display of a session: on a terminal if there is one, in plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from ..session.folder import SessionFolder
from .keys import find_keyboard
from .stream import SafeStream, can_draw
from .thread import Display
from .view import SessionView


def open_display(
    folder: SessionFolder,
    *,
    plan: Mapping[str, Any],
    on_note: Callable[[str], None] | None = None,
    stream: TextIO | None = None,
) -> Display:
    """The display that suits a stream, not started yet.

    Args:
        folder: the session's folder; its journal is followed.
        plan: the session's plan as `Plan.as_json` gives it.
        on_note: takes a note that the operator typed, called from the display's thread; None to
            offer no notes.
        stream: where to show; standard output when not given.
    """
    view = SessionView(folder)
    safe = SafeStream(stream or sys.stdout, direct=True)
    if can_draw(safe):
        from .terminal import TerminalDisplay

        keyboard = find_keyboard(sys.stdin) if on_note else None
        return TerminalDisplay(view, safe, plan=plan, keyboard=keyboard, on_note=on_note)
    from .plain import PlainDisplay

    return PlainDisplay(view, safe)
