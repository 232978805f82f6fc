"""Close sessions whose launcher was lost, and say what is known of them.

Without ROOT it looks at the sessions this machine knows of; ROOT may be a session folder, the name
of a session, or a folder of sessions. If an acquisition still runs under its guard, recovery waits
for its end.

example:
  openscope recover data
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_OK, LauncherError

if TYPE_CHECKING:
    from ..recovery import OpenSession
    from ..session.folder import SessionFolder
    from ..session.record import SessionRecord


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope recover`."""
    parser.add_argument(
        "root", nargs="?", metavar="ROOT", help="a session, its name, or a folder of sessions"
    )
    parser.add_argument(
        "--from-elsewhere",
        action="store_true",
        help="also sessions that another computer opened, which must run them no more",
    )
    parser.add_argument("--list", action="store_true", help="only say what was found")
    parser.add_argument("--unattended", action="store_true", help="say nothing; nobody is there")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    say: Callable[[str], object] = (lambda _: 0) if args.unattended else sys.stdout.write
    failures: list[LauncherError] = []

    def failed(error: LauncherError) -> None:
        failures.append(error)
        say(error.render() + "\n")

    found = find(args.root, failed)
    if not found and not failures:
        say("No session is open.\n")
    for session in found:
        say(session.describe() + "\n")
        if args.list:
            continue
        try:
            see_to(session, say, from_elsewhere=args.from_elsewhere)
        except LauncherError as error:
            failed(error)
    return EXIT_FAILED if failures else EXIT_OK


def find(root: str | None, on_failure: Callable[[LauncherError], object]) -> list[OpenSession]:
    """The sessions that a person means.

    Raises:
        LauncherError: there is no such folder or session.
    """
    from ..recovery import find_open, find_session, look_at
    from ..session.folder import SessionFolder
    from ..session.state import cut_off_sealings, has_journal

    path = Path(root).expanduser() if root else None
    if root and path and (has_journal(path, unsure=True) or not os.path.isdir(path)):  # noqa: PTH112 - a disk may fail
        return [look_at(find_session(root))]
    found = find_open(path, on_failure=on_failure)
    if path is None:
        found += [look_at(SessionFolder(folder)) for folder in cut_off_sealings()]
    return found


def see_to(session: OpenSession, say: Callable[[str], object], *, from_elsewhere: bool) -> None:
    """Close a session that was found, unless its launcher is at work on it."""
    from ..recovery import recover
    from ..session.state import noted_sealing

    if session.state == "running":
        say(f"  To end it: openscope stop {session.folder.name}\n")
    elif session.state == "closed":
        cut_off = noted_sealing(session.folder.path)
        record = recover(session.folder)  # its closing may have been cut off at its very end
        if cut_off and (record.sealed or {}).get("sha256") == cut_off:
            say("  Sealing it anew, which was cut off, is finished.\n")
        elif cut_off:
            say(f"  Sealing it anew was cut off; see: openscope verify {session.folder.name}\n")
    else:
        if session.state == "unattended":
            say("  Waiting for the end of its acquisition (openscope stop ends it) …\n")
        record = close_lost(session.folder, from_elsewhere=from_elsewhere)
        say(f"  Closed: {record.outcome}. {record.reason}\n")


def close_lost(
    folder: SessionFolder,
    *,
    from_elsewhere: bool = False,
    on_ended: Callable[[], object] = lambda: None,
) -> SessionRecord:
    """Close a session that has lost its launcher, and begin what is made of every closed session.

    Args:
        folder: the session folder.
        from_elsewhere: whether somebody knows that the other computer runs it no more.
        on_ended: called when nothing of its acquisition runs any more.

    Raises:
        LauncherError: it cannot be closed now.
    """
    from ..afterwards import begin_afterwards
    from ..recovery import recover
    from ..session.past import read_past

    record = recover(folder, from_elsewhere=from_elsewhere, on_ended=on_ended)
    asked = read_past(folder).processed
    begin_afterwards(
        folder.path,
        metadata=asked.get("session_metadata") is not False,
        report=asked.get("session_report") is not False,
    )
    return record
