"""An acquisition whose guard was killed, in the care of a launcher that still lives.

Nobody enforces its limits any more, but an animal's session cannot be repeated: by default it is
left to finish, and said. The launcher that started it still learns its exit: on Linux it inherits
the guard's children, on Windows it holds the job object and the main process too. Whoever attached
later can only wait. On Linux all this is rare, since a guard's understudy goes on in its place.
"""

from __future__ import annotations

import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import Finding
from ..session.journal import Event, Journal, finding_event
from ..structs import msgspec
from .strays import end_strays, marked_processes
from .supervisor import read_spec

if TYPE_CHECKING:
    from .supervisor import Acquisition

_LOOK_S = 0.1


class AcquisitionEnded(Event, frozen=True):
    """The end of the acquisition as its launcher saw it, in the place of its guard."""

    name: ClassVar[str] = "acquisition.ended"
    exit_code: int | None
    signal: int | None
    duration_s: float | None
    stop: dict[str, Any] | None
    killed: bool
    adopted: bool = True


class Adoption:
    """The launcher's care for what a killed guard left behind.

    Args:
        acquisition: a run whose guard is gone without having seen the end.
    """

    def __init__(self, acquisition: Acquisition) -> None:
        spec = read_spec(acquisition.run_folder / "spec.json")
        self._acquisition = acquisition
        self._run = acquisition.run_folder.name
        self._policy = spec.get("on_launcher_lost", "continue")
        self._grace_s = float(spec.get("stop_grace_s", 0.0))
        self._stop: dict[str, Any] | None = None
        self._kill_at = math.inf
        self._killed = False

    def wait(self, journal: Journal) -> None:
        """Block until nothing of the run lives, and record its exit where that can be known."""
        alive = self._alive()
        if alive:
            journal.record(finding_event("acquisition", self._finding(alive)))
            if self._policy == "stop":
                self.end("launcher", "its guard was killed", by_force=False)
        while self._alive():
            if time.monotonic() >= self._kill_at:
                self._end(by_force=True)
            time.sleep(_LOOK_S)
        code, number = self._exit()
        if code is None and number is None:
            return
        began = self._acquisition.started_mono
        duration_s = round(time.monotonic() - began, 3) if began else None
        ended = AcquisitionEnded(code, number, duration_s, self._stop, self._killed)
        journal.record(ended)
        self._acquisition.take_end(msgspec.structs.asdict(ended))

    def end(self, by: str, reason: str, *, by_force: bool) -> None:
        """Ask what is left to end, and make it after the grace, or at once.

        Args:
            by: who wants it.
            reason: why, for the records.
            by_force: do not ask.
        """
        asked = "no" if by_force else "signal"
        self._stop = self._stop or {"by": by, "reason": reason, "limit": "", "asked": asked}
        self._kill_at = min(self._kill_at, time.monotonic() + self._grace_s)
        self._end(by_force=by_force)

    def _finding(self, alive: list[int]) -> Finding:
        words = (
            "The acquisition lost its guard, and is ended."
            if self._policy == "stop"
            else "The acquisition lost its guard and goes on; its limits are not enforced."
        )
        where = "processes " + ", ".join(map(str, alive))
        return Finding("warning", "acquisition-unguarded", words, where=where)

    if sys.platform == "win32":

        def _alive(self) -> list[int]:
            tree = self._acquisition.tree
            return tree.pids() if tree is not None and tree.reap() else []

        def _end(self, *, by_force: bool) -> None:
            tree = self._acquisition.tree
            if tree is None:
                return
            if by_force:
                self._killed = True
                tree.kill()
            else:
                tree.ask()

        def _exit(self) -> tuple[int | None, int | None]:
            tree = self._acquisition.tree
            return tree.exit_code() if tree is not None else (None, None)

    else:

        def _alive(self) -> list[int]:
            return [process.pid for process in marked_processes(self._run)]

        def _end(self, *, by_force: bool) -> None:
            self._killed = self._killed or by_force
            end_strays(self._run, by_force=by_force)

        def _exit(self) -> tuple[int | None, int | None]:
            if not self._acquisition.pid:
                return None, None
            try:
                pid, status = os.waitpid(self._acquisition.pid, os.WNOHANG)
            except ChildProcessError:  # it is not ours: we did not start it
                return None, None
            if pid == 0:
                return None, None
            code = os.waitstatus_to_exitcode(status)
            return (code, None) if code >= 0 else (None, -code)
