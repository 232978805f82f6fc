"""The steps before and after the acquisition, and the questions they may ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..plan import Plan
from ..session.folder import SessionFolder
from ..session.journal import Journal
from ..session.record import SessionRecord

if TYPE_CHECKING:
    from ..steps.pipeline import PlannedStep
    from .options import Display

Phase = Literal["before", "after"]
Choice = Literal["retry", "go on", "abort"]

_CHOICES: dict[str, Choice] = {"r": "retry", "g": "go on", "a": "abort"}


def pipeline(plan: Plan, phase: Phase) -> list[Any]:
    """The entries of one phase as the parameter file has them."""
    parameters = plan.parameters
    before, after = parameters.pre_acquisition_pipeline, parameters.post_acquisition_pipeline
    return before if phase == "before" else after


def run_phase(
    phase: Phase,
    plan: Plan,
    folder: SessionFolder,
    journal: Journal,
    *,
    record: SessionRecord | None,
    display: Display | None,
    interactive: bool,
) -> None:
    """Run the steps of one phase.

    Args:
        phase: before or after the acquisition.
        plan: the session's plan.
        folder: the session folder.
        journal: the session's journal, for what became of each step.
        record: what is known to have been run already, and is not run again.
        display: gives the terminal away while a step or a question has it.
        interactive: whether there is a person to ask.

    Raises:
        StepError: a step before the acquisition failed and the session must not go on.
    """
    from ..engines.python import interpreter
    from ..steps.pipeline import plan_steps
    from ..steps.runner import StepSession, finished_steps, run_steps

    root = plan.source.root
    session = StepSession(
        folder, plan.parameters, root, interpreter(plan.parameters, root), plan.rehearsal
    )
    run_steps(
        plan_steps(phase, plan.parameters),
        session,
        journal,
        done=finished_steps(record) if record else frozenset(),
        ask=partial(_ask, display) if interactive else None,
        terminal=partial(_own_terminal, display),
    )


def _ask(display: Display | None, step: PlannedStep, why: str) -> Choice:
    """Let the person decide what a failed step means."""
    from ..parameters.prompts import ask

    def one_of(answer: str) -> str:
        if answer not in _CHOICES:
            raise ValueError("Answer r, g or a.")
        return answer

    question = f"{step.name}: {why} (r)etry, (g)o on or (a)bort"
    with _own_terminal(display):
        return _CHOICES[ask(question, default="r", validate=one_of)]


@contextmanager
def _own_terminal(display: Display | None) -> Iterator[None]:
    """Give the terminal to a question or a step, without what was typed before."""
    from ..parameters.prompts import discard_type_ahead

    if display is not None:
        display.pause()
    discard_type_ahead()
    try:
        yield
    finally:
        if display is not None:
            display.resume()
