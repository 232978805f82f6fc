"""The step `disk_space_check`: is there room for what the session will record?"""

from __future__ import annotations

import shutil

from pydantic import BaseModel, ConfigDict, Field

from . import StepContext, StepResult


class DiskSpaceParameters(BaseModel):
    """Parameters of `disk_space_check`."""

    model_config = ConfigDict(frozen=True)

    required_free_gb: float = Field(
        default=10.0,
        ge=0,
        description="Gigabytes (10^9 bytes) that must be free on the session's volume.",
    )


class DiskSpaceCheck:
    """Fails when the volume of the session folder has less room than is required."""

    name = "disk_space_check"
    interactive = False
    parameters_model = DiskSpaceParameters

    def run(self, context: StepContext[DiskSpaceParameters]) -> StepResult:
        """Look at the volume; see `Step.run`."""
        free_gb = shutil.disk_usage(context.session_folder).free / 1e9
        required_gb = context.parameters.required_free_gb
        words = f"{free_gb:.1f} GB are free, {required_gb:g} GB are required."
        # A rehearsal's disk is not the one that will be recorded to.
        return StepResult(free_gb >= required_gb or context.rehearsal, words)
