"""Copy closed sessions to other disks or shares, and verify every byte that arrived.

SESSION is a session folder, the name of a session, or a part of a name that no other has. What
cannot be copied now, because a destination is away or full, waits: `openscope transfer` without
SESSION, or `openscope catch-up`, goes on with it. A copy that was cut off goes on where it was.
Nothing is deleted here, but by --free.

example:
  openscope transfer 614173_2026-11-03_09-08-07 --to backup
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_OK, LauncherError, ParameterError, TransferError

if TYPE_CHECKING:
    from ..delivery import Delivered
    from ..session.folder import SessionFolder
    from ..transfer.queue import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope transfer`."""
    parser.add_argument("sessions", nargs="*", metavar="SESSION", help="session folder or name")
    parser.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="DIR",
        help="folder that the copy goes below, under the session's name; may be repeated",
    )
    parser.add_argument("--list", action="store_true", help="only say which copies wait, and why")
    parser.add_argument(
        "--as-is",
        action="store_true",
        help="copy files too that are not what they were when the session was sealed; the receipt "
        "names them",
    )
    parser.add_argument(
        "--forget", action="store_true", help="wait no longer for these copies; nothing is deleted"
    )
    parser.add_argument(
        "--free",
        action="store_true",
        help="verify two copies that were made before, byte for byte again, ask, and then remove "
        "the data here; the records stay; without --to",
    )


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..recovery import find_session

    places = [_absolute(named) for named in args.to]
    if args.forget:
        return _forget(args.sessions, places)
    folders = [find_session(named) for named in args.sessions]
    if args.list:
        return list_copies(folders)
    if args.free:
        return _free(folders, places)
    if not folders:
        if places:
            raise _usage("A session is missing.", "Name it before --to.")
        return continue_copies()
    codes = [_deliver(folder, _asked(folder, places, as_is=args.as_is)) for folder in folders]
    return max(codes)


def continue_copies(folders: Sequence[SessionFolder] = ()) -> int:
    """Go on with what waits, of these sessions or of all; returns the exit code."""
    from ..delivery import waiting_sessions
    from ..transfer.queue import jobs

    waiting = [folder for folder in waiting_sessions() if not folders or folder in folders]
    if not waiting and not folders:
        sys.stdout.write("No copy waits.\n")
    return max((_deliver(folder, jobs(folder.path)) for folder in waiting), default=EXIT_OK)


def _absolute(named: str) -> str:
    from ..parameters.paths import drive_error, on_missing_drive, with_own_separators

    if on_missing_drive(named):
        raise ParameterError.from_findings("", [drive_error(f"--to {named}")])
    return str(Path(with_own_separators(named)).expanduser().absolute())


def _asked(folder: SessionFolder, places: Sequence[str], *, as_is: bool) -> list[Job]:
    from ..transfer.queue import add_job, jobs

    if places:
        return [add_job(folder.path, place, as_is=as_is) for place in dict.fromkeys(places)]
    waiting = jobs(folder.path)
    if not waiting:
        raise _usage("A destination is missing.", "Name a folder with --to.")
    return [add_job(folder.path, job.to, as_is=as_is or job.as_is) for job in waiting]


def _usage(message: str, fix: str) -> TransferError:
    return TransferError(message, code="copy-destination-missing", fix=fix)


def _deliver(folder: SessionFolder, jobs: Sequence[Job]) -> int:
    from ..delivery import deliver, raise_flags
    from ..display.screens import show_error
    from ..display.transfer import TransferProgress

    sys.stdout.write(f"{folder.path}\n")
    sys.stdout.flush()
    try:
        with TransferProgress(folder.name) as progress:
            delivered = deliver(folder, jobs, on_progress=progress) if jobs else []
    except LauncherError as error:
        show_error(error)
        return EXIT_FAILED
    codes = [EXIT_OK, *map(_tell, delivered)]
    for flag, problem in raise_flags(folder):
        if problem is None:
            sys.stdout.write(f"{flag.file} was written.\n")
        else:
            show_error(problem)
            codes.append(EXIT_FAILED)
    return max(codes)


def _tell(delivered: Delivered) -> int:
    """Say what came of a copy; returns the exit code."""
    from ..display.screens import show_error
    from ..display.stream import print_lines
    from ..display.words import count, size

    job, outcome, error = delivered.job, delivered.outcome, delivered.error
    for link in delivered.links:
        show_error(_left_out(link))
    if error is not None:
        print_lines([[("✗ ", "red"), (f"{job.to}: not complete; it waits", "")]], sys.stdout)
        show_error(error)
        return EXIT_FAILED
    if outcome is not None:
        there = f" ({count(len(outcome.there), 'file')} of them there before)"
        words = f"{job.to}: {count(outcome.wanted, 'file')}, {size(outcome.size_bytes)}, verified"
        line = words + (there if outcome.there else "")
        print_lines([[("✓ ", "green"), (line, "")]], sys.stdout)
    return EXIT_FAILED if delivered.links else EXIT_OK


def _left_out(link: str) -> TransferError:
    return TransferError(
        "A link leads out of the session folder; what it leads to was not copied.",
        code="copy-link-outside",
        where=link,
        fix="Put the file itself into the session folder before it is closed.",
    )


def list_copies(folders: Sequence[SessionFolder]) -> int:
    """Say which copies wait, of these sessions or of all; returns the exit code."""
    from ..transfer.flags import Flag, flags
    from ..transfer.queue import Job, jobs

    wanted = {str(folder.path) for folder in folders}
    found: list[Job | Flag] = [*jobs(), *flags()]
    found = [waiting for waiting in found if not wanted or waiting.session in wanted]
    for waiting in found:
        what = f"to {waiting.to}" if isinstance(waiting, Job) else str(waiting.file)
        sys.stdout.write(f"{waiting.session}\n  {what}, since {waiting.since}\n")
        sys.stdout.write(f"  {waiting.why or 'It was not tried yet.'}\n")
    if not found:
        sys.stdout.write("No copy waits.\n")
    return EXIT_OK


def _forget(named: Sequence[str], places: Sequence[str]) -> int:
    """Forget copies and manifests, also of sessions whose folders are gone."""
    from ..transfer.flags import flags, forget_flag
    from ..transfer.queue import forget_job, jobs

    if not named:
        raise _usage("A session is missing.", "Name the one whose copies are to be forgotten.")
    wanted = {*named, *(str(Path(name).expanduser().absolute()) for name in named)}

    def is_meant(session: str, place: str) -> bool:
        of_it = session in wanted or Path(session).name in wanted
        return of_it and (not places or place in places)

    copies = [job for job in jobs() if is_meant(job.session, job.to)]
    for job in copies:
        forget_job(job)
        sys.stdout.write(f"{job.session}: no copy to {job.to} is waited for.\n")
    manifests = [flag for flag in flags() if is_meant(flag.session, flag.folder)]
    for flag in manifests:
        forget_flag(flag)
        sys.stdout.write(f"{flag.session}: {flag.file} is not written.\n")
    if not copies and not manifests:
        sys.stdout.write("No copy waits there.\n" if places else "No copy waits.\n")
    return EXIT_OK


def _free(folders: Sequence[SessionFolder], places: Sequence[str]) -> int:
    from .freeing import free_session

    if places:
        raise TransferError(
            "--to does not go with --free, which makes no copies.",
            code="free-with-to",
            fix="Copy first, with --to and without --free: a copy that is there is only verified. "
            "Then: openscope transfer SESSION --free",
        )
    if not folders:
        raise _usage("A session is missing.", "Name the one whose data are to be removed.")
    return max(free_session(folder) for folder in folders)
