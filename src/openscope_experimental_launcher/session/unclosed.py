"""What is said of a session that was not closed by whatever needs a closed one."""

from __future__ import annotations

from ..errors import SessionError
from .folder import SessionFolder
from .state import has_launcher


def not_closed(folder: SessionFolder, words: str, *, adopted: bool = False) -> SessionError:
    """The error for a session that should be closed and is not.

    Args:
        folder: the session folder.
        words: what is said when nobody is at work on it.
        adopted: whether this process holds the session, so that no launcher of its own can.
    """
    if not adopted and has_launcher(folder.path):
        return SessionError(
            "This session is still running, or is just being closed.",
            code="session-running",
            where=str(folder.path),
            fix=f"Wait for its end, or stop it: openscope stop {folder.name}",
        )
    return SessionError(
        words,
        code="session-not-closed",
        where=str(folder.path),
        fix=f"Close it first: openscope recover {folder.path}",
    )
