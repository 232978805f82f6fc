"""The process that makes of a closed session what nobody waits for (see `afterwards.py`).

python -m openscope_experimental_launcher.cli.afterwards SESSION_FOLDER [metadata] [report] [copies]
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..amending import complete
from ..delivery import waiting_sessions
from ..errors import EXIT_FAILED, EXIT_OK, attempt
from ..session.folder import SessionFolder
from ..session.index import open_history
from .transfer import continue_copies


def main(folder: SessionFolder, wanted: set[str]) -> int:
    """Make what is wanted. Whatever becomes of one of them, the next is made."""
    code = _records(folder, wanted)
    failure = attempt(_update_history)
    if failure is not None:  # then whoever asks for the history next does it
        _say(folder, failure.traceback)
    if folder in waiting_sessions():  # perhaps only since its records were made
        codes: list[int] = []
        failure = attempt(lambda: codes.append(continue_copies([folder])))
        if failure is not None:
            _say(folder, failure.traceback)
        code = max(code, *codes, EXIT_FAILED if failure else EXIT_OK)
    return code


def _records(folder: SessionFolder, wanted: set[str]) -> int:
    metadata, report = "metadata" in wanted, "report" in wanted
    if not metadata and not report:
        return EXIT_OK
    failure = attempt(lambda: complete(folder, metadata=metadata, report=report))
    if failure is None:
        return EXIT_OK
    _say(folder, failure.traceback)
    if failure.bug and metadata and report:
        again = attempt(lambda: complete(folder, metadata=False, report=True))
        _say(folder, again.traceback if again else "The report was made without the metadata.\n")
    return EXIT_FAILED


def _update_history() -> None:
    with open_history():
        pass


def _say(folder: SessionFolder, words: str) -> None:
    sys.stdout.write(f"{folder.path}\n{words}")


if __name__ == "__main__":
    sys.exit(main(SessionFolder(Path(sys.argv[1])), set(sys.argv[2:])))
