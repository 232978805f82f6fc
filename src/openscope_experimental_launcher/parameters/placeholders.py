"""Placeholders such as `{subject_id}` in the strings of a parameter file.

A plain key is replaced by its value and nothing else happens: no attributes, no format
specifications, no variables of the environment. Braces that hold anything but a key are left as
they are, so that JSON, MATLAB cells or regular expressions can stand in a value. `{{` and `}}`
are braces, in a text that holds a `{{`.

What is known only when the session folder has been claimed becomes a slot: a token between NULs,
which no value of a file can hold. `bind` fills the slots; `show` turns them back for display.

A value that begins with the placeholder of a path is a path, and gets the separators of this
system, as the fields that hold paths do: `{output_session_folder}\\notes` works everywhere. No
other text is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from ..errors import Finding, Level, did_you_mean
from ..structs import msgspec
from .model import ASKED_FOR, FIELDS, PATH_FIELDS, canonical
from .paths import on_missing_drive, rehearsal_path, with_own_separators
from .wording import join_path, shown

SLOT_FOLDER = "\0output_session_folder\0"
SLOT_UUID = "\0session_uuid\0"
SLOT_ROOT = "\0output_root_folder\0"

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(?P<rig>rig_param:)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\}")
_SLOTS = {"output_session_folder": SLOT_FOLDER, "session_uuid": SLOT_UUID}
_SLOT = re.compile("\0(output_session_folder|session_uuid|output_root_folder)\0")

_FREE_TEXT = ("description", "notes", "comment", "comments", "prompt", "message")
_OF_THE_RIGS_SYSTEM = ("python_exe_path", "python_venv_path")
_PATH_SLOTS = ("output_session_folder", "output_root_folder")
_NEEDED_BEFORE_THE_FOLDER = (
    "subject_id",
    "user_id",
    "rig_id",
    "launcher",
    "repository_url",
    "repository_commit_hash",
    "session_sync_node_name",
    "session_sync_master_host",
    "session_sync_bind_host",
    "session_sync_session_key",
    "matlab_entrypoint",
    *sorted(PATH_FIELDS - {"stop_file", "centralized_log_directory"}),
)
_STANDING = (*ASKED_FOR, *_SLOTS, "output_root_folder")
_MOST_LISTED = 30
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


def expand(
    values: Mapping[str, Any], place: Callable[[str], str], *, rehearsal: bool = False
) -> Expanded:
    """Replace the placeholders in all strings of `values`.

    A subject or user that is not known yet keeps its placeholder: they are asked for, and the
    parameters then loaded again. An output folder that is not given becomes the slot of the
    session folder's parent. Any other key without a value is an error.

    Args:
        values: the merged parameters under the model's spellings, defaults included.
        place: where the value of a top-level key came from, for the words of an error.
        rehearsal: put the output folder, and paths on drives that this system does not have, below
            `./rehearsal/`.
    """
    expander = _Expander(values, place, rehearsal)
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


class _Expander(msgspec.Struct, eq=False):
    values: Mapping[str, Any]
    place: Callable[[str], str]
    rehearsal: bool
    findings: list[Finding] = []
    used: set[str] = set()
    done: dict[str, Any] = {}
    chain: list[str] = []
    paths: set[str] = msgspec.field(default_factory=lambda: {*PATH_FIELDS, *_PATH_SLOTS})

    def value_of(self, key: str) -> Any:
        """The expanded value of a top-level key."""
        if key not in self.done:
            self.chain.append(key)
            value = self._walk(self.values[key], (key,))
            if key in PATH_FIELDS and isinstance(value, str):
                value = self._own_path(key, value)
            self.done[key] = value
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
        free_text = nearest_key.rpartition("_")[2] in _FREE_TEXT
        level: Level = "warning" if free_text else "error"
        return Finding(level, code, message, where, fix)

    def _own_path(self, key: str, path: str) -> str | None:
        """The value of a field that is a path, for this system."""
        if self.rehearsal and key == "output_root_folder" and path.strip():
            return str(rehearsal_path(path))
        if not on_missing_drive(path):
            return with_own_separators(path)
        if not self.rehearsal:
            return path  # the checks refuse it, as it was written
        if key in _OF_THE_RIGS_SYSTEM:
            self.findings.append(self._instead(key))
            return None
        return str(rehearsal_path(path))

    def _instead(self, key: str) -> Finding:
        return Finding(
            "warning",
            "rehearsal-interpreter",
            f"{key} is on a drive that this system does not have: the rehearsal takes the "
            "launcher's own Python.",
            where=f"{key}: {shown(self.values[key], key)}",
        )

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
        is_path = False

        def replace(match: re.Match[str]) -> str:
            nonlocal is_path
            if match["key"] is None:
                return match[0][0] if doubled else match[0]
            replacement = self._look_up(match, path)
            if replacement is None:
                return match[0]
            is_path = is_path or (match.start() == 0 and canonical(match["key"]) in self.paths)
            return replacement

        expanded = _PLACEHOLDER.sub(replace, text)
        if len(expanded) <= max(_LONGEST_TEXT, len(text)):
            if not is_path:
                return expanded
            if len(path) == 1:
                self.paths.add(str(path[0]))
            return expanded if on_missing_drive(expanded) else with_own_separators(expanded)
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
        if value is not None and not (value == "" and key in FIELDS):
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
        given = ", ".join(f"{{{key}}}" for key in self._given()[:_MOST_LISTED])
        if rig:
            fix = (
                f"Give {name} in the rig file or the parameter file. Given are: {given or 'none'}."
            )
        else:
            standing = ", ".join(f"{{{key}}}" for key in _STANDING)
            fix = (
                f"Use {', '.join(filter(None, [standing, given]))}, {{rig_param:KEY}} or any other "
                f"top-level key; for the braces themselves write {{{placeholder}}}."
            )
        self._report(
            path,
            "placeholder-unknown",
            f"The placeholder {placeholder} is not known."
            f"{did_you_mean(name, [*_SLOTS, *self.values])}",
            fix,
        )

    def _given(self) -> list[str]:
        """The keys that somebody gave a text or a number, beside those that can always be used."""
        return [
            key
            for key, value in self.values.items()
            if self.place(key) and key not in _STANDING and key.isascii() and key.isidentifier()
            if value not in (None, "") and not isinstance(value, (Mapping, list, tuple))
        ]

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
