"""Pack what a rig engineer needs of a session into one zip file: records and logs, and a report.

No data is packed, and what looks like a secret is masked. SESSION is a session folder, the name of
a session, or a part of a name that no other has.

example:
  openscope bundle 614173_2026-11-03_09-08-07
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import EXIT_OK


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope bundle`."""
    parser.add_argument("session", metavar="SESSION", help="session folder, name or part of it")
    parser.add_argument("--output", metavar="FILE", help="the zip file; by default in this folder")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..recovery import find_session
    from ..report.bundle import write_bundle
    from ..supervision.supervisor import runs_of

    folder = find_session(args.session)
    file = Path(args.output or f"{folder.name}_bundle.zip").absolute()
    guards = [run / name for run in runs_of(folder) for name in ("guard.jsonl", "guard.err")]
    bundle = write_bundle(folder, file, others=guards)
    sys.stdout.write(f"{bundle.file}\n")
    sys.stdout.write(f"  {len(bundle.names)} records and logs; left out: ")
    sys.stdout.write(f"{', '.join(bundle.left_out) or 'nothing'}.\n")
    return EXIT_OK
