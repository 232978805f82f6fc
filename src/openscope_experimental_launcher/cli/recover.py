"""Close sessions whose launcher was lost, and say what is known of them.

Without ROOT it looks at the sessions this machine knows of; ROOT may be a session folder, or a
folder of sessions. If an acquisition still runs under its guard, recovery waits for its end.

example:
  openscope recover data
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import EXIT_FAILED, EXIT_OK, LauncherError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope recover`."""
    parser.add_argument("root", nargs="?", metavar="ROOT", help="a session, or a folder of them")
    parser.add_argument(
        "--from-elsewhere",
        action="store_true",
        help="also sessions that another computer opened, which must run them no more",
    )
    parser.add_argument("--list", action="store_true", help="only say what was found")
    parser.add_argument("--unattended", action="store_true", help="say nothing; nobody is there")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..afterwards import begin_afterwards
    from ..recovery import find_open, recover
    from ..session.past import read_past

    found = find_open([Path(args.root)] if args.root else [])
    if args.root:
        root = Path(args.root).absolute()
        found = [s for s in found if root in (s.folder.path, *s.folder.path.parents)]
    say = (lambda _: 0) if args.unattended else sys.stdout.write
    if not found:
        say("No session is open.\n")
    failed = False
    for session in found:
        say(session.describe() + "\n")
        if args.list or session.state == "running":
            continue
        if session.state == "unattended":
            say("  Waiting for the end of its acquisition (openscope stop ends it) …\n")
        try:
            record = recover(session.folder, from_elsewhere=args.from_elsewhere)
        except LauncherError as error:
            failed = True
            say(error.render() + "\n")
            continue
        asked = read_past(session.folder).processed
        begin_afterwards(
            session.folder.path,
            metadata=asked.get("session_metadata") is not False,
            report=asked.get("session_report") is not False,
        )
        say(f"  Closed: {record.outcome}. {record.reason}\n")
    return EXIT_FAILED if failed else EXIT_OK
