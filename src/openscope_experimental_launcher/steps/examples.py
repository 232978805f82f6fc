"""The steps `example_pre_acquisition_module` and `example_post_acquisition_module`: what a step is
told, written into the session. A beginning for a step of your own."""

from __future__ import annotations

from pydantic import BaseModel

from ..files import write_json
from . import StepContext, StepResult
from .fields import FROZEN


class ExampleParameters(BaseModel):
    """There are none."""

    model_config = FROZEN


class ExampleBefore:
    """Writes what it was told before the acquisition."""

    name = "example_pre_acquisition_module"
    interactive = False
    parameters_model = ExampleParameters

    def run(self, context: StepContext[ExampleParameters]) -> StepResult:
        """Write; see `Step.run`."""
        return _write(context, f"{self.name}.json")


class ExampleAfter:
    """Writes what it was told after the acquisition."""

    name = "example_post_acquisition_module"
    interactive = False
    parameters_model = ExampleParameters

    def run(self, context: StepContext[ExampleParameters]) -> StepResult:
        """Write; see `Step.run`."""
        return _write(context, f"{self.name}.json")


def _write(context: StepContext[ExampleParameters], name: str) -> StepResult:
    told = {
        "session": context.session_name,
        "subject_id": context.subject_id,
        "user_id": context.user_id,
        "phase": context.phase,
        "outcome": context.outcome,
        "rehearsal": context.rehearsal,
    }
    write_json(context.session_folder / name, told)
    return StepResult(True, f"{name} says what a step is told.", (name,))
