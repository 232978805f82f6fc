"""The session report: one HTML file that says what a session was, for those who were not there.

It only reads what a session left. Whatever cannot be read is passed over and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import SessionError
from ..files import write_atomic
from ..session.folder import SessionFolder
from .contents import REPORT_NAME
from .page import page_of
from .reading import read_story

__all__ = ["REPORT_NAME", "make_report", "report_unwritable"]


def make_report(
    session_folder: Path, file: Path | None = None, *, added: Mapping[str, bytes] | None = None
) -> Path:
    """Write the report of a session, whatever state it is in.

    The manifest of a closed session lists its files: whoever lets the report be written into such
    a folder has to seal it anew (see `amending.complete`).

    Args:
        session_folder: the session folder.
        file: where to; by default `report.html` in the session folder.
        added: files that are sealed together with it, by their paths in the session folder.

    Returns:
        The file.

    Raises:
        SessionError: the folder is no session, or the report cannot be written.
    """
    folder = SessionFolder(session_folder.absolute())
    target = file or folder.path / REPORT_NAME
    html = page_of(read_story(folder, added or {})).encode("utf-8", "replace")
    try:
        write_atomic(target, html)
    except OSError as error:
        raise report_unwritable(error, target) from error
    return target


def report_unwritable(error: OSError, where: Path) -> SessionError:
    """The error of a report that cannot be written."""
    return SessionError(
        f"The report cannot be written: {error.strerror or error}.",
        code="report-unwritable",
        where=str(where),
        fix="Name another place: openscope report SESSION --output FILE.",
    )
