"""Tell what differed between two sessions, most telling first.

Code (the commits between them, the edits they ran with), parameters, environment, outcome and
timing. SESSION is a session folder, or the name of an open session.

example:
  openscope diff data/614173_2026-11-03_09-08-07 data/614173_2026-11-04_09-12-40
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import EXIT_OK

if TYPE_CHECKING:
    from ..display.stream import Line
    from ..reproduce.difference import Section
    from ..session.past import PastSession

_LABEL = 26


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope diff`."""
    parser.add_argument("one", metavar="SESSION_A", help="session folder or name")
    parser.add_argument("other", metavar="SESSION_B", help="session folder or name")
    parser.add_argument("--patch", action="store_true", help="show the code's changes in full")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.stream import print_lines
    from ..recovery import find_session
    from ..reproduce.difference import differences
    from ..session.past import read_past

    one, other = (read_past(find_session(named)) for named in (args.one, args.other))
    sections = differences(one, other, patch=args.patch)
    if args.json:
        sys.stdout.write(json.dumps(_as_json(one, other, sections), indent=2) + "\n")
    else:
        print_lines([*_heading(one, other), *_lines(sections)], sys.stdout)
    return EXIT_OK


def _as_json(one: PastSession, other: PastSession, sections: list[Section]) -> dict[str, object]:
    found = {
        section.title: {
            "differences": [row._asdict() for row in section.rows],
            "notes": section.notes,
        }
        for section in sections
    }
    return {"sessions": [str(past.folder.path) for past in (one, other)], **found}


def _heading(*sessions: PastSession) -> Iterator[Line]:
    from ..display.stream import one_line

    for letter, past in zip("AB", sessions, strict=True):
        outcome = past.record.outcome or "not closed"
        yield [(f"{letter}  {one_line(past.name)}  ", "bold"), (one_line(outcome), "dim")]
        for name in past.unreadable:
            yield [(f"   {name} of it cannot be read", "yellow")]


def _lines(sections: list[Section]) -> Iterator[Line]:
    from ..display.stream import one_line
    from ..session.output import readable

    for section in sections:
        yield []
        same = "" if section.rows or section.notes else "  the same"
        yield [(section.title.capitalize(), "bold"), (same, "green")]
        for row in section.rows:
            yield [
                (f"  {one_line(row.label):<{_LABEL}}  ", "dim"),
                (one_line(row.one), "red"),
                (" → ", "dim"),
                (one_line(row.other), "green"),
            ]
        for note in section.notes:
            yield [(f"  {readable(note.encode())}".rstrip(), "")]
