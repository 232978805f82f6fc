"""The steps `mouse_weight_pre_prompt` and `mouse_weight_post_prompt`: the animal's weight before
and after, asked for and appended to `mouse_weight.csv`."""

from __future__ import annotations

import csv
import math
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from ..parameters.prompts import ask
from ..session.folder import SessionFolder
from ..session.weights import COLUMNS
from . import StepContext, StepResult
from .fields import FROZEN

_LIGHTEST_G, _HEAVIEST_G = 1.0, 200.0


class MouseWeightParameters(BaseModel):
    """There are none."""

    model_config = FROZEN


class MouseWeightBefore:
    """Asks for the weight before the acquisition."""

    name = "mouse_weight_pre_prompt"
    interactive = True
    parameters_model = MouseWeightParameters

    def run(self, context: StepContext[MouseWeightParameters]) -> StepResult:
        """Ask and write; see `Step.run`."""
        return _weigh(context, "before")


class MouseWeightAfter:
    """Asks for the weight after the acquisition."""

    name = "mouse_weight_post_prompt"
    interactive = True
    parameters_model = MouseWeightParameters

    def run(self, context: StepContext[MouseWeightParameters]) -> StepResult:
        """Ask and write; see `Step.run`."""
        return _weigh(context, "after")


def _weigh(context: StepContext[MouseWeightParameters], phase: str) -> StepResult:
    question = f"Weight of {context.subject_id} {phase} the session, in grams"
    weight = ask(question, validate=_grams)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    row = (now, phase, weight, context.subject_id, context.user_id)
    table = SessionFolder(context.session_folder).weights
    _append(table, row)
    return StepResult(True, f"{weight} g {phase} the session.", (table.name,))


def _grams(answer: str) -> str:
    """The answer as a number with a point, when a mouse can weigh that."""
    text = answer.lower().removesuffix("g").strip().replace(",", ".")
    try:
        weight = float(text)
    except ValueError:
        raise ValueError(f"{answer} is no number of grams.") from None
    if not math.isfinite(weight) or not _LIGHTEST_G <= weight <= _HEAVIEST_G:
        raise ValueError(f"No mouse weighs {answer} g; give grams, as in 21.5.")
    return f"{weight:g}"


def _append(table: Path, row: tuple[str, ...]) -> None:
    with table.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if stream.tell() == 0:
            writer.writerow(COLUMNS)
        writer.writerow(row)
