"""What steps may ask of the person at the terminal, and how they get the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ..steps.pipeline import PlannedStep
    from .options import Display

Choice = Literal["retry", "go on", "abort"]

_WHY_S = 10.0
_CHOICES: dict[str, Choice] = {"r": "retry", "g": "go on", "a": "abort"}
_BY_ENTER = {"continue": "g", "abort": "a", "prompt": "r"}


def ask_about(display: Display | None, step: PlannedStep, why: str) -> Choice:
    """Let the person decide what a failed step means. Enter alone does what its entry says."""
    from ..parameters.prompts import ask

    def one_of(answer: str) -> str:
        if answer not in _CHOICES:
            raise ValueError("Answer r, g or a.")
        return answer

    question = f"{step.name}: {why} (r)etry, (g)o on or (a)bort"
    with own_terminal(display):
        return _CHOICES[ask(question, default=_BY_ENTER[step.on_failure], validate=one_of)]


def ask_why_stopped(display: Display | None) -> str:
    """Let the person who stopped an acquisition say why; empty when they do not care to."""
    from ..parameters.prompts import ask_within

    question = f"Why was it stopped? (Enter skips, and so do {_WHY_S:g} s)"
    with suppress(KeyboardInterrupt), own_terminal(display):
        return ask_within(question, _WHY_S)
    return ""


@contextmanager
def own_terminal(display: Display | None) -> Iterator[None]:
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
