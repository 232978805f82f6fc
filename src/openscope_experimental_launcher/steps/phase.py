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
        record: what is known to have been run already, and is not run again.
        ask: lets a person decide what a failed step means; None when nobody is there.
        terminal: gives the terminal to a step or a question.

    Raises:
        StepError: a step before the acquisition failed and the session must not go on.
    """
    if not pipeline(parameters, phase):
        return
    from ..engines.python import interpreter
    from .pipeline import plan_steps
    from .runner import StepSession, finished_steps, run_steps

    session = StepSession(folder, parameters, root, interpreter(parameters, root), rehearsal)
    done = finished_steps(record) if record else frozenset()
    run_steps(
        plan_steps(phase, parameters), session, journal, done=done, ask=ask, terminal=terminal
    )
