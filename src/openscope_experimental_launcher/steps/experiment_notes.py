"""The steps about the operator's notes: `experiment_notes_editor` opens an editor before the
acquisition, `experiment_notes_post_prompt` asks for a last word, and `experiment_notes_finalize`
sees that the notes are saved."""

from __future__ import annotations

import codecs
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from ..errors import ParameterError
from ..parameters.prompts import discard_type_ahead
from . import StepContext, StepResult
from .asking import read_line, say, wait_for_enter
from .fields import FROZEN, PathText, inside_session
from .left_running import ask_to_close, leave_running
from .routing import ROUTING_MANIFEST, add_route

ROUTE = "experiment_notes"


def _check_encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ParameterError(
            f"There is no encoding named {name}.",
            code="encoding-unknown",
            fix="Use utf-8.",
        ) from None


class NotesParameters(BaseModel):
    """Parameters of all steps about notes."""

    model_config = FROZEN

    experiment_notes_filename: PathText = Field(
        default="experiment_notes.txt", description="The notes, a file in the session folder."
    )
    experiment_notes_encoding: Annotated[str, AfterValidator(_check_encoding)] = Field(
        default="utf-8", description="Encoding of the notes."
    )


class EditorParameters(NotesParameters):
    """Parameters of `experiment_notes_editor`."""

    experiment_notes_launch_editor: bool = Field(
        default=True, description="Whether an editor is opened; else the file is only made."
    )
    experiment_notes_editor_command: str | None = Field(
        default=None, description="The editor; without it Notepad on Windows, elsewhere xdg-open."
    )
    experiment_notes_editor_args: list[str] = Field(
        default=[], description="Arguments of the editor; the file comes behind them."
    )


class FinalizeParameters(NotesParameters):
    """Parameters of `experiment_notes_finalize`."""

    experiment_notes_confirm_prompt: str = Field(
        default="Save your notes, then press Enter.", description="What the operator is told."
    )
    experiment_notes_autoclose_editor: bool = Field(
        default=True, description="Whether the editor is asked to close afterwards."
    )
    experiment_notes_preview: bool = Field(
        default=True, description="Whether the notes are shown at the end."
    )
    experiment_notes_preview_limit: int = Field(
        default=2000, ge=0, description="Characters of the notes that are shown, at most."
    )
    manifest_path: PathText | None = Field(
        default=None,
        description="Routing manifest that the notes are added to; routing_manifest.json when "
        "that is there.",
    )


class NotesEditor:
    """Makes the file of notes and opens it in an editor, which stays open during the session."""

    name = "experiment_notes_editor"
    interactive = True
    parameters_model = EditorParameters

    def run(self, context: StepContext[EditorParameters]) -> StepResult:
        """Make the file and open it; see `Step.run`."""
        wanted = context.parameters
        notes = _notes(context)
        files = (wanted.experiment_notes_filename,)
        if not notes.exists():
            _begin(notes, context)
        if not wanted.experiment_notes_launch_editor:
            return StepResult(True, f"{notes.name} is there.", files)
        command = _editor(wanted.experiment_notes_editor_command)
        if not command:
            return _no_editor(context, notes, files)
        arguments = [*command, *wanted.experiment_notes_editor_args]
        if str(notes) not in arguments:
            arguments.append(str(notes))
        pid = leave_running(context.session_folder, self.name, arguments)
        return StepResult(
            True, f"{Path(command[0]).name} shows {notes.name} (process {pid}).", files
        )


def _notes(context: StepContext[NotesParameters]) -> Path:
    named = context.parameters.experiment_notes_filename
    return inside_session(context.session_folder, named)


def _begin(notes: Path, context: StepContext[EditorParameters]) -> None:
    notes.parent.mkdir(parents=True, exist_ok=True)
    heading = f"{context.session_name}\nsubject {context.subject_id}, user {context.user_id}\n\n"
    with notes.open("x", encoding=context.parameters.experiment_notes_encoding) as stream:
        stream.write(heading)


def _editor(named: str | None) -> list[str]:
    """The command of the editor; empty when there is none here."""
    if not named or not named.strip():
        return _usual_editor()
    found = shutil.which(named)
    if found:
        return [found]
    words = shlex.split(named, posix=sys.platform != "win32")
    found = shutil.which(words[0].strip('"')) if words else None
    return [found, *words[1:]] if found else []


def _usual_editor() -> list[str]:
    if sys.platform == "win32":
        return [shutil.which("notepad.exe") or "notepad.exe"]
    if sys.platform == "darwin":
        return ["/usr/bin/open", "-t"]
    has_screen = bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    opener = shutil.which("xdg-open")
    return [opener] if has_screen and opener else []


def _no_editor(
    context: StepContext[EditorParameters], notes: Path, files: tuple[str, ...]
) -> StepResult:
    named = context.parameters.experiment_notes_editor_command
    words = f"There is no editor {named} here." if named else "No editor can be opened here."
    words = f"{words} The notes are {notes}."
    return StepResult(context.rehearsal or not named, words, files, warnings=(words,))


class NotesPostPrompt:
    """Asks for notes after the acquisition and adds them to the file, with the time.

    Each line is written when it is typed, so that none is lost with a question that is left.
    """

    name = "experiment_notes_post_prompt"
    interactive = True
    parameters_model = NotesParameters

    def run(self, context: StepContext[NotesParameters]) -> StepResult:
        """Ask and write; see `Step.run`."""
        notes = _notes(context)
        discard_type_ahead()
        say("Notes about the session; an empty line ends them.\n")
        name = context.parameters.experiment_notes_filename
        written = 0
        try:
            while line := read_line("notes").strip():
                _add(notes, line, context, begins=not written)
                written += 1
        except KeyboardInterrupt:
            if not written:
                raise
            words = f"It was interrupted; what was typed is kept in {name}."
            return StepResult(False, words, (name,), pending=True)
        if not written:
            return StepResult(True, "No notes were added.")
        return StepResult(True, f"{written} lines of notes were added.", (name,))


def _add(notes: Path, line: str, context: StepContext[NotesParameters], *, begins: bool) -> None:
    """Add a line to the notes; the first of several comes with the time."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    notes.parent.mkdir(parents=True, exist_ok=True)
    encoding = context.parameters.experiment_notes_encoding
    with notes.open("a", encoding=encoding, errors="backslashreplace") as stream:
        stream.write(f"\n[{now}]\n{line}\n" if begins else f"{line}\n")


class NotesFinalize:
    """Waits until the notes are saved, closes the editor, and shows what was saved."""

    name = "experiment_notes_finalize"
    interactive = True
    parameters_model = FinalizeParameters

    def run(self, context: StepContext[FinalizeParameters]) -> StepResult:
        """See that the notes are saved; see `Step.run`."""
        wanted = context.parameters
        notes = _notes(context)
        wait_for_enter(wanted.experiment_notes_confirm_prompt)
        warnings = []
        if wanted.experiment_notes_autoclose_editor:
            left = ask_to_close(context.session_folder)
            warnings = [f"The editor is still open: {_names(left)}."] if left else []
        if not notes.is_file():
            words = f"There are no notes: {notes} is not there."
            return StepResult(False, words, warnings=tuple(warnings))
        text = notes.read_text(encoding=wanted.experiment_notes_encoding, errors="replace")
        if wanted.experiment_notes_preview:
            say(_preview(text, wanted.experiment_notes_preview_limit))
        files = [wanted.experiment_notes_filename, *_route(context, notes)]
        words = f"{notes.name} has {len(text.splitlines())} lines."
        return StepResult(True, words, tuple(files), warnings=tuple(warnings))


def _names(left: Sequence[tuple[object, ...]]) -> str:
    return ", ".join(f"process {entry[1]}" for entry in left)


def _preview(text: str, limit: int) -> str:
    shown = text if len(text) <= limit else f"{text[:limit]}\n… {len(text) - limit} more characters"
    return f"{shown.rstrip()}\n"


def _route(context: StepContext[FinalizeParameters], notes: Path) -> list[str]:
    """Add the notes to the routing manifest, where there is one; the files that were changed."""
    named = context.parameters.manifest_path
    manifest = inside_session(context.session_folder, named or ROUTING_MANIFEST)
    if named is None and not manifest.exists():
        return []
    session = context.session_folder
    add_route(manifest, ROUTE, [notes.relative_to(session).as_posix()])
    return [manifest.relative_to(session).as_posix()]
