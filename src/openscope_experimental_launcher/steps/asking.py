"""Asking the operator in a step that owns the terminal, beside `parameters.prompts.ask`."""

from __future__ import annotations

import sys

from ..errors import StepError
from ..parameters.prompts import discard_type_ahead
from ..session.output import readable


def say(text: str) -> None:
    """Show text in which nothing acts on the terminal."""
    encoding = sys.stdout.encoding or "utf-8"
    safe = readable(text.encode("utf-8", "replace"))
    sys.stdout.write(safe.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def wait_for_enter(prompt: str) -> None:
    """Show `prompt` and wait until Enter is pressed.

    Raises:
        StepError: the input ended.
    """
    discard_type_ahead()
    say(f"{prompt.rstrip()} ")
    read_line(prompt)


def read_line(question: str) -> str:
    """One line that is typed, without its end.

    Raises:
        StepError: the input ended.
    """
    line = sys.stdin.readline()
    if line:
        return line.rstrip("\r\n")
    say("\n")
    raise StepError(
        f"The input ended before an answer to: {question}",
        code="step-no-answer",
        fix="Run the step again at a terminal.",
    )
