"""What differs between the values of two sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ABSENT = "nothing"
"""Stands for a value that one of the two does not have."""

_LONGEST_VALUE = 60


def changed(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The values that differ between two JSON objects, by their paths, as text.

    >>> changed({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3, "d": []}})
    {'a.c': ('2', '3'), 'a.d': ('nothing', '[]')}
    """
    before, after = dict(flattened(one)), dict(flattened(other))
    for values, others in ((before, after), (after, before)):
        # An object with nothing in it says nothing beside what the other has in its place.
        for path in [path for path, value in values.items() if value == {}]:
            if any(longer.startswith(f"{path}.") for longer in others):
                del values[path]
    return {
        path: (_text(before, path), _text(after, path))
        for path in dict.fromkeys((*before, *after))
        if path not in before or path not in after or not same(before[path], after[path])
    }


def same(one: Any, other: Any) -> bool:
    """Whether two values are one; true is not 1, and 1 not 1.0, since programs tell them apart."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a JSON object at any depth, each with its path, as in `trial.reward`."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flattened(item, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, value


def _text(values: Mapping[str, Any], path: str) -> str:
    return value_text(values[path]) if path in values else ABSENT


def value_text(value: Any) -> str:
    """A value of a JSON file in few characters; of a long one the beginning."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def comparable(processed: Mapping[str, Any], folder: Path) -> Any:
    """Parameters as they were used, with the session's own folder and name as placeholders.

    Args:
        processed: the parameters.
        folder: the session folder as it was named when the session ran.
    """
    names = {str(folder): "{output_session_folder}", folder.name: "{session_uuid}"}
    return _replaced({k: v for k, v in processed.items() if k != "rehearsal"}, names)


def _replaced(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for name, placeholder in names.items():
            value = value.replace(name, placeholder)
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, names) for item in value]
    return value
