"""What a person can do on the page, each through what the command line does it through."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..commands import CommandFailed, run_command, start_detached
from ..display.stream import one_line
from ..errors import ParameterError, SessionError, attempt
from ..parameters.wording import printable
from ..report import REPORT_NAME
from ..session.folder import SessionFolder
from ..session.notes import leave_note
from ..session.output import tail
from ..session.state import (
    known_roots,
    noted_for_history,
    open_sessions,
    short_hash,
    state_folder,
)
from ..supervision.strays import end_run, running_runs, see_to_the_end

_PACKAGE = __package__.rpartition(".")[0]
_OPENSCOPE = (sys.executable, "-P", "-m", _PACKAGE)
_LONGEST = 400  # characters of a name or a reason
_REPORT_S = 300.0
_SAID = 2000
_LARGEST_REPORT = 64 * 1024 * 1024


def add_note(folder: SessionFolder, text: str, by: str) -> None:
    """Leave a note for a session; whoever writes its journal takes it in.

    Raises:
        ParameterError: there is nothing in it.
        SessionError: it cannot be kept.
    """
    if not text.strip():
        raise ParameterError(
            "The note is empty.", code="note-empty", fix="Write what is to be remembered."
        )
    try:
        leave_note(folder.path, text.strip(), by.strip()[:_LONGEST] or "the live page")
    except OSError as error:
        raise SessionError(
            f"The note cannot be kept: {error.strerror or error}.",
            code="note-not-kept",
            where=str(state_folder()),
            fix="Make room on its disk, or ask for the rights.",
        ) from error


def stop(folder: SessionFolder, reason: str, *, by_force: bool) -> None:
    """Ask a session's acquisition to end, or end it; its guard does it.

    Raises:
        SessionError: nothing of it is running.
    """
    runs = running_runs(folder)
    words = reason.strip()[:_LONGEST] or "the live page"
    for run in runs:
        end_run(run, words, by_force=by_force)
    threading.Thread(target=partial(attempt, partial(see_to_the_end, runs)), daemon=True).start()


def recover(folder: SessionFolder, on_failure: Callable[[str], object]) -> None:
    """Start the recovery of a session, in a process of its own that outlives this one.

    Args:
        folder: the session folder.
        on_failure: told what was in its way, from another thread.
    """
    log = state_folder() / f"recovery-{short_hash(str(folder.path))}.log"
    log.unlink(missing_ok=True)
    process = start_detached([*_OPENSCOPE, "recover", str(folder.path)], log)

    def see_it_end() -> None:
        if process.wait() != 0:
            on_failure(f"The recovery failed: {one_line(tail(log)[-_SAID:])}")

    threading.Thread(target=see_it_end, daemon=True).start()


def session_of_address(root: str, name: str, roots: list[Path]) -> SessionFolder:
    """The session that the address of a report names.

    Args:
        root: the short hash of a folder of sessions that is known here.
        name: the name of a session folder in it.
        roots: folders of sessions that were named.

    Raises:
        SessionError: there is none.
    """
    noted = [*open_sessions(), *(folder for _, folder in noted_for_history())]
    known = [*roots, *known_roots(), *(folder.parent for folder in noted)]
    for parent in dict.fromkeys(known):
        if short_hash(str(parent)) != root or Path(name).name != name or name == "..":
            continue
        folder = SessionFolder(parent / name)
        # A link could lead out of the folder that is known.
        if folder.journal.is_file() and not folder.path.is_symlink():
            return folder
    raise SessionError(
        "There is no session of this name here, or its folder is gone.",
        code="session-unknown",
        where=printable(name),
        fix="Bring its disk back, or look for it in the history.",
    )


def report_of(folder: SessionFolder) -> bytes:
    """The report of a session: the one in its folder, else one that is made for the asker.

    Raises:
        SessionError: it cannot be made.
    """
    made = _made(folder)
    if made is not None:
        return made
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / REPORT_NAME
        # In a process of its own: what a session left can be of any size and any kind.
        arguments = [*_OPENSCOPE, "report", str(folder.path), "--output", str(file)]
        try:
            run_command(arguments, timeout_s=_REPORT_S)
        except CommandFailed as error:
            raise SessionError(
                f"The report cannot be made: {error.said}",
                code="report-not-made",
                where=str(folder.path),
                fix="Try it by hand: openscope report SESSION --output FILE",
            ) from error
        return file.read_bytes()


def _made(folder: SessionFolder) -> bytes | None:
    """The report in the folder of a closed session."""
    file = folder.path / REPORT_NAME
    closed = folder.manifest.is_file()  # before that, it is not the launcher's
    if not closed or file.is_symlink() or not file.is_file():
        return None
    return file.read_bytes() if file.stat().st_size <= _LARGEST_REPORT else None
