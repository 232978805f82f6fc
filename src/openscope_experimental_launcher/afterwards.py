"""What is made of a closed session when nobody waits any more: its report.

It is made by a process of its own, of low priority, that outlives the launcher: neither the
operator nor the next session waits for it, and if it fails, nothing of the session is touched. Then
`openscope report` makes the report.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from .commands import start_detached
from .session.state import state_folder

_LOG_BYTES = 1_000_000


def begin_afterwards(session_folder: Path) -> None:
    """Begin it for a closed session, and return at once. What it says goes to `afterwards.log` in
    the launcher's state folder."""
    log = state_folder() / "afterwards.log"
    command = [sys.executable, "-P", "-m", __package__, "report", str(session_folder)]
    with suppress(OSError):  # a report can be made at any time
        if log.is_file() and log.stat().st_size > _LOG_BYTES:
            log.unlink()
        process = start_detached(command, log)
        process.returncode = 0  # it is not waited for, and that is no mistake
