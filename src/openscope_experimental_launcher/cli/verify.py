"""Compare the files of closed sessions, or of copies of them, with what was sealed.

Every byte is read and hashed again; a file that was changed, added or is missing is named, and the
exit code is 1. SESSION is a session folder, the name of a session, or a part of a name that no
other has.

example:
  openscope verify data/614173_2026-11-03_09-08-07
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from .each_session import Answer, add_sessions, each_session, when_settled

if TYPE_CHECKING:
    from ..session.folder import SessionFolder
    from ..session.verifying import Verification


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope verify`."""
    add_sessions(parser)


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..session.verifying import verify

    progress = None if args.json or not sys.stdout.isatty() else _progress

    def look(folder: SessionFolder) -> Answer:
        found = verify(folder, progress)
        differences = [difference._asdict() for difference in found.differences]
        return Answer(
            good=not differences,
            told={**found._asdict(), "differences": differences},
            tell=lambda: _tell(str(folder.path), found),
        )

    return each_session(args, when_settled(look))


def _progress(done: int, total: int) -> None:
    ending = "\r\x1b[K" if done == total else ""
    sys.stdout.write(f"\r{100 * done // max(total, 1):3d} % compared{ending}")
    sys.stdout.flush()


def _tell(path: str, found: Verification) -> None:
    from ..display.stream import print_lines
    from ..display.words import count, size

    head = f"{count(found.files, 'file')}, {size(found.size_bytes)}"
    if found.freed:
        head += f" ({found.freed:,} of them were removed here, see `openscope show`)"
    if not found.differences:
        print_lines([[("✓ ", "green"), (f"{path}: {head}, as they were sealed", "")]], sys.stdout)
        return
    many = count(len(found.differences), "difference")
    print_lines([[("✗ ", "red"), (f"{path}: {head}; {many}", "")]], sys.stdout)
    rows = [[(f"  {row.state:<10} {row.file}", "")] for row in found.differences]
    print_lines(rows, sys.stdout)
