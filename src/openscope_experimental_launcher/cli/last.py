"""Show the last session of this machine, or of a subject.

example:
  openscope last --subject 614173
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import SessionError, did_you_mean
from .show import show

_LOOKED_AT = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope last`."""
    parser.add_argument("--subject", default="", metavar="ID", help="of this subject")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.history import Progress
    from ..session.folder import SessionFolder
    from ..session.index import Query, open_history

    with open_history(Progress(sys.stderr)) as history:
        found = history.find(Query(subject=args.subject, limit=_LOOKED_AT))
        last = next((session for session in found if session.present), None)
        if last is None:
            meant = did_you_mean(args.subject, history.names("subject")) if args.subject else ""
            raise SessionError(
                f"No session{' of this subject' if args.subject else ''} is known here.{meant}",
                code="sessions-none",
                where=f"--subject {args.subject}" if args.subject else "",
                fix="List those that are: openscope sessions; take in a folder of them: "
                "openscope sessions ROOT",
            )
    return show(SessionFolder(Path(last.folder)), as_json=args.json)
