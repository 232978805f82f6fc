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
    """A thread that imports the guard's records until the guard has ended, and then the rest.

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
        # With no room left for records, here or in the state folder, the session cannot be closed,
        # and says so. The guard's own records stay where they are, for its recovery.
        with suppress(OSError):
            while not self._acquisition.ended_within(_LOOK_S):
                self._import()
            self._import()

    def _import(self) -> None:
        for record in self._acquisition.new_records():
            self._journal.import_guard_record(self._acquisition.run_folder.name, record)
        if self._session_folder is not None:
            take_in_notes(self._session_folder, self._journal)
