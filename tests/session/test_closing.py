"""Closing a session whose disk cannot take its last record."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from openscope_experimental_launcher.closing import Closing, finish_closing
from openscope_experimental_launcher.recovery import recover
from openscope_experimental_launcher.session.folder import SessionFolder, claim
from openscope_experimental_launcher.session.journal import (
    AcquisitionJudged,
    Journal,
    ManifestSealed,
    StepFinished,
)
from openscope_experimental_launcher.session.record import read_record
from openscope_experimental_launcher.session.state import (
    fallback_journal,
    is_pending,
    pending_sessions,
    remember_session,
)


def test_what_is_left_to_be_done_is_known_though_the_last_record_had_no_room(
    small_disk: Path,
) -> None:
    folder = _sealed_with_a_pending_step(small_disk)
    journal = Journal(fallback_journal(folder.path))
    journal.open(folder.journal)
    hog = small_disk / "hog"
    with hog.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    with pytest.raises(OSError, match="No space left"):
        finish_closing(Closing(folder, journal, "launcher"), read_record(folder.journal))
    journal.close()
    assert read_record(folder.journal).closed is None
    hog.unlink()
    assert recover(folder).closed
    assert is_pending(folder.path) and pending_sessions() == [folder.path]


def _sealed_with_a_pending_step(disk: Path) -> SessionFolder:
    folder = claim(disk / "data", "614173")
    remember_session(folder.path)
    journal = Journal(fallback_journal(folder.path))
    journal.open(folder.journal)
    journal.record(AcquisitionJudged("completed", 0, ""))
    journal.record(StepFinished("after", 0, "notes", "pending", "", 0.0))
    journal.record(ManifestSealed("0" * 64, 0, 0))
    journal.close()
    with folder.journal.open("ab") as stream:  # the last block of it has no room either
        stream.write(b"\n" * (-folder.journal.stat().st_size % 4096))
    return folder
