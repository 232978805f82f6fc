"""The step `session_creator`: the session's standard metadata by the AIND schema.

They are made whenever a session is closed and the library of the schema is installed, in a process
that nobody waits for. So in a session this step only sees that it will be so; run again on a closed
session, it makes them.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, create_model

from ..errors import Finding
from ..metadata.aind import NOT_INSTALLED, is_installed
from ..metadata.aind.making import make_records, write_records
from ..parameters.model import METADATA_KEYS
from ..session.folder import SessionFolder
from ..session.record import read_record
from . import StepContext, StepResult
from .fields import FROZEN

_fields: Any = {
    key: (Any, Field(default=None, description=meaning)) for key, meaning in METADATA_KEYS.items()
}
SessionCreatorParameters: type[BaseModel] = create_model(
    "SessionCreatorParameters", __config__=FROZEN, **_fields
)


class SessionCreator:
    """Sees to `acquisition.json`, `data_description.json` and `processing.json`."""

    name = "session_creator"
    interactive = False
    parameters_model = SessionCreatorParameters

    def preflight(self) -> list[Finding]:
        """Before the session: a warning when they cannot be made."""
        return [] if is_installed() else [NOT_INSTALLED]

    def run(self, context: StepContext[BaseModel]) -> StepResult:
        """See to them; see `Step.run`."""
        if not is_installed():
            words = f"{NOT_INSTALLED.message} {NOT_INSTALLED.fix}"
            return StepResult(context.rehearsal, words, pending=not context.rehearsal)
        folder = SessionFolder(context.session_folder)
        if read_record(folder.journal).closed is None:
            if context.session_parameters.get("session_metadata") is False:
                return StepResult(True, "Nothing is made: session_metadata is false.")
            return StepResult(True, "The standard metadata are made when the session is closed.")
        made = make_records(folder)
        files = tuple(write_records(folder, made))
        return StepResult(
            True, f"{', '.join(made.records)}.", files, tuple(gap.message for gap in made.gaps)
        )
