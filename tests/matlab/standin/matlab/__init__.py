"""A stand-in for MathWorks' package `matlab`: its data types, as far as they are used here."""

from __future__ import annotations

from typing import Any


class double:
    """An array of numbers."""

    def __init__(self, values: list[Any]) -> None:
        for value in _leaves(values):
            if type(value) is not float:
                raise TypeError(f"not a float: {value!r}")
        self.values = values


class logical:
    """An array of truth values."""

    def __init__(self, values: list[Any]) -> None:
        for value in _leaves(values):
            if type(value) is not bool:
                raise TypeError(f"not a bool: {value!r}")
        self.values = values


def _leaves(values: Any) -> list[Any]:
    if not isinstance(values, list):
        return [values]
    return [leaf for value in values for leaf in _leaves(value)]
