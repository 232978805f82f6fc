"""What lives of a run, with its guard or without.

Processes of a run whose guard was killed are found by the cookie in their environment.

On Windows there are none: the job object dies with the guard, and the tree with it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Finding
from ..session.journal import Journal, finding_event
from .spawn import COOKIE
from .supervisor import guard_lives, read_spec, request_from_guard

if TYPE_CHECKING:
    import psutil

_LOOK_S = 0.25


def live_runs(runs_folder: Path) -> list[dict[str, Any]]:
    """The specs of the runs of which anything lives at this moment on this machine."""
    return [
        read_spec(spec_file)
        for spec_file in runs_folder.glob("*/spec.json")
        if run_lives(spec_file.parent)
    ]


def run_lives(run_folder: Path) -> bool:
    """Whether the guard of a run lives, or anything that it left behind."""
    return guard_lives(run_folder) or bool(marked_processes(run_folder.name))


def marked_processes(run: str) -> list[psutil.Process]:
    """The living processes that carry a run's cookie."""
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
            found.append(process)
    return found


def wait_for_strays(run: str, journal: Journal) -> None:
    """Block until nothing of a run lives that its guard left behind.

    An animal's session cannot be repeated, so what still runs is left running, and said.
    """
    strays = marked_processes(run)
    if not strays:
        return
    words = "The acquisition lost its guard and goes on by itself; its exit will be unknown."
    where = "processes " + ", ".join(str(process.pid) for process in strays)
    finding = Finding("warning", "acquisition-unguarded", words, where=where)
    journal.record(finding_event("acquisition", finding))
    while marked_processes(run):
        time.sleep(_LOOK_S)


def end_strays(run: str, *, by_force: bool) -> None:
    """Ask every process that a guard left behind to end, or make it."""
    if sys.platform == "win32":
        return
    import psutil

    for process in marked_processes(run):
        with suppress(psutil.Error):  # it looks first whether the pid is another's by now
            process.send_signal(signal.SIGKILL if by_force else signal.SIGTERM)


def end_run(run_folder: Path, reason: str, *, by_force: bool) -> None:
    """Ask for the end of a run in the operator's name: its guard, or what that left behind."""
    if guard_lives(run_folder):
        request_from_guard(run_folder, "kill" if by_force else "stop", "operator", reason)
    else:
        end_strays(run_folder.name, by_force=by_force)
