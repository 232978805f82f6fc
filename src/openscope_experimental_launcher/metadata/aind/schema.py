"""Fitting a record to the schema, by the library that defines it.

What cannot be valid is taken out, smallest part first, and told; all else is kept. A record that
lacks a field which the schema wants is written without it, to be completed later.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from aind_data_schema.core.acquisition import Acquisition
from aind_data_schema.core.data_description import DataDescription
from aind_data_schema.core.processing import Processing
from pydantic import ValidationError

from ...errors import Finding, attempt
from ...parameters.wording import join_path
from . import ACQUISITION, DESCRIPTION, PROCESSING
from .gaps import gap, unusable

Object = dict[str, Any]

LIBRARY = f"aind-data-schema {version('aind-data-schema')}"
"""What validates, and its version."""

_MODELS: Mapping[str, Any] = {
    ACQUISITION: Acquisition,
    DESCRIPTION: DataDescription,
    PROCESSING: Processing,
}
Fault = Mapping[str, Any]
"""What the library says against a value: `loc`, `type`, `msg`."""

_KEYS = {
    "configurations": "device_configurations",
    "instrument_id": "rig_id",
    "modalities": "modalities",
    "name": "",
    "notes": "",
    "subject_id": "",
    "data_streams": "",
    "stimulus_epochs": "stimulus_table",
    "subject_details": "mouse_platform_name",
    "data_processes": "",
}
"""The parameter that says a field, where it has another name; empty when none does."""


class Built(NamedTuple):
    """A record as the session tells it.

    Attributes:
        values: of its fields.
        gaps: what is not known, or cannot be used.
    """

    values: Object
    gaps: list[Finding]


class Fitted(NamedTuple):
    """A record as it can be written.

    Attributes:
        content: the JSON object.
        gaps: what it lacks.
    """

    content: Object
    gaps: list[Finding]


def fit(record: str, built: Built) -> Fitted:
    """Bring a record into the form of the schema.

    Args:
        record: name of its file.
        built: what is to stand in it.
    """
    model = _MODELS[record]
    gaps = list(built.gaps)
    values = copy.deepcopy(built.values)
    whole, faults = pruned(record, model, values, gaps)
    gaps += [_told(record, values, fault) for fault in faults if not _follows(fault, gaps)]
    content = _as_it_is(model, values) if whole is None else _content(whole)
    return Fitted(content, _once(gaps))


def _follows(fault: Fault, gaps: Sequence[Finding]) -> bool:
    """Whether a fault of the whole record only says that what was taken out is missing now."""
    fields = [item.where.rpartition(" ")[2] for item in gaps if item.code == "metadata-unusable"]
    return not fault["loc"] and any(field in str(fault["msg"]) for field in fields)


def pruned(record: str, model: Any, values: Object, gaps: list[Finding]) -> tuple[Any, list[Fault]]:
    """Take out of `values` what cannot be valid, and add that to `gaps`.

    Returns:
        What the library makes of the rest, or None; and then what speaks against it still: a part
        that is missing, or the whole.
    """
    while True:
        whole, faults = validated(model, values)
        removable = [fault for fault in faults if _trail(values, fault)]
        if not removable:
            return whole, faults
        fault = removable[-1]  # the last of a list first: the others keep their places
        gaps.append(_told(record, values, fault))
        holder, key = _trail(values, fault)[-1]
        del holder[key]


def problems(model: Any, value: Any) -> list[str]:
    """What speaks against a JSON value as a record of the schema, in words; empty when nothing
    does."""
    whole, faults = validated(model, value)
    if whole is not None:
        return []
    return [f"{_path(fault)}: {_words(fault)}".removeprefix(": ") for fault in faults]


def validated(model: Any, values: Any) -> tuple[Any, list[Fault]]:
    """What the library makes of values, or None; and then what it says against them."""
    found: list[Any] = []
    faults: list[Fault] = []

    def validate() -> None:
        try:
            # A copy: the models change what they are given.
            found.append(model.model_validate(copy.deepcopy(values)))
        except ValidationError as error:
            faults.extend(error.errors(include_url=False, include_context=False))

    with warnings.catch_warnings(action="ignore"):
        failure = attempt(validate)  # the library does not foresee every kind of value
    if failure is not None:
        faults.append(
            {"loc": (), "type": "unexpected", "msg": failure.error.message, "input": None}
        )
    return (found[0] if found else None), faults


def _trail(values: Any, fault: Fault) -> list[tuple[Any, Any]]:
    """The way to what a fault is about, as pairs of a container and a key in it. Of what is
    missing, the way to what should have it. Empty at the record itself."""
    trail: list[tuple[Any, Any]] = []
    here = values
    for part in fault["loc"]:
        if isinstance(here, dict):
            inside = part in here
        else:
            inside = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if inside:  # else it is the tag of a union, or what is missing
            trail.append((here, part))
            here = here[part]
    return trail


def _path(fault: Fault) -> str:
    # The tags of unions are names of classes and have capital letters or blanks in them.
    return join_path(
        [part for part in fault["loc"] if isinstance(part, int) or part == part.lower()]
    )


def _told(record: str, values: Object, fault: Fault) -> Finding:
    trail = _trail(values, fault)
    parts = [key for _, key in trail]
    missing = fault["type"] == "missing"
    if not fault["loc"]:
        words = f"{record} is not as the schema wants it: {_words(fault)}."
        return Finding("warning", "metadata-unusable", words, record)
    field = join_path([*parts, *([str(fault["loc"][-1])] if missing else [])])
    key = next((_KEYS.get(str(part), str(part)) for part in parts or fault["loc"][:1]), "")
    if missing and not parts:
        return gap(record, field, key or field)
    if missing:
        return unusable(
            record, join_path(parts), trail[-1][0][trail[-1][1]], f"has no {fault['loc'][-1]}", key
        )
    return unusable(record, field, _value(trail, fault), f"cannot be used: {_words(fault)}", key)


def _value(trail: list[tuple[Any, Any]], fault: Fault) -> Any:
    if not trail:
        return fault["loc"][-1]
    holder, key = trail[-1]
    return holder[key]


def _words(fault: Fault) -> str:
    if fault["type"] == "missing":
        return "it is missing"
    if fault["type"] == "string_pattern_mismatch":
        return f"it holds a character that the schema does not allow ({fault['msg']})"
    words = str(fault["msg"]).removeprefix("Value error, ")
    return words[:1].lower() + words[1:].rstrip(".")


def _content(whole: Any) -> Object:
    content: Object = json.loads(whole.model_dump_json())
    return {key: _with_slashes(value) for key, value in content.items()}


def _with_slashes(value: Any) -> Any:
    """Paths of scripts with `/`: the library gives them the separators of the system it is on."""
    if isinstance(value, dict):
        return {
            key: item.replace("\\", "/")
            if key == "run_script" and isinstance(item, str)
            else _with_slashes(item)
            for key, item in value.items()
        }
    return [_with_slashes(item) for item in value] if isinstance(value, list) else value


def _as_it_is(model: Any, values: Object) -> Object:
    """A record that is not complete, beginning as a complete one does."""
    head = ("object_type", "describedBy", "schema_version")
    return {**{name: model.model_fields[name].default for name in head}, **values}


def _once(gaps: list[Finding]) -> list[Finding]:
    """One gap a field: the one that was found first says most."""
    found: dict[str, Finding] = {}
    for item in gaps:
        found.setdefault(item.where, item)
    return list(found.values())
