"""Do what closed sessions still wait for: a metadata service or a share that was away, a question
that nobody was there to answer, a copy that is not complete.

Without SESSION it looks at the sessions of this machine that are known to wait.

example:
  openscope catch-up --list
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_OK, LauncherError

if TYPE_CHECKING:
    from ..session.folder import SessionFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope catch-up`."""
    parser.add_argument("sessions", nargs="*", metavar="SESSION", help="session folders")
    parser.add_argument("--list", action="store_true", help="only say what waits")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..delivery import waiting_sessions
    from ..recovery import find_session
    from ..session.folder import SessionFolder
    from ..session.record import read_record
    from ..session.state import pending_sessions
    from .transfer import continue_copies, list_copies

    asked = [find_session(named) for named in args.sessions]
    folders = asked or [SessionFolder(path) for path in pending_sessions()]
    copies = [folder for folder in waiting_sessions() if not asked or folder in asked]
    if not folders and not copies:
        sys.stdout.write("Nothing waits.\n")
    codes = [EXIT_OK]
    for folder in folders:
        waiting = read_record(folder.journal).pending_steps()
        named = [*waiting, *_copies_of(folder)] or ["nothing"]
        sys.stdout.write(f"{folder.path}\n  waits for: {', '.join(named)}\n")
        if waiting and not args.list:
            codes.append(_catch_up(folder))
    if copies:
        codes.append(list_copies(asked) if args.list else continue_copies(asked))
    return max(codes)


def _copies_of(folder: SessionFolder) -> list[str]:
    """What is still to be made of a session elsewhere, in words."""
    from ..transfer.flags import flags
    from ..transfer.queue import jobs

    copies = [f"a copy to {job.to}" for job in jobs(folder.path)]
    return copies + [f"the manifest {flag.file}" for flag in flags(folder.path)]


def _catch_up(folder: SessionFolder) -> int:
    from ..amending import catch_up
    from ..closing import left_open
    from ..display.screens import show_error
    from ..session.state import fallback_journal
    from .step import tell, whoever_is_there

    person = whoever_is_there()
    try:
        ended = catch_up(folder, person=person)
    except LauncherError as error:
        show_error(error)
        return EXIT_FAILED
    except OSError as error:  # its disk is full, or away
        kept = fallback_journal(folder.path)
        show_error(left_open(folder, kept, error, again="catch-up"))
        return EXIT_FAILED
    if not ended:
        sys.stdout.write("  It needs a person at a terminal.\n")
        return EXIT_FAILED
    return tell(ended)
