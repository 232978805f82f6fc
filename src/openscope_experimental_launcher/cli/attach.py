"""Show a running session, and take care of it when its launcher was lost.

SESSION is a session folder, or the name of an open session. With a launcher of its own, the
session is only shown, and Ctrl-C leaves it running. Without one, this becomes its launcher: it
shows it, closes it at the end, and Ctrl-C stops it; pressed again, at once. While the records are
being finished, Ctrl-C pressed twice leaves them open.

example:
  openscope attach 614173_2026-11-03_09-08-07
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from ..recovery import OpenSession
    from ..session.folder import SessionFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope attach`."""
    parser.add_argument("session", metavar="SESSION", help="session folder or name")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.live import open_display
    from ..recovery import find_session, look_at
    from ..session.past import plan_of

    folder = find_session(args.session)
    session = look_at(folder)
    sys.stdout.write(session.describe() + "\n")
    if session.state == "closed":
        return EXIT_OK
    display = open_display(folder, plan=plan_of(folder))
    display.start()
    try:
        if session.state in ("running", "elsewhere"):
            watch(session)
            stopped = left = False
        else:
            stopped, left = take_care_of(folder)
    finally:
        display.stop()
    record = look_at(folder).record
    if left and record.closed is None:
        sys.stdout.write(f"{folder.name} was left open: openscope recover {folder.path}\n")
        return EXIT_INTERRUPTED
    sys.stdout.write(f"{folder.name}: {record.outcome or 'not closed'}. {record.reason}\n")
    if stopped and record.outcome == "aborted":
        return EXIT_INTERRUPTED
    return EXIT_OK if record.outcome == "completed" else EXIT_FAILED


def watch(session: OpenSession) -> None:
    """Wait until a session that has a launcher is in another state."""
    from ..recovery import look_at

    while look_at(session.folder).state == session.state:
        time.sleep(0.3)


def take_care_of(folder: SessionFolder) -> tuple[bool, bool]:
    """Be the launcher of a session that has lost its own, to its end.

    Returns:
        Whether its acquisition was stopped here, and whether its closing was broken off.

    Raises:
        LauncherError: it cannot be closed now.
    """
    from ..base.interrupts import deliberate_end
    from .recover import close_lost

    ends = _Ends(folder)
    try:
        with deliberate_end(ends.asked):
            close_lost(folder, on_ended=ends.acquisition_has_ended)
    except KeyboardInterrupt:
        return ends.stops > 0, True
    return ends.stops > 0, False


class _Ends:
    """What becomes of a Ctrl-C, and of whatever else asks this program to end: the same as in a
    run.

    Attributes:
        stops: how many times the acquisition was asked to end.
    """

    def __init__(self, folder: SessionFolder) -> None:
        self._folder = folder
        self._closing = False
        self._while_closing = 0
        self.stops = 0

    def acquisition_has_ended(self) -> None:
        """From now on there is nothing left but to finish the records."""
        self._closing = True

    def asked(self, reason: str) -> bool:
        """The end is asked for. Returns whether it was taken care of."""
        from ..base.interrupts import CTRL_C, TERMINAL_CLOSED
        from ..supervision.strays import end_run
        from ..supervision.supervisor import runs_of

        if not self._closing:
            # A system says things twice too; only a person means more by it.
            if not self.stops or reason == CTRL_C:
                self.stops += 1
                for run in runs_of(self._folder):
                    end_run(run, reason, by_force=self.stops > 1)
            return True
        if self._while_closing and reason == TERMINAL_CLOSED:
            return True
        self._while_closing += 1
        return self._while_closing == 1 and _tell_of_records()


def _tell_of_records() -> bool:
    from ..base.terminal import tell

    with suppress(OSError):  # the terminal may be what has gone
        tell("The records are being finished; press Ctrl-C again to leave them open.")
    return True
