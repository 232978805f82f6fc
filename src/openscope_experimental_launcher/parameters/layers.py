"""The layers that a session's parameters come from, and the way from them to `Parameters`.

Each layer lies over the ones before it: what the model gives by default, CamStim's configuration,
the rig file, the parameter file, the answers to prompts, the command line. Every value knows its
layer.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Finding, ParameterError, nearest
from ..structs import msgspec
from . import placeholders
from .jsonfile import LARGEST_INTEGER, parse_object, parse_value, read_bytes
from .model import (
    ASKED_FOR,
    FIELDS,
    KNOWN_KEYS,
    SPELLINGS,
    Parameters,
    canonical,
    holds_keys,
    keeps_text,
)
from .names import check_subject, check_user
from .rigfile import RigFile
from .wording import join_path, printable, shown, unusable_character

DEFAULT, STIM_CFG, RIG_FILE, FILE, PROMPT, COMMAND_LINE = (
    "default",
    "stim.cfg",
    "rig file",
    "parameter file",
    "prompt",
    "command line",
)

_SECTION = "openscope"
_OFFERED_NAMES = {
    "subject_id": ("subject_id", "mouse_id", "mouseid"),
    "user_id": ("user_id", "userid"),
}


class Layer(NamedTuple):
    """One source of parameters.

    Attributes:
        name: the origin of its values.
        values: its keys, in either spelling.
        source: where a person finds it, for the words of an error.
        merges: whether its objects add to those below instead of replacing them.
    """

    name: str
    values: Mapping[str, Any]
    source: str
    merges: bool = False


class Loaded(NamedTuple):
    """The parameters of a session, and where they came from.

    Attributes:
        parameters: validated and frozen. Placeholders are replaced; those known only when the
            session folder is claimed are slots, and `{subject_id}` and `{user_id}` stay as they
            are until both are known (load again with the answers).
        values: what was given in any layer, under both spellings of keys that have two, with
            placeholders as they were written.
        origins: each known or given key to the name of its layer; objects put together from two
            layers say so, as in `parameter file + command line`.
        warnings: what need not stop the session.
        file: the parameter file, None without one.
        raw: its exact bytes, None without one.
        checksum: SHA-256 of these bytes, in hexadecimal; of no bytes without a file.
    """

    parameters: Parameters
    values: dict[str, Any]
    origins: dict[str, str]
    warnings: tuple[Finding, ...]
    file: Path | None
    raw: bytes | None
    checksum: str


def load(
    file: Path | None,
    *,
    overrides: Mapping[str, Any] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    rig: RigFile | None = None,
    answers: Mapping[str, Any] | None = None,
    rehearsal: bool = False,
) -> Loaded:
    """Load the parameters of a session from all layers.

    A null means "not given": it hides what the layers below say, and the default applies.

    Args:
        file: the parameter file; None means an empty one.
        overrides: the command line's values (see `parse_set`); objects are merged, key by key.
        config: the sections of CamStim's configuration. Taken from it are the keys of a section
            `[OpenScope]` and the `rig_id` of any section, but never a subject or user: those are
            only offered (see `offers`).
        rig: the rig file; of it too, subject and user are only offered.
        answers: what a person answered (see `prompts.complete`).
        rehearsal: whether outputs, and what is on drives that this system does not have, are
            to be below `./rehearsal/`.

    Raises:
        ParameterFileNotFoundError: the file is not there.
        ParameterError: with every fault of every layer.
    """
    raw = None if file is None else read_bytes(file)
    findings: list[Finding] = [*(rig.findings if rig else ()), *_empty_output(overrides or {})]
    merged = _Merged()
    for layer in (
        Layer(STIM_CFG, _config_values(config or {}), "stim.cfg"),
        _rig_layer(rig),
        _file_layer(file, raw),
        Layer(PROMPT, answers or {}, "answer"),
        Layer(COMMAND_LINE, overrides or {}, "command line", merges=True),
    ):
        merged.add(layer, findings)
    expanded = placeholders.expand(
        _with_defaults(merged.values), merged.source, rehearsal=rehearsal
    )
    findings += expanded.findings
    findings += _unknown_keys(merged, expanded.used)
    findings += _version_findings(expanded.values, merged)
    parameters = _validate(expanded.values, merged, findings)
    return Loaded(
        parameters,
        values=_both_spellings(merged.values),
        origins=dict.fromkeys(FIELDS, DEFAULT) | merged.origins,
        warnings=tuple(finding for finding in findings if finding.level == "warning"),
        file=file,
        raw=raw,
        checksum=hashlib.sha256(raw or b"").hexdigest(),
    )


def _empty_output(overrides: Mapping[str, Any]) -> Iterator[Finding]:
    """An error for an output folder that the command line takes away instead of naming another:
    the sessions would go to the default one unseen, as with a variable of a shell that is empty."""
    for key, value in overrides.items():
        if canonical(key) == "output_root_folder" and isinstance(value, str) and not value.strip():
            yield Finding(
                "error",
                "output-empty",
                "The output folder that the command line names is empty.",
                where=f"command line, output_root_folder: {shown(value)}",
                fix="Name a folder, or leave it out to take the file's.",
            )


def given(file: Path | None, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What file and command line give, not yet validated, under both spellings.

    For what must be known before everything can be loaded: `config_path` and `rig_config_path`
    name files that are themselves layers.

    Raises:
        ParameterFileNotFoundError: the file is not there.
        ParameterError: the file is no strict JSON object.
    """
    findings: list[Finding] = []
    merged = _Merged()
    merged.add(_file_layer(file, read_bytes(file) if file else None), findings)
    merged.add(Layer(COMMAND_LINE, overrides or {}, "command line", merges=True), findings)
    _raise_errors(findings)
    return _both_spellings(merged.values)


def _file_layer(file: Path | None, raw: bytes | None) -> Layer:
    if file is None or raw is None:
        return Layer(FILE, {}, "")
    name = printable(file.name)
    return Layer(FILE, parse_object(raw, name), name)


def _rig_layer(rig: RigFile | None) -> Layer:
    if rig is None or rig.path is None:
        return Layer(RIG_FILE, {}, "")
    values = {key: value for key, value in rig.values.items() if canonical(key) not in ASKED_FOR}
    return Layer(RIG_FILE, values, printable(str(rig.path)))


class _Merged(msgspec.Struct, eq=False):
    """Layers put over one another, under the model's spellings."""

    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    sources: dict[str, str] = {}

    def source(self, key: str) -> str:
        """Where a person finds the value of `key`."""
        return self.sources.get(key, "")

    def add(self, layer: Layer, findings: list[Finding]) -> None:
        """Put `layer` over the others; what cannot be used in it goes to `findings`."""
        for key, value in _canonical_values(layer, findings).items():
            below = self.values.get(key, {})
            origin, source = layer.name, layer.source
            if layer.merges and isinstance(value, dict) and isinstance(below, dict) and below:
                value = _merge(below, value)
                origin = f"{self.origins[key]} + {origin}"
                source = f"{self.sources[key]} + {source}"
            self.values[key], self.origins[key], self.sources[key] = value, origin, source


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        lower = merged.get(key)
        if isinstance(value, dict) and isinstance(lower, dict):
            merged[key] = _merge(lower, value)
        else:
            merged[key] = value
    return merged


def _canonical_values(layer: Layer, findings: list[Finding]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, given_value in layer.values.items():
        name = canonical(key)
        try:
            value = _json_value(given_value, (_usable_text(key, (key,)),))
        except ParameterError as error:
            where = f"{layer.source}, {error.where}"
            findings.append(Finding("error", error.code, error.message, where, error.fix))
            continue
        if values.get(name) is None:
            values[name], written[name] = value, key
        elif value is not None and value != values[name]:
            findings.append(
                Finding(
                    "error",
                    "parameter-two-spellings",
                    f"{written[name]} and {key} are two spellings of one key, "
                    "with different values.",
                    where=f"{layer.source}, {written[name]}: {shown(values[name], name)}, "
                    f"{key}: {shown(value, name)}",
                    fix="Keep one of the two.",
                )
            )
    return values


def _json_value(value: Any, path: tuple[str | int, ...]) -> Any:
    """`value` as JSON holds it, from Python values of `stim.cfg`, a script or the command line."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _usable_text(value, path)
    if isinstance(value, os.PathLike):
        return _usable_text(str(value), path)
    if isinstance(value, int) and abs(value) <= LARGEST_INTEGER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, (list, tuple)):
        return [_json_value(item, (*path, number)) for number, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {
            _usable_text(key, (*path, key)): _json_value(item, (*path, key))
            for key, item in value.items()
        }
    name = join_path(path)
    raise ParameterError(
        "The value is nothing that a parameter file could hold.",
        code="parameter-not-json",
        where=f"{name}: {shown(repr(value), name)}",
        fix="Give a text, a finite number within 64 bits, true, false, a list, or an object "
        "with texts as keys.",
    )


def _usable_text(text: str, path: tuple[str | int, ...]) -> str:
    what = unusable_character(text)
    if what is None:
        return text
    name = join_path(path)
    raise ParameterError(
        f"A text holds {what}.",
        code="parameter-text",
        where=f"{name}: {shown(text, name)}",
        fix="Remove it.",
    )


def _with_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {name: field.default for name, field in FIELDS.items()}
    nulls = {key for key in defaults if values.get(key) is None}
    return defaults | {key: value for key, value in values.items() if key not in nulls}


def _validate(values: Mapping[str, Any], merged: _Merged, findings: list[Finding]) -> Parameters:
    """The model of `values`. Faults, together with those found before, are raised as one error."""
    try:
        parameters = Parameters.read(values, merged.source)
    except ParameterError as error:
        findings = [*findings, *error.findings]
        parameters = Parameters()
    _raise_errors(findings)
    return parameters


def _version_findings(values: Mapping[str, Any], merged: _Merged) -> Iterator[Finding]:
    wanted = values.get("launcher_version")
    if not isinstance(wanted, str) or not wanted.strip():
        return
    from .version import version_finding

    found = version_finding(wanted, merged.source("launcher_version"))
    if found is not None:
        yield found


def _raise_errors(findings: Iterable[Finding]) -> None:
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        raise ParameterError.from_findings("The parameters cannot be used.", errors)


def _unknown_keys(merged: _Merged, used: frozenset[str]) -> Iterator[Finding]:
    """A warning for each key that neither the launcher knows nor a placeholder refers to."""
    lower_case = {key.lower(): key for key in KNOWN_KEYS}
    for key in merged.values:
        if key in KNOWN_KEYS or key in used:
            continue
        meant = nearest(key.lower(), lower_case)
        if meant is None and merged.origins[key] == RIG_FILE:
            continue  # a rig has values that only some parameter files refer to
        hint = f" Did you mean '{lower_case[meant]}'?" if meant else ""
        yield Finding(
            "warning",
            "parameter-unknown",
            f"The key {shown(key)} is not known to the launcher and is passed on as it is.{hint}",
            where=merged.source(key),
            fix="Correct it if it is a typing mistake.",
        )


def _both_spellings(values: Mapping[str, Any]) -> dict[str, Any]:
    others = {other: values[key] for other, key in SPELLINGS.items() if key in values}
    return {**values, **others}


def _config_values(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What CamStim's configuration says for the launcher; subject and user are left out."""
    rigs = [section["rig_id"] for section in config.values() if "rig_id" in section]
    values = {"rig_id": rigs[0]} if rigs else {}
    for name, section in config.items():
        if name.lower() == _SECTION:
            values |= section
    return {key: value for key, value in values.items() if canonical(key) not in ASKED_FOR}


def offers(
    config: Mapping[str, Mapping[str, Any]], rig: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Subject and user that a rig's configuration names, as defaults to offer at a prompt.

    They are never taken silently: a stale file must not name the wrong animal. Values that no
    session could have are not offered.

    Args:
        config: the sections of CamStim's configuration; `[OpenScope]` comes first.
        rig: the keys of the rig file, which come before all of them.
    """
    sorted_sections = sorted(config.items(), key=lambda item: item[0].lower() != _SECTION)
    sections = [rig or {}, *(section for _, section in sorted_sections)]
    offered: dict[str, str] = {}
    for key, names in _OFFERED_NAMES.items():
        for named in (section.get(name) for section in sections for name in names):
            if key not in offered and _could_be(key, named):
                offered[key] = str(named)
    return offered


def _could_be(key: str, value: Any) -> bool:
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        return False
    try:
        (check_subject if key == "subject_id" else check_user)(str(value))
    except ParameterError:
        return False
    return True


def parse_set(assignments: Iterable[str]) -> dict[str, Any]:
    """The values of `--set key=value` options, for `load(overrides=…)`.

    A value is read as JSON when it is JSON and is text otherwise; keys that hold text keep it as
    it is, so that `subject_id=00123` stays `00123`. What follows the first dot of a key is a key
    inside that parameter: `script_parameters.Group.Prop=1` sets the property `Group.Prop`.

    Raises:
        ParameterError: with every assignment that is none.
    """
    values: dict[str, Any] = {}
    findings: list[Finding] = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        outer, dot, inner = key.strip().partition(".")
        name = canonical(outer)
        if not equals or not outer or (dot and not inner):
            findings.append(_bad_set(assignment, "is no assignment", "Write key=value."))
        elif dot and not holds_keys(name):
            findings.append(
                _bad_set(assignment, f"sets a key inside {outer}, which has none", f"Set {outer}.")
            )
        elif dot:
            below = values.get(name)
            values[name] = {**(below if isinstance(below, dict) else {}), inner: _set_value(text)}
        else:
            values[name] = text if keeps_text(name) else _set_value(text)
    _raise_errors(findings)
    return values


def _bad_set(assignment: str, what: str, fix: str) -> Finding:
    key = assignment.partition("=")[0]
    words = f"--set {shown(assignment, key)} {what}."
    return Finding("error", "set-invalid", words, where="command line", fix=fix)


def _set_value(text: str) -> Any:
    try:
        return parse_value(text)
    except ParameterError:
        return text
