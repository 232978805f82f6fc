"""What is made of a closed session when nobody waits any more: its standard metadata, its report,
and then its copies.

They are made by a process of its own, of low priority, that outlives the launcher: neither the
operator nor the next session waits for it, and if it fails, nothing of the session is touched. Then
`openscope metadata`, `openscope report` and `openscope catch-up` make them.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path

from .commands import start_detached
from .metadata.aind import is_installed
from .session.state import state_folder
from .transfer.flags import flags
from .transfer.queue import jobs

_LOG_BYTES = 1_000_000


def begin_afterwards(session_folder: Path, *, metadata: bool, report: bool) -> None:
    """Begin it for a closed session, and return at once. What it says goes to `afterwards.log` in
    the launcher's state folder.

    Args:
        session_folder: absolute path of the session folder.
        metadata: whether to make the standard metadata, where the library for it is.
        report: whether to make the report.
    """
    copies = bool(jobs(session_folder) or flags(session_folder))
    if not report and not (metadata and is_installed()) and not copies:
        return
    parts = (("metadata", metadata), ("report", report), ("copies", copies))
    wanted = [name for name, asked in parts if asked]
    module = f"{__package__}.cli.afterwards"
    command = [sys.executable, "-P", "-m", module, str(session_folder), *wanted]
    log = state_folder() / "afterwards.log"
    with suppress(OSError):  # they can be made at any time
        if log.is_file() and log.stat().st_size > _LOG_BYTES:
            log.unlink()
        process = start_detached(command, log)
        # Nobody needs its end; but what is not waited for leaves a trace in the system's table.
        threading.Thread(target=process.wait, daemon=True).start()
