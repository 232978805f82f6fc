"""A note from beside reaches the journal, whoever holds it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openscope_experimental_launcher.amending import take_in_late_notes
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.notes import leave_note
from supervision.test_recovery import (
    COUNTING,
    assert_closed,
    events,
    launch,
    says,
    session_in,
    wait_for,
)

Experiment = Callable[..., Path]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]


def _notes(session: Path) -> list[tuple[str, str]]:
    found = (event["data"] for event in events(session) if event["name"] == "note.added")
    return [(note["text"], note["by"]) for note in found]


def test_the_launcher_takes_a_note_in_while_the_acquisition_runs(
    python_experiment: Experiment, workplace: Path
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=60)))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    leave_note(session, "the mouse sleeps", "Frieda Müller")
    wait_for(lambda: _notes(session))
    names = [event["name"] for event in events(session)]
    assert "acquisition.ended" not in names
    assert launcher.wait(60) == 0
    assert assert_closed(session)["outcome"] == "completed"
    assert _notes(session) == [("the mouse sleeps", "Frieda Müller")]


def test_a_note_for_a_session_without_a_launcher_is_taken_in_by_its_recovery(
    python_experiment: Experiment, workplace: Path
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=40)))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    launcher.kill()
    launcher.wait()
    leave_note(session, "the launcher is gone", "A")
    wait_for(lambda: any(event["name"] == "session.closed" for event in events(session)))
    assert assert_closed(session)["closed_by"] == "recovery"
    assert _notes(session) == [("the launcher is gone", "A")]


def test_a_note_that_comes_too_late_is_taken_in_all_the_same(
    python_experiment: Experiment, workplace: Path, openscope: Openscope
) -> None:
    assert openscope("run", str(python_experiment("print(1)")), "--yes").returncode == 0
    session = session_in(workplace)
    assert session is not None
    sealed: dict[str, Any] = json.loads((session / "manifest.json").read_bytes())
    leave_note(session, "afterwards", "A")
    take_in_late_notes(SessionFolder(session))
    assert _notes(session) == [("afterwards", "A")]
    assert events(session)[-1]["name"] == "session.closed"
    assert json.loads((session / "manifest.json").read_bytes()) == sealed
    found = openscope("sessions", "--text", "afterwards")
    assert session.name in found.stdout
