"""The steps `metadata_subject_fetch` and `metadata_procedures_fetch`: what the metadata service
knows of the animal, kept with the session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BeforeValidator, Field

from ..files import write_atomic
from . import StepContext, StepResult
from .fields import PathText, inside_session
from .service import Answer, ServiceParameters, address, get, is_on_service, place_on_service


def _id_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_Id = Annotated[str | None, BeforeValidator(_id_as_text)]


class RecordParameters(ServiceParameters):
    """Parameters of both."""

    metadata_subject_id: _Id = Field(
        default=None, description="Subject to ask for; the session's when not given."
    )


class SubjectParameters(RecordParameters):
    """Parameters of `metadata_subject_fetch`."""

    metadata_subject_path: PathText = Field(
        default="subject.json",
        description="Where the record is put, in the session folder. What begins with /api/ is "
        "instead the place of the service that is asked.",
    )


class ProceduresParameters(RecordParameters):
    """Parameters of `metadata_procedures_fetch`."""

    metadata_procedures_timeout: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Seconds to wait for the procedures; metadata_service_timeout when not given.",
    )


class SubjectFetch:
    """Fetches `/api/v2/subject/{id}` into `subject.json`."""

    name = "metadata_subject_fetch"
    interactive = False
    parameters_model = SubjectParameters

    def run(self, context: StepContext[SubjectParameters]) -> StepResult:
        """Ask and keep; see `Step.run`."""
        named = context.parameters.metadata_subject_path
        if is_on_service(named):
            return fetch(context, "subject", "subject.json", None, place=named)
        return fetch(context, "subject", named, None)


class ProceduresFetch:
    """Fetches `/api/v2/procedures/{id}` into `procedures.json`."""

    name = "metadata_procedures_fetch"
    interactive = False
    parameters_model = ProceduresParameters

    def run(self, context: StepContext[ProceduresParameters]) -> StepResult:
        """Ask and keep; see `Step.run`."""
        timeout_s = context.parameters.metadata_procedures_timeout
        return fetch(context, "procedures", "procedures.json", timeout_s)


def fetch(
    context: StepContext[RecordParameters],
    kind: str,
    target: str,
    timeout_s: float | None,
    *,
    place: str = "",
) -> StepResult:
    """Fetch one record about the subject and keep it.

    Args:
        context: the step's.
        kind: `subject` or `procedures`, the end of the address.
        target: where the record is put, in the session folder.
        timeout_s: seconds to wait; those of the service when None.
        place: another place of the service than the usual one.
    """
    wanted = context.parameters
    subject = wanted.metadata_subject_id or context.subject_id
    if not subject:
        return StepResult(False, "No subject is known to ask for.")
    url = address(wanted.metadata_service_base_url, "api", "v2", kind, subject)
    if place:
        collection = place_on_service(wanted.metadata_service_base_url, place)
        url = address(collection.removesuffix(f"/{quote(subject, safe='')}"), subject)
    if context.rehearsal:
        return StepResult(True, f"A rehearsal asks no service; a session asks {url}")
    file = inside_session(context.session_folder, target)
    answer = get(url, timeout_s or wanted.metadata_service_timeout)
    if answer.kind == "away":
        return StepResult(False, answer.message, pending=True)
    if answer.kind == "refused":
        return StepResult(False, answer.message)
    name = keep(answer, file).relative_to(context.session_folder).as_posix()
    warnings = [answer.message] if answer.kind == "kept" else []
    other = _other_subject(answer.value, subject)
    if other:
        warnings.append(f"The record is of the subject {other}, not of {subject}.")
    return StepResult(True, f"The {kind} of {subject}: {name}.", (name,), tuple(warnings))


def keep(answer: Answer, file: Path) -> Path:
    """Write an answer as it came to `file`; one that is no JSON beside it, under `.txt`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if answer.value is None:
        file = file.with_suffix(".txt")
    write_atomic(file, answer.body)
    return file


def _other_subject(value: Any, asked: str) -> str:
    named = value.get("subject_id") if isinstance(value, dict) else None
    return str(named) if named is not None and str(named) != asked else ""
