"""The steps `metadata_project_validator` and `metadata_protocol_validator`: is what the session is
filed under known?"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from ..errors import ParameterError, did_you_mean
from ..files import write_json
from . import StepContext, StepResult
from .fields import FROZEN, PathText, inside_session
from .service import Answer, ServiceParameters, address, get, is_on_service, place_on_service

# A number of the institute's protocol system, or an address of protocols.io (a DOI).
_PROTOCOL = re.compile(r"\d+|(https?://)?(dx\.)?(doi\.org/)?10\.\d{4,9}/\S+")
_NAMES_SHOWN = 10
_PROJECT = "project.json"


def _check_protocol_ids(value: Any) -> Any:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, (int, str)):
            raise ParameterError(
                "protocol_id must be a number, a text, or a list of them.",
                code="parameter-type",
                fix="Write the protocol's number.",
            )
    return value


_Protocol = Annotated[Any, AfterValidator(lambda v: None if v is None else _check_protocol_ids(v))]


def _ids(protocol: Any) -> list[str]:
    items = protocol if isinstance(protocol, list) else [protocol]
    return [str(item).strip() for item in items if item is not None and str(item).strip()]


class ProjectParameters(ServiceParameters):
    """Parameters of `metadata_project_validator`."""

    metadata_project_name: str | None = Field(
        default=None, description="Name of the project that the session belongs to."
    )
    metadata_project_path: PathText = Field(
        default=_PROJECT,
        description="Where the project is written, in the session folder. What begins with /api/ "
        "is instead the place of the service that is asked.",
    )
    protocol_id: _Protocol = Field(
        default=None, description="The protocol or protocols, written with the project."
    )


class ProtocolParameters(BaseModel):
    """Parameters of `metadata_protocol_validator`."""

    model_config = FROZEN

    protocol_id: _Protocol = Field(
        default=None, description="The protocol: a number, a DOI, or a list of them."
    )


class ProjectValidator:
    """Looks the project up among `/api/v2/project_names` and writes `project.json`."""

    name = "metadata_project_validator"
    interactive = False
    parameters_model = ProjectParameters

    def run(self, context: StepContext[ProjectParameters]) -> StepResult:
        """Look up and write; see `Step.run`."""
        wanted = context.parameters
        project = (wanted.metadata_project_name or "").strip()
        if not project:
            return StepResult(False, "No project is named: give metadata_project_name.")
        url = address(wanted.metadata_service_base_url, "api", "v2", "project_names")
        if is_on_service(wanted.metadata_project_path):
            url = place_on_service(wanted.metadata_service_base_url, wanted.metadata_project_path)
        if context.rehearsal:
            words = f"A rehearsal asks no service; a session looks {project} up at {url}"
            return StepResult(True, words, _write(context, project, validated=False))
        answer = get(url, wanted.metadata_service_timeout)
        names = _names(answer)
        if answer.kind == "away":
            files = _write(context, project, validated=False)
            return StepResult(False, answer.message, files, pending=True)
        if names is None:
            why = answer.message or "The metadata service sent no list of project names."
            return StepResult(False, why, _write(context, project, validated=False))
        if project not in names:
            return StepResult(False, _unknown(project, names))
        warnings = (answer.message,) if answer.kind == "kept" else ()
        files = _write(context, project, validated=True)
        return StepResult(True, f"The project {project} is known.", files, warnings)


def _names(answer: Answer) -> list[str] | None:
    value = answer.value
    if isinstance(value, dict):  # an older service wraps what it sends
        value = value.get("data")
    if not isinstance(value, list):
        return None
    return [str(name) for name in value]


def _unknown(project: str, names: list[str]) -> str:
    near = did_you_mean(project, names)
    some = ", ".join(sorted(names)[:_NAMES_SHOWN])
    return f"There is no project {project}.{near or f' There are: {some}.'}"


def _write(
    context: StepContext[ProjectParameters], project: str, *, validated: bool
) -> tuple[str, ...]:
    named = context.parameters.metadata_project_path
    named = _PROJECT if is_on_service(named) else named
    file = inside_session(context.session_folder, named)
    file.parent.mkdir(parents=True, exist_ok=True)
    protocols = _ids(context.parameters.protocol_id)
    write_json(file, {"project_name": project, "protocol_id": protocols, "validated": validated})
    return (file.relative_to(context.session_folder).as_posix(),)


class ProtocolValidator:
    """Looks whether the session names its protocols, each in a form that a protocol can have."""

    name = "metadata_protocol_validator"
    interactive = False
    parameters_model = ProtocolParameters

    def run(self, context: StepContext[ProtocolParameters]) -> StepResult:
        """Look; see `Step.run`."""
        ids = _ids(context.parameters.protocol_id)
        if not ids:
            return StepResult(False, "No protocol is named: give protocol_id.")
        wrong = [name for name in ids if not _PROTOCOL.fullmatch(name)]
        if wrong:
            words = f"{', '.join(wrong)}: neither a number nor a DOI, as protocols have."
            return StepResult(False, words)
        twice = sorted({name for name in ids if ids.count(name) > 1})
        warnings = (f"Named twice: {', '.join(twice)}.",) if twice else ()
        return StepResult(True, f"Protocol {', '.join(dict.fromkeys(ids))}.", warnings=warnings)
