"""Show a running session, and take care of it when its launcher was lost.

SESSION is a session folder, or the name of an open session. With a launcher of its own, the
session is only shown, and Ctrl-C leaves it running. Without one, this becomes its launcher: it
shows it, closes it at the end, and Ctrl-C stops it; pressed again, at once.

example:
  openscope attach 614173_2026-11-03_09-08-07
"""

from __future__ import annotations

import argparse
import sys
import time

from ..errors import EXIT_FAILED, EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope attach`."""
    parser.add_argument("session", metavar="SESSION", help="session folder or name")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..base.interrupts import CTRL_C, deliberate_end
    from ..display.live import open_display
    from ..recovery import find_session, look_at, recover
    from ..session.past import plan_of
    from ..supervision.strays import end_run
    from ..supervision.supervisor import runs_of

    folder = find_session(args.session)
    session = look_at(folder)
    sys.stdout.write(session.describe() + "\n")
    if session.state == "closed":
        return EXIT_OK
    display = open_display(folder, plan=plan_of(folder))

    pressed: list[str] = []

    def stop(reason: str) -> bool:
        pressed.append(reason)
        for run in runs_of(folder):
            end_run(run, reason, by_force=pressed.count(CTRL_C) > 1)
        return True

    display.start()
    try:
        if session.state in ("running", "elsewhere"):
            while look_at(folder).state == session.state:
                time.sleep(0.3)
        else:
            with deliberate_end(stop):
                recover(folder)
    finally:
        display.stop()
    record = look_at(folder).record
    sys.stdout.write(f"{folder.name}: {record.outcome or 'not closed'}. {record.reason}\n")
    return EXIT_OK if record.outcome == "completed" else EXIT_FAILED
