"""What lives of a run, with its guard or without.

Processes of a run whose guard was killed are found by the cookie in their environment.

On Windows there are none: the job object dies with the guard, and the tree with it.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SessionError
from ..session.folder import SessionFolder
from .spawn import COOKIE
from .supervisor import guard_lives, read_spec, request_from_guard, runs_of

if TYPE_CHECKING:
    import psutil

_LOOK_S = 0.1


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
    """The living processes that carry a run's cookie, and what they started without it."""
    if sys.platform == "win32":
        return []
    import psutil

    processes = {one.pid: one for one in psutil.process_iter(["ppid", "status"])}
    family = {pid for pid, process in processes.items() if _is_marked(process, run)}
    grown = 0
    while len(family) > grown:
        grown = len(family)
        family |= {pid for pid, one in processes.items() if one.info["ppid"] in family}
    return [one for pid, one in processes.items() if pid in family and _lives(one)]


def _is_marked(process: psutil.Process, run: str) -> bool:
    import psutil

    with suppress(psutil.Error, OSError):
        return process.environ().get(COOKIE) == run and process.pid != os.getpid()
    return False


def _lives(process: psutil.Process) -> bool:
    return bool(process.info["status"] != "zombie")


def end_strays(run: str, *, by_force: bool) -> None:
    """Ask every process that a guard left behind to end, or make it."""
    if sys.platform == "win32":
        return
    import psutil

    for process in marked_processes(run):
        with suppress(psutil.Error):  # it looks first whether the pid is another's by now
            process.send_signal(signal.SIGKILL if by_force else signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # a stopped one could not listen


def end_run(run_folder: Path, reason: str, *, by_force: bool) -> None:
    """Ask for the end of a run in the operator's name: its guard, or what that left behind."""
    if guard_lives(run_folder):
        request_from_guard(run_folder, "kill" if by_force else "stop", "operator", reason)
    else:
        end_strays(run_folder.name, by_force=by_force)


def running_runs(session: SessionFolder) -> list[Path]:
    """The runs of a session of which anything lives.

    Raises:
        SessionError: there is none.
    """
    runs = [run for run in runs_of(session) if run_lives(run)]
    if not runs:
        raise SessionError(
            "No acquisition of this session is running on this machine.",
            code="session-not-running",
            where=str(session.path),
            fix=f"If it was never closed: openscope recover {session.path}",
        )
    return runs


def see_to_the_end(runs: Sequence[Path]) -> None:
    """Wait until nothing of these runs, which were asked to end, is alive. What has lost its
    guard and does not end in its grace is killed, since no guard will do it."""
    asked_at = time.monotonic()
    while any(run_lives(run) for run in runs):
        time.sleep(_LOOK_S)
        for run in runs:
            grace_s = read_spec(run / "spec.json").get("stop_grace_s", 0.0)
            if not guard_lives(run) and time.monotonic() - asked_at > grace_s:
                end_strays(run.name, by_force=True)
