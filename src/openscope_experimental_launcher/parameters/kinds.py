"""The kinds of values that keys of a parameter file take, and how each is read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from ..errors import ParameterError
from ..structs import Meta
from .fields import read_by
from .names import check_subject, check_user

LONGEST_S = 30 * 24 * 3600.0

# Without NUL, which marks the slots of names that are known only later (see placeholders.py).
_CONTROL_CHARACTER = re.compile(r"[\x01-\x1f\x7f-\x9f]")


def _blank_as_none(value: Any) -> Any:
    # Templates leave blank what is to be asked for or is not used.
    return None if isinstance(value, str) and not value.strip() else value


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _read_name(value: Any) -> Any:
    return _blank_as_none(_number_as_text(value))


def _name_that(check: Callable[[str], str]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        name = _read_name(value)
        return check(name) if isinstance(name, str) else name

    return read


def _read_arguments(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [
        str(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else item
        for item in value
    ]


def read_path(value: Any) -> Any:
    """A path, blank ones as None.

    Raises:
        ParameterError: it holds a control character.
    """
    if not isinstance(value, str) or not _CONTROL_CHARACTER.search(value):
        return _blank_as_none(value)
    raise ParameterError(
        "The path holds a line break, a tab or another control character.",
        code="path-invalid",
        fix='Write Windows paths with / or with \\\\: in "C:\\temp", \\t is a tab.',
    )


def _read_pipeline(value: Any) -> Any:
    for number, entry in enumerate(value if isinstance(value, list) else [], 1):
        if not isinstance(entry, dict) and not (isinstance(entry, str) and entry.strip()):
            raise ParameterError(
                f"Entry {number} of a pipeline must be a step's name or an object.",
                code="parameter-type",
                fix='Write "name", or {"module_type": …, "module_path": "name"}.',
            )
    return value


def _read_protocol(value: Any) -> Any:
    if value is None or (isinstance(value, (int, str, list)) and not isinstance(value, bool)):
        return value
    raise ParameterError(
        "The protocol must be a number, a text or a list of them.",
        code="parameter-type",
        fix="Write the protocol's number.",
    )


def _read_slaves(value: Any) -> Any:
    names = value if isinstance(value, list) else []
    texts = all(isinstance(name, str) and name.strip() for name in names)
    if value is None or (names and texts and len(set(names)) == len(names)):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ParameterError(
        "The slaves must be a list of different names, or how many they are (1 or more).",
        code="parameter-type",
        fix='Write their names: ["camera", "stimulus"].',
    )


_TEXT_OR_NUMBER = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
_ARGUMENT_LIST = {"type": "array", "items": {"type": ["string", "number"]}}
_STEPS = {"type": "array", "items": {"type": ["string", "object"]}}
_NAMES_OR_COUNT = {"type": ["integer", "array", "null"], "items": {"type": "string"}}
_NUMBER_TEXT_OR_LIST = {"type": ["integer", "string", "array", "null"]}

Seconds = Annotated[float, Meta(gt=0, le=LONGEST_S)]
"""A time that passes."""

Grace = Annotated[float, Meta(ge=0, le=LONGEST_S)]
"""A time that may be none, in seconds."""

Text = Annotated[str | None, read_by(_blank_as_none)]
FilePath = Annotated[str | None, read_by(read_path)]
Name = Annotated[str | None, read_by(_read_name, _TEXT_OR_NUMBER)]
Subject = Annotated[str | None, read_by(_name_that(check_subject), _TEXT_OR_NUMBER)]
User = Annotated[str | None, read_by(_name_that(check_user), _TEXT_OR_NUMBER)]
Arguments = Annotated[list[str], read_by(_read_arguments, _ARGUMENT_LIST)]
Pipeline = Annotated[list[Any], read_by(_read_pipeline, _STEPS)]
Protocol = Annotated[Any, read_by(_read_protocol, _NUMBER_TEXT_OR_LIST)]
Role = Annotated[Literal["master", "slave"] | None, read_by(_blank_as_none)]
Slaves = Annotated[Any, read_by(_read_slaves, _NAMES_OR_COUNT)]
