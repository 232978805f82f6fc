"""What is wrong with the values that a pipeline gives, in the words of parameter files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from ..errors import Finding, ParameterError, did_you_mean
from ..parameters.wording import BOUNDS, MUST_BE, join_path, printable, shown

_GENERAL = ("parameter-invalid", "parameter-type")
_KINDS = {
    "string_type": "str",
    "int_type": "int",
    "int_parsing": "int",
    "int_from_float": "int_from_float",
    "float_type": "float",
    "float_parsing": "float",
    "bool_type": "bool",
    "bool_parsing": "bool",
    "list_type": "list",
    "dict_type": "dict",
    "model_type": "dict",
}
_BOUNDS = {"greater_than": "gt", "greater_than_equal": "ge", "less_than_equal": "le"}


def located(
    error: ValidationError, places: Mapping[str, str], *, prefix: str = ""
) -> Iterator[Finding]:
    """Faults of a step's values with the whole path of their key.

    Args:
        error: what a model's validation raised.
        places: where each key stands.
        prefix: what the others stand in; empty for the file's top level.
    """
    for finding, fault in zip(_faults(error), error.errors(include_url=False), strict=True):
        key = str(fault["loc"][0]) if fault["loc"] else ""
        given = finding.where if fault["type"] != "missing" else join_path(fault["loc"])
        if key in places:
            where = places[key] + given[len(key) :]
        else:
            where = f"{prefix}.{given}" if prefix else given
        code = "step-parameter-invalid" if finding.code in _GENERAL else finding.code
        yield finding._replace(where=where, code=code)


def unknown_keys(
    values: Mapping[str, Any], model: type[BaseModel], place: str
) -> Iterator[Finding]:
    """A finding for each key that a model has no field for.

    Args:
        values: what was given.
        model: what takes it.
        place: the object of the parameter file that the keys are in.
    """
    extra = model.model_config.get("extra")
    if extra == "allow":
        return
    for key in values:
        if key not in model.model_fields:
            yield Finding(
                "error" if extra == "forbid" else "warning",
                "step-parameter-unknown",
                f"The key {shown(key)} is not known here.{did_you_mean(key, model.model_fields)}",
                where=f"{place}.{printable(key)}",
                fix=f"Known are: {', '.join(model.model_fields) or 'none'}.",
            )


def faults_of_given(values: Mapping[str, Any], model: type[BaseModel]) -> Iterator[Finding]:
    """What is wrong with values that a person gives a step on the command line.

    Args:
        values: what `--set` gives.
        model: what takes it.
    """
    for key in values:
        for found in unknown_keys({key: None}, model, ""):
            # In a file it may be for somebody else; here it was meant for this step.
            yield found._replace(level="error", where=f"--set {printable(key)}")
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        places = {key: f"--set {key}" for key in values if key in model.model_fields}
        # The session's own values may well complete these.
        yield from (found for found in located(error, places) if found.where.startswith("--set "))


def in_words(error: ValidationError) -> str:
    """All faults of a step's values in one line."""
    return " ".join(found.message for found in _faults(error))


def _faults(error: ValidationError) -> Iterator[Finding]:
    for fault in error.errors(include_url=False):
        path = join_path(tuple(part for part in fault["loc"] if part != "[key]"))
        where = f"{path}: {shown(fault['input'], path)}"
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, ParameterError):
            yield Finding("error", cause.code, cause.message, where=where, fix=cause.fix)
        else:
            what, fix = _plain_words(fault["type"], fault.get("ctx", {}))
            yield Finding("error", "parameter-invalid", f"{path} {what}.", where=where, fix=fix)


def _plain_words(kind: str, context: dict[str, Any]) -> tuple[str, str]:
    if kind in _KINDS:
        return MUST_BE[_KINDS[kind]]
    if kind in _BOUNDS:
        words, _ = BOUNDS[_BOUNDS[kind]]
        return f"{words} {context[_BOUNDS[kind]]:g}", "Give a number within the limit."
    if kind == "missing":
        return "must be given", "Give it a value."
    if kind == "finite_number":
        return "must be a finite number", "Give a number that is not infinite."
    if kind == "literal_error":
        return f"must be {context['expected']}", "Use one of these."
    return f"cannot be used ({printable(kind)})", "Correct the value."
