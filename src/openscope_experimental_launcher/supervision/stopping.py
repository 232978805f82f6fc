"""How the guard ends an acquisition: ask, terminate, kill, each after its time. Standard library.

A stop is asked for once, whoever asks and however often; a kill may overtake it.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from openscope_experimental_launcher.supervision.limits import AT_ONCE
from openscope_experimental_launcher.supervision.records import Records, complain
from openscope_experimental_launcher.supervision.tree import Tree

CAN_TERMINATE = sys.platform != "win32"  # there `Tree.terminate` has nothing to offer


class Stopping:
    """The stop of one acquisition.

    Args:
        spec: what the guard was told of its run; its `ask` says how the acquisition is asked.
        tree: the acquisition's processes.
        records: the guard's journal.

    Attributes:
        asked: the stop that has begun, for the records; None while there is none.
    """

    def __init__(self, spec: dict[str, Any], tree: Tree, records: Records) -> None:
        self.asked: dict[str, Any] | None = None
        self._spec = spec
        self._how = spec["ask"]["how"]
        self._tree = tree
        self._records = records
        self._terminate_at: float | None = None
        self._kill_at: float | None = None

    def request(
        self, by: str, reason: str, now: float, limit: str = "", *, signalled: bool = False
    ) -> None:
        """Begin a stop, unless one has begun.

        Args:
            by: who wants it.
            reason: why, for the records.
            now: monotonic seconds.
            limit: the limit that was reached, if that is why.
            signalled: the system has sent the main process its SIGTERM already (see
                `Tree.end_with_guard`), and it must not get two.
        """
        if self.asked is not None:
            return
        if limit in AT_ONCE:
            self.kill(by, reason, now, limit=limit)
            return
        self.asked = {"by": by, "reason": reason, "limit": limit, "asked": self._how}
        kill_in_s = self._set_deadlines(now) - now
        self._records.write(
            "acquisition.stop_requested", {**self.asked, "kill_in_s": round(kill_in_s, 3)}
        )
        if self._how == "signal" and not signalled:
            self._tree.ask()
        elif self._how == "stop_file":
            create_file(self._spec["ask"]["stop_file"])
        elif self._how == "window":
            self._tree.close_windows()

    def kill(self, by: str, reason: str, now: float, limit: str = "") -> None:
        """End it without asking, or without waiting any longer for what was asked."""
        if self.asked is None or not self.asked.get("killed"):
            self.asked = {
                "by": by,
                "reason": reason,
                "limit": limit,
                "asked": "no",
                "killed": True,
            }
            self._records.write("acquisition.stop_requested", {**self.asked, "kill_in_s": 0.0})
        self._terminate_at, self._kill_at = None, now

    def go_on(self, earlier: Sequence[dict[str, Any]]) -> None:
        """Take up what a guard that was killed had begun.

        Args:
            earlier: its records of stops.
        """
        for record in earlier:
            self.asked = record["data"]
            if record["data"].get("killed"):
                self._terminate_at, self._kill_at = None, record["mono"]
            else:
                self._set_deadlines(record["mono"])
        if self._spec["on_launcher_lost"] == "stop":
            # On Linux the system has asked already, when the guard fell.
            signalled = sys.platform == "linux"
            self.request("guard", "a guard was killed", time.monotonic(), signalled=signalled)

    def escalate(self, now: float) -> bool:
        """Go on with a stop whose time is over; whether the tree must be killed now."""
        if self._terminate_at is not None and now >= self._terminate_at:
            self._terminate_at = None
            if self._kill_at is not None and self._kill_at > now:
                self._tree.terminate()
        return self._kill_at is not None and now >= self._kill_at

    def next_deadline(self) -> float:
        """When `escalate` has something to do, in monotonic seconds; infinity for never."""
        deadlines = (self._terminate_at, self._kill_at)
        return min((at for at in deadlines if at is not None), default=math.inf)

    def _set_deadlines(self, asked_at: float) -> float:
        """When to terminate and when to kill what was asked to end; returns the latter."""
        grace_s = 0.0 if self._how == "none" else self._spec["stop_grace_s"]
        self._terminate_at = asked_at + grace_s
        # Whoever was asked by SIGTERM needs no second one.
        again = self._how != "signal" and CAN_TERMINATE
        self._kill_at = self._terminate_at + (self._spec["terminate_grace_s"] if again else 0.0)
        return float(self._kill_at)


def create_file(path: str) -> None:
    """Make the stop file; a file that is there already serves as well."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    except OSError as error:
        complain(f"stop file {path}: {error}")
