"""Running all steps of one phase of a session, for a run and for a recovery alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import Phase

if TYPE_CHECKING:
    from ..parameters.model import Parameters
    from ..session.folder import SessionFolder
    from ..session.journal import Journal
    from ..session.record import SessionRecord
    from .runner import Ask


def pipeline(parameters: Parameters, phase: Phase) -> list[Any]:
    """The entries of one phase as the parameter file has them."""
    before, after = parameters.pre_acquisition_pipeline, parameters.post_acquisition_pipeline
    return before if phase == "before" else after


def run_phase(
    phase: Phase,
    parameters: Parameters,
    folder: SessionFolder,
    journal: Journal,
    *,
    root: Path,
    rehearsal: bool,
    record: SessionRecord | None = None,
    sealed: bool = False,
    ask: Ask | None = None,
    terminal: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Run the steps of one phase.

    Args:
        phase: before or after the acquisition.
        parameters: the session's parameters.
        folder: the session folder.
        journal: the session's journal, for what became of each step.
        root: folder of the experiment's code.
        rehearsal: whether the session is one.
        record: what the journal says so far; steps that have been run are not run again. After a
            session that never came to its acquisition, none are.
        sealed: run those that come when the manifest is sealed, instead of the others.
        ask: lets a person decide what a failed step means; None when nobody is there.
        terminal: gives the terminal to a step or a question.

    Raises:
        StepError: a step before the acquisition failed and the session must not go on.
    """
    if not pipeline(parameters, phase):
        return
    from ..engines.python import interpreter
    from .pipeline import plan_steps
    from .runner import StepSession, comes_sealed, finished_steps, run_steps, skip_steps

    steps = [s for s in plan_steps(phase, parameters) if comes_sealed(s) == sealed]
    done = finished_steps(record) if record else frozenset()
    if phase == "after" and record and not (record.attempted or record.outcome == "completed"):
        skip_steps(steps, journal, "Not run: the session did not come to its acquisition.", done)
        return
    session = StepSession(
        folder,
        parameters,
        root,
        interpreter(parameters, root),
        rehearsal,
        outcome=(record.outcome or "lost") if phase == "after" and record else "",
        sealed=sealed,
    )
    run_steps(steps, session, journal, done=done, ask=ask, terminal=terminal)


def complete_archives(
    parameters: Parameters, folder: SessionFolder, record: SessionRecord, *, rehearsal: bool
) -> None:
    """Bring the end of the journal to the copies that this session's archivers made."""
    from ..parameters.placeholders import bind
    from .pipeline import own_values, plan_steps, session_values
    from .session_archiver import ArchiverParameters, SessionArchiver, complete_copies

    made = {step["position"] for step in record.steps if step["outcome"] == "ok"}
    for step in plan_steps("after", parameters):
        if step.name != SessionArchiver.name or step.position not in made:
            continue
        values = own_values(
            step, ArchiverParameters, session_values(parameters), rehearsal=rehearsal
        )
        complete_copies(bind(values, str(folder.path), folder.name), folder.path)
