"""The step `wait_for_user_input`: the session goes on when the operator presses Enter."""

from __future__ import annotations

from pydantic import BaseModel, Field

from . import StepContext, StepResult
from .asking import wait_for_enter
from .fields import FROZEN


class WaitParameters(BaseModel):
    """Parameters of `wait_for_user_input`."""

    model_config = FROZEN

    prompt: str = Field(default="Press Enter to go on.", description="What the operator is told.")


class WaitForUserInput:
    """Waits for Enter."""

    name = "wait_for_user_input"
    interactive = True
    parameters_model = WaitParameters

    def run(self, context: StepContext[WaitParameters]) -> StepResult:
        """Wait; see `Step.run`."""
        wait_for_enter(context.parameters.prompt)
        return StepResult(True, "The operator went on.")
