"""The step `watchdog_manifest`: tells a service that watches a folder to take the session over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from ..errors import ParameterError
from ..transfer.flags import Flag, keep_flag, manifest_of, raise_flag, was_raised
from ..transfer.modalities import MODALITIES, modality_meant
from . import StepContext, StepResult
from .fields import FROZEN, TargetText

_TIME = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$")
_OWN_KEYS = (
    "name",
    "subject_id",
    "acquisition_datetime",
    "project_name",
    "destination",
    "modalities",
    "schemas",
    "schedule_time",
)


def _check_modalities(given: dict[str, list[str]]) -> dict[str, list[str]]:
    for named, files in given.items():
        if named not in MODALITIES:
            meant = modality_meant(named)
            use = f"Use {meant}." if meant else f"Use one of: {', '.join(MODALITIES)}."
            raise ParameterError(
                f"There is no modality {named} in the AIND schema.",
                code="modality-unknown",
                fix=use,
            )
        if not files:
            raise ParameterError(
                f"The modality {named} names no files.",
                code="modality-empty",
                fix="Name files or folders of the session folder, or leave it out.",
            )
    if not given:
        raise ParameterError(
            "The manifest for the watchdog names no data.",
            code="modality-empty",
            fix='Name them: "watchdog_modalities": {"behavior": ["behavior"]}.',
        )
    return given


def _check_time(given: str | None) -> str | None:
    if given is None or not given.strip():
        return None
    match = _TIME.match(given.strip())
    if match:
        return f"{int(match[1]):02d}:{match[2]}:{match[3] or '00'}"
    raise ParameterError(
        f"{given} is no time of day.",
        code="watchdog-time-invalid",
        fix="Write it as in 03:00.",
    )


def _check_others(given: dict[str, Any]) -> dict[str, Any]:
    own = next((key for key in given if key in _OWN_KEYS), None)
    if own is None:
        return given
    raise ParameterError(
        f"The manifest's {own} is the launcher's to write.",
        code="watchdog-key-taken",
        fix="Take it out of watchdog_others.",
    )


class WatchdogParameters(BaseModel):
    """Parameters of `watchdog_manifest`."""

    model_config = FROZEN

    watchdog_flag_dir: TargetText | None = Field(
        default=None, description="Folder that the service watches; it must be there."
    )
    watchdog_destination: str | None = Field(
        default=None, description="Folder that the service copies the session to."
    )
    watchdog_modalities: Annotated[dict[str, list[str]], AfterValidator(_check_modalities)] = Field(
        default={},
        validate_default=True,
        description="Abbreviations of modalities, as in the AIND schema, to files and folders of "
        "the session folder.",
    )
    project_name: str | None = Field(
        default=None, description="The project that the data belong to."
    )
    watchdog_schemas: list[str] | None = Field(
        default=None,
        description="Metadata files in the session folder; without it those of the AIND schema "
        "that are there.",
    )
    watchdog_schedule_time: Annotated[str | None, AfterValidator(_check_time)] = Field(
        default=None, description="Time of day at which the service begins; at once without it."
    )
    watchdog_others: Annotated[dict[str, Any], AfterValidator(_check_others)] = Field(
        default={}, description="More keys of the manifest, for the service."
    )

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        for key in ("watchdog_flag_dir", "watchdog_destination", "project_name"):
            if not (getattr(self, key) or "").strip():
                raise ParameterError(
                    f"The manifest for the watchdog needs {key}.",
                    code="watchdog-incomplete",
                    fix="Give it in the parameter file or the rig file.",
                )
        return self


class WatchdogManifest:
    """Has `manifest_<session>.yml` written when all else of the session is done."""

    name = "watchdog_manifest"
    interactive = False
    after_seal = True
    parameters_model = WatchdogParameters

    def run(self, context: StepContext[WatchdogParameters]) -> StepResult:
        """Note what is to be written; see `Step.run`."""
        wanted = context.parameters
        flag = Flag(
            str(context.session_folder),
            str(Path(wanted.watchdog_flag_dir or "").absolute()),
            context.subject_id,
            wanted.project_name or "",
            wanted.watchdog_destination or "",
            wanted.watchdog_modalities,
            wanted.watchdog_schemas,
            wanted.watchdog_schedule_time or "",
            wanted.watchdog_others,
        )
        manifest_of(flag)  # says what is missing while somebody is there
        if context.rehearsal:
            flag.file.parent.mkdir(parents=True, exist_ok=True)
            raise_flag(flag)
            return StepResult(True, f"{flag.file} was written, for the rehearsal.")
        if was_raised(flag):  # this step runs again whenever the session is changed
            return StepResult(True, f"{flag.file} was written before, and is not again.")
        keep_flag(flag)
        return StepResult(True, f"{flag.file} is written when all else is done.")
