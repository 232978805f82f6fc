"""Show one session: who, what ran, its code, how it went, what was found, its steps and files.

SESSION is a session folder, the name of a session, or a part of a name that no other has.

example:
  openscope show 614173_2026-11-03_09-08-07
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_OK

if TYPE_CHECKING:
    from ..session.folder import SessionFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope show`."""
    parser.add_argument("session", metavar="SESSION", help="session folder, name or part of it")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.history import Progress
    from ..session.index import locate

    return show(locate(args.session, Progress(sys.stderr)), as_json=args.json)


def show(folder: SessionFolder, *, as_json: bool) -> int:
    """Show a session; returns the exit code."""
    from ..display.history import show_session
    from ..recovery import look_at
    from ..session.past import read_past

    past = read_past(folder)
    if as_json:
        sys.stdout.write(json.dumps(_as_json(folder.path), indent=2, ensure_ascii=False) + "\n")
    else:
        show_session(past, look_at(folder).state)
    return EXIT_OK


def _as_json(path: Path) -> dict[str, object]:
    from ..session.folder import SessionFolder
    from ..session.record import read_record
    from ..session.summary import describe

    described = describe(path)
    record = read_record(SessionFolder(path).journal)
    return {
        **(described.summary.as_json() if described else {}),
        "steps": record.steps,
        "findings": record.findings,
        "notes": record.notes,
        "copies": record.copies,
        "parameters": described.parameters if described else {},
    }
