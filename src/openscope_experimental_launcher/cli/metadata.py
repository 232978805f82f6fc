"""Make or complete the standard metadata of closed sessions, by the AIND schema.

Writes acquisition.json, data_description.json and processing.json into the session folder, which is
sealed anew, and says what they lack and how to give it. They are made at the end of each session;
this completes them, also of old sessions. The exit code is 1 while something is missing. SESSION is
a session folder, or the name of a session. Needs the package aind-data-schema.

example:
  openscope metadata 614173_2026-11-03_09-08-07 --set project_name=OpenScope --set institution=AIND
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ..errors import LauncherError
from .each_session import Answer, add_sessions, each_session

if TYPE_CHECKING:
    from ..metadata.aind.making import Made
    from ..session.folder import SessionFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope metadata`."""
    add_sessions(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="give what the session did not; it is kept with it. May be repeated",
    )


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..amending import complete
    from ..metadata.aind import NOT_INSTALLED, is_installed
    from ..metadata.aind.facts import check_given
    from ..parameters.layers import parse_set

    given = parse_set(args.set)
    check_given(given)
    if not is_installed():
        raise LauncherError(NOT_INSTALLED.message, code=NOT_INSTALLED.code, fix=NOT_INSTALLED.fix)

    def look(folder: SessionFolder) -> Answer | None:
        made = complete(folder, metadata=True, report=False, given=given)
        return made and Answer(not made.gaps, _as_json(made), lambda: _tell(folder, made))

    return each_session(args, look)


def _as_json(made: Made) -> dict[str, Any]:
    return {
        "files": made.records,
        "left_as_they_were": made.foreign,
        "missing": [gap._asdict() for gap in made.gaps],
    }


def _tell(folder: SessionFolder, made: Made) -> None:
    from ..display.screens import show_problems
    from ..display.stream import print_lines
    from ..display.words import count

    sign = ("! ", "yellow") if made.gaps else ("✓ ", "green")
    gaps = f"; {count(len(made.gaps), 'gap')}" if made.gaps else ", complete"
    names = ", ".join(made.records) or "nothing new"
    print_lines([[sign, (f"{folder.path}: {names}{gaps}", "")]], sys.stdout)
    for name in made.foreign:
        words = f"  {name} is not as the launcher wrote it, and was left as it is."
        print_lines([[(words, "")]], sys.stdout)
    show_problems([gap._replace(where="") for gap in made.gaps], stream=sys.stdout)
