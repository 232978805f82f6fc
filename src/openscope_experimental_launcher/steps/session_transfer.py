"""The step `session_transfer`: has the closed session copied in the background, verified."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from ..errors import ParameterError
from ..parameters.paths import drive_error, on_missing_drive, rehearsal_path, with_own_separators
from ..transfer.queue import add_job
from . import StepContext, StepResult
from .fields import FROZEN, check_absolute


def _check_folders(given: list[str]) -> list[str]:
    if not given or not all(folder.strip() for folder in given):
        raise ParameterError(
            "The session has no folder to be copied to.",
            code="archive-folder-missing",
            fix='Name folders: "transfer_to": ["//server/data"].',
        )
    return [check_absolute(folder) for folder in given]


class TransferParameters(BaseModel):
    """Parameters of `session_transfer`."""

    model_config = FROZEN

    transfer_to: Annotated[list[str], AfterValidator(_check_folders)] = Field(
        default=[],
        validate_default=True,
        description="Folders on shares or disks, absolute; the copies go below them under the "
        "session's name.",
    )


class SessionTransfer:
    """Puts the session into the queue of copies, which is gone through when it is closed."""

    name = "session_transfer"
    interactive = False
    after_seal = True
    parameters_model = TransferParameters

    def run(self, context: StepContext[TransferParameters]) -> StepResult:
        """Put it there; see `Step.run`."""
        named = context.parameters.transfer_to
        if context.rehearsal:
            folders = [rehearsal_path(folder) for folder in named]
            return StepResult(True, f"It would be copied to {', '.join(map(str, folders))}.")
        for folder in named:
            if on_missing_drive(folder):
                return StepResult(False, drive_error(folder).message)
            add_job(context.session_folder, with_own_separators(folder))
        return StepResult(True, f"It is copied to {', '.join(named)} when it is closed.")
