"""Compare the files of closed sessions, or of copies of them, with what was sealed.

Every byte is read and hashed again; a file that was changed, added or is missing is named, and the
exit code is 1. SESSION is a session folder, the name of a session, or a part of a name that no
other has.

example:
  openscope verify data/614173_2026-11-03_09-08-07
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_OK, LauncherError

if TYPE_CHECKING:
    from ..session.verifying import Verification


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope verify`."""
    parser.add_argument("sessions", nargs="+", metavar="SESSION", help="session folder or name")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.screens import show_error
    from ..recovery import find_session
    from ..session.verifying import verify

    codes = [EXIT_OK]
    told = {}
    for named in args.sessions:
        try:
            folder = find_session(named)
            found = verify(folder, None if args.json or not sys.stdout.isatty() else _progress)
        except LauncherError as error:
            show_error(error)
            codes.append(EXIT_FAILED)
            continue
        codes.append(EXIT_FAILED if found.differences else EXIT_OK)
        if args.json:
            differences = [difference._asdict() for difference in found.differences]
            told[str(folder.path)] = {**found._asdict(), "differences": differences}
        else:
            _tell(str(folder.path), found)
    if args.json:
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return max(codes)


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
