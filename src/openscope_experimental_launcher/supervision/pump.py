"""Bringing the guard's records into the session's journal while the acquisition runs."""

from __future__ import annotations

import threading
from contextlib import suppress

from ..session.journal import Journal
from .supervisor import Acquisition

_LOOK_S = 0.25


class RecordPump(threading.Thread):
    """A thread that imports the guard's records until the guard has ended, and then the rest.

    Args:
        acquisition: the running acquisition.
        journal: the session's journal, which this process writes.
    """

    def __init__(self, acquisition: Acquisition, journal: Journal) -> None:
        super().__init__(name="record-pump", daemon=True)
        self._acquisition = acquisition
        self._journal = journal

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
