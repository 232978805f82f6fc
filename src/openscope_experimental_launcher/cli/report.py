"""Make the report of a session: one HTML file that opens anywhere.

It is made at the end of each session; this makes it anew, also for one that was never closed.
SESSION is a session folder, or the name of an open session. The report of a closed session lies in
its folder, which is sealed anew; that of any other in the current folder.

example:
  openscope report data/614173_2026-11-03_09-08-07
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope report`."""
    parser.add_argument("session", metavar="SESSION", help="session folder or name")
    parser.add_argument(
        "--output", metavar="FILE", help="write it there, and nothing into the session folder"
    )


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..recovery import find_session
    from ..report import REPORT_NAME, make_report
    from ..session.record import read_record

    folder = find_session(args.session)
    if args.output:
        file = make_report(folder.path, Path(args.output).absolute())
    elif read_record(folder.journal).closed is not None:
        from ..amending import complete

        complete(folder, metadata=False, report=True)
        file = folder.path / REPORT_NAME
    else:
        file = make_report(folder.path, Path.cwd() / f"{folder.name}_report.html")
    sys.stdout.write(f"{file}\n")
    return EXIT_OK
