"""`openscope transfer --free`: the questions before anything is removed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, EXIT_OK, TransferError

if TYPE_CHECKING:
    from ..session.folder import SessionFolder


def free_session(folder: SessionFolder) -> int:
    """Verify copies of a session, ask, and remove its data here; returns the exit code.

    Args:
        folder: the session folder.

    Raises:
        TransferError: there are no two good copies, or nobody is there to be asked.
    """
    from ..display.words import count, size
    from ..freeing import COPIES_NEEDED, apart, check_copy, free, known_copies, removable
    from ..parameters.prompts import ask, is_interactive

    if not is_interactive():
        raise TransferError(
            "Data are only removed when a person at a terminal says so.",
            code="free-needs-person",
            where=str(folder.path),
            fix="Run it at a terminal.",
        )
    what = removable(folder, _progress(f"{folder.name} here"))
    if not what.files:
        sys.stdout.write(f"{folder.path}: no data are here.\n")
        return EXIT_OK
    checked = [check_copy(folder, copy, _progress(copy)) for copy in known_copies(folder)]
    for copy in checked:
        sys.stdout.write(f"{copy.folder}: {copy.problem or 'every byte is as it was sealed'}\n")
    good = apart(checked)
    if len(good) < COPIES_NEEDED:
        raise TransferError(
            f"Two good copies are needed, and there are {len(good)}. Nothing was removed.",
            code="free-copies-missing",
            where=str(folder.path),
            fix="Make another with openscope transfer SESSION --to DIR.",
        )
    sys.stdout.write(
        f"{count(len(what.files), 'file')}, {size(what.size_bytes)}, will be removed from "
        f"{folder.path}; journal, manifest, metadata, logs and report stay.\n"
    )
    if ask("Type the session's name to remove them", default="no") != folder.name:
        sys.stdout.write("Nothing was removed.\n")
        return EXIT_FAILED
    free(folder, what, good)
    sys.stdout.write("Removed.\n")
    return EXIT_OK


def _progress(title: str) -> Callable[[int, int], None] | None:
    if not sys.stdout.isatty():
        return None

    def show(done: int, total: int) -> None:
        ending = "\r\x1b[K" if done == total else ""
        sys.stdout.write(f"\r{100 * done // max(total, 1):3d} % of {title} compared{ending}")
        sys.stdout.flush()

    return show
