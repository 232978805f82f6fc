"""Stop a running session: ask its acquisition to end, then make it.

SESSION is a session folder, or the name of an open session. The session is closed by its
launcher, or by its guard's recovery when the launcher was lost.

example:
  openscope stop 614173_2026-11-03_09-08-07 --reason "the mouse sleeps"
"""

from __future__ import annotations

import argparse
import sys
import time

from ..errors import EXIT_INTERRUPTED, EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope stop`."""
    parser.add_argument("session", metavar="SESSION", help="session folder or name")
    parser.add_argument("--now", action="store_true", help="do not ask first; end it by force")
    parser.add_argument("--reason", default="openscope stop", help="why, for the records")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..recovery import find_session
    from ..session.past import plan_of
    from ..session.record import read_record
    from ..supervision.strays import end_run, running_runs, see_to_the_end

    folder = find_session(args.session)
    runs = running_runs(folder)
    loses = (plan_of(folder).get("stop") or {}).get("loses")
    if loses and not agreed(str(loses)):
        return EXIT_INTERRUPTED
    for run in runs:
        end_run(run, args.reason, by_force=args.now)
    sys.stdout.write(f"Stopping {folder.name} …\n")
    see_to_the_end(runs)
    deadline = time.monotonic() + 30
    while read_record(folder.journal).closed is None and time.monotonic() < deadline:
        time.sleep(0.1)
    record = read_record(folder.journal)
    state = f"closed: {record.outcome}" if record.closed else "ended, not closed yet"
    sys.stdout.write(f"{folder.name}: {state}\n")
    return EXIT_OK


def agreed(loses: str) -> bool:
    """Say what a stop will lose; on a terminal, whether the person wants it nevertheless."""
    from ..parameters.prompts import ask, is_interactive

    sys.stdout.write(f"{loses}\n")
    return not is_interactive() or ask("Stop it? (y/n)", default="n").lower().startswith("y")
