"""Placeholders such as `{subject_id}` in the strings of a parameter file.

A plain key is replaced by its value and nothing else happens: no attributes, no format
specifications, no variables of the environment. Braces that hold anything but a key are left as
they are, so that JSON, MATLAB cells or regular expressions can stand in a value. `{{` and `}}`
are braces, in a text that holds a `{{`.

What is known only when the session folder has been claimed becomes a slot: a token between NULs,
which no value of a file can hold. `bind` fills the slots; `show` turns them back for display.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

from ..errors import Finding, Level, did_you_mean
from .model import ASKED_FOR, Parameters, canonical
from .wording import join_path, shown

SLOT_FOLDER = "\0output_session_folder\0"
SLOT_UUID = "\0session_uuid\0"
SLOT_ROOT = "\0output_root_folder\0"

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(?P<rig>rig_param:)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\}")
_SLOTS = {"output_session_folder": SLOT_FOLDER, "session_uuid": SLOT_UUID}
_SLOT = re.compile("\0(output_session_folder|session_uuid|output_root_folder)\0")

_FREE_TEXT = frozenset({"description", "notes", "comment", "comments", "prompt", "message"})
_NEEDED_BEFORE_THE_FOLDER = (
    "subject_id",
    "user_id",
    "rig_id",
    "launcher",
    "repository_url",
    "repository_commit_hash",
    "local_repository_path",
    "output_root_folder",
    "config_path",
)
_LONGEST_CHAIN = 50
_LONGEST_TEXT = 65536


def bind(value: Any, folder: str, uuid: str) -> Any:
    """`value` with its slots filled, at any depth.

    Args:
        value: a JSON value.
        folder: the absolute session folder.
        uuid: the session's name.
    """
    if isinstance(value, str):
        names = {
            "output_session_folder": folder,
            "session_uuid": uuid,
            "output_root_folder": str(PurePath(folder).parent),
        }
        return _SLOT.sub(lambda slot: names[slot[1]], value)
    if isinstance(value, Mapping):
        return {key: bind(item, folder, uuid) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [bind(item, folder, uuid) for item in value]
    return value


def show(text: str) -> str:
    """`text` with its slots as placeholders again, for display."""
    return _SLOT.sub(lambda slot: f"{{{slot[1]}}}", text)


class Expanded(NamedTuple):
    """What became of the placeholders.

    Attributes:
        values: the values with placeholders replaced.
        findings: what is wrong with the placeholders; warnings in free text.
        used: the keys that placeholders refer to.
    """

    values: dict[str, Any]
    findings: tuple[Finding, ...]
    used: frozenset[str]


def expand(values: Mapping[str, Any], place: Callable[[str], str]) -> Expanded:
    """Replace the placeholders in all strings of `values`.

    A subject or user that is not known yet keeps its placeholder: they are asked for, and the
    parameters then loaded again. An output folder that is not given becomes the slot of the
    session folder's parent. Any other key without a value is an error.

    Args:
        values: the merged parameters under the model's spellings, defaults included.
        place: where the value of a top-level key came from, for the words of an error.
    """
    expander = _Expander(values, place)
    expanded = {key: expander.value_of(key) for key in values}
    early = [
        expander.finding(
            (key,),
            "placeholder-too-early",
            f"{key} is needed before the session folder exists.",
            f"Write it without {show(slot[0])}.",
        )
        for key in _NEEDED_BEFORE_THE_FOLDER
        if isinstance(text := expanded.get(key), str) and (slot := _SLOT.search(text))
    ]
    return Expanded(expanded, (*expander.findings, *early), frozenset(expander.used))


@dataclass(slots=True, repr=False, eq=False)
class _Expander:
    values: Mapping[str, Any]
    place: Callable[[str], str]
    findings: list[Finding] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    done: dict[str, Any] = field(default_factory=dict)
    chain: list[str] = field(default_factory=list)

    def value_of(self, key: str) -> Any:
        """The expanded value of a top-level key."""
        if key not in self.done:
            self.chain.append(key)
            self.done[key] = self._walk(self.values[key], (key,))
            self.chain.pop()
        return self.done[key]

    def finding(self, path: tuple[str | int, ...], code: str, message: str, fix: str) -> Finding:
        """A fault in the string at `path`; only a warning when that is free text."""
        raw = self.values
        for part in path:
            raw = raw[part]  # type: ignore[index] # a path leads through lists and objects
        name = join_path(path)
        where = ", ".join(filter(None, [self.place(str(path[0])), f"{name}: {shown(raw, name)}"]))
        nearest_key = next(part for part in reversed(path) if isinstance(part, str))
        level: Level = "warning" if nearest_key in _FREE_TEXT else "error"
        return Finding(level, code, message, where, fix)

    def _walk(self, value: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(value, str):
            return self._expand(value, path) if "{" in value else value
        if isinstance(value, Mapping):
            return {key: self._walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._walk(item, (*path, number)) for number, item in enumerate(value)]
        return value

    def _expand(self, text: str, path: tuple[str | int, ...]) -> str:
        doubled = "{{" in text

        def replace(match: re.Match[str]) -> str:
            if match["key"] is None:
                return match[0][0] if doubled else match[0]
            replacement = self._look_up(match, path)
            return match[0] if replacement is None else replacement

        expanded = _PLACEHOLDER.sub(replace, text)
        if len(expanded) <= max(_LONGEST_TEXT, len(text)):
            return expanded
        self._report(
            path,
            "placeholder-too-long",
            f"The text is longer than {_LONGEST_TEXT} characters with its placeholders replaced.",
            "Check which placeholders refer to each other.",
        )
        return text

    def _look_up(self, match: re.Match[str], path: tuple[str | int, ...]) -> str | None:
        """The text for one placeholder; None leaves it as it is."""
        placeholder, name = match[0], match["key"]
        key = canonical(name)
        self.used.add(key)
        if key in _SLOTS and not match["rig"]:
            return _SLOTS[key]
        if key not in self.values:
            self._report_unknown(placeholder, name, path, rig=bool(match["rig"]))
            return None
        if key in self.chain and isinstance(self.values[key], str):
            self._report_circle(key, path)
            return None
        if len(self.chain) > _LONGEST_CHAIN:
            self._report(
                path,
                "placeholder-too-long",
                f"More than {_LONGEST_CHAIN} placeholders refer to one another.",
                "Write the value itself.",
            )
            return None
        return self._text_of(key, placeholder, path)

    def _text_of(self, key: str, placeholder: str, path: tuple[str | int, ...]) -> str | None:
        if isinstance(self.values[key], (Mapping, list, tuple)):
            self._report(
                path,
                "placeholder-not-text",
                f"{placeholder} refers to a list or an object, which cannot stand in a text.",
                "Refer to a text, a number, true or false.",
            )
            return None
        value = self.value_of(key)
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is not None and not (value == "" and key in Parameters.model_fields):
            return str(value)
        if key == "output_root_folder":
            return SLOT_ROOT
        if key not in ASKED_FOR:
            self._report(
                path,
                "placeholder-empty",
                f"{placeholder} refers to a key that has no value.",
                f"Give {key}.",
            )
        return None

    def _report_unknown(
        self, placeholder: str, name: str, path: tuple[str | int, ...], *, rig: bool
    ) -> None:
        listed = ", ".join(f"{{{known}}}" for known in (*ASKED_FOR, *_SLOTS, "output_root_folder"))
        fix = (
            f"Give {name} as a parameter."
            if rig
            else f"Use {listed}, {{rig_param:KEY}} or any top-level key; "
            f"for the braces themselves write {{{placeholder}}}."
        )
        self._report(
            path,
            "placeholder-unknown",
            f"The placeholder {placeholder} is not known."
            f"{did_you_mean(name, [*_SLOTS, *self.values])}",
            fix,
        )

    def _report_circle(self, key: str, path: tuple[str | int, ...]) -> None:
        circle = [*self.chain[self.chain.index(key) :], key]
        self._report(
            path,
            "placeholder-circle",
            f"Placeholders refer to each other in a circle: {' → '.join(circle)}.",
            "Write one of the values without a placeholder.",
        )

    def _report(self, path: tuple[str | int, ...], code: str, message: str, fix: str) -> None:
        self.findings.append(self.finding(path, code, message, fix))
