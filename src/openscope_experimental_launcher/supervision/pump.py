"""Bringing the guard's records, and notes from beside, into the session's journal while the
acquisition runs."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

from ..session.journal import Journal
from ..session.notes import take_in_notes
from .supervisor import Acquisition

_LOOK_S = 0.5


class RecordPump(threading.Thread):
    """A thread that imports the guard's records until the guard has ended; `finish` the rest.

    Args:
        acquisition: the running acquisition.
        journal: the session's journal, which this process writes.
        session_folder: for which notes may be left; None when there is none.
    """

    def __init__(
        self, acquisition: Acquisition, journal: Journal, session_folder: Path | None
    ) -> None:
        super().__init__(name="record-pump", daemon=True)
        self._acquisition = acquisition
        self._journal = journal
        self._session_folder = session_folder

    def run(self) -> None:
        while not self._acquisition.ended_within(_LOOK_S):
            with suppress(OSError):
                self._import()

    def finish(self) -> None:
        """Import the rest, in the calling thread, once the guard has ended.

        Where it cannot be read or written, the journal has a failure from now on: the session
        cannot be closed, and says so. The guard's own records stay, for its recovery.
        """
        if self.ident is not None:
            self.join()
        try:
            self._acquisition.read_to_the_end()
            self._import()
        except OSError as error:
            self._journal.failure = self._journal.failure or error

    def _import(self) -> None:
        for record in self._acquisition.new_records():
            self._journal.import_guard_record(self._acquisition.run_folder.name, record)
        if self._session_folder is not None:
            with suppress(OSError):
                take_in_notes(self._session_folder, self._journal)
