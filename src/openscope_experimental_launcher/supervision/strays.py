"""Processes of a run whose guard was killed: they are found by the cookie in their environment.

On Windows there are none: the job object dies with the guard, and the tree with it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from ..errors import Finding
from ..session.journal import Journal, finding_event
from .spawn import COOKIE

_LOOK_S = 0.25


def marked_processes(run: str) -> list[int]:
    """Pids of the living processes that carry a run's cookie."""
    if sys.platform == "win32":
        return []
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(COOKIE) == run and process.status() != "zombie"
        except (psutil.Error, OSError):
            continue
        if marked and process.pid != os.getpid():
            found.append(process.pid)
    return found


def wait_for_strays(run: str, journal: Journal) -> None:
    """Block until nothing of a run lives that its guard left behind.

    An animal's session cannot be repeated, so what still runs is left running, and said.
    """
    strays = marked_processes(run)
    if not strays:
        return
    words = "The acquisition lost its guard and goes on by itself; its exit will be unknown."
    where = "processes " + ", ".join(map(str, strays))
    finding = Finding("warning", "acquisition-unguarded", words, where=where)
    journal.record(finding_event("acquisition", finding))
    while marked_processes(run):
        time.sleep(_LOOK_S)


def end_strays(run: str, *, by_force: bool) -> None:
    """Ask every process that a guard left behind to end, or make it."""
    if sys.platform == "win32":
        return
    for pid in marked_processes(run):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL if by_force else signal.SIGTERM)
