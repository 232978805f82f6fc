"""Values and keys as they are shown in errors: on one line, short, printable, secrets masked."""

from __future__ import annotations

import json
import operator
import types
from collections.abc import Sequence
from typing import Any

from ..masking import MASK, is_secret_name, mask_values

_LONGEST_SHOWN = 80

MUST_BE = types.MappingProxyType(
    {
        "str": ("must be text", "Write it in double quotes."),
        "int": ("must be a whole number", "Write it without quotes."),
        "int_from_float": ("must be a whole number", "Write it without a fraction."),
        "float": ("must be a number", "Write it without quotes."),
        "bool": ("must be true or false", "Write true or false, without quotes."),
        "list": ("must be a list", 'Write it in square brackets: ["…", "…"].'),
        "dict": ("must be an object", 'Write it in braces: {"name": value}.'),
    }
)
"""What a value of a type must be, and how it is written."""

BOUNDS = types.MappingProxyType(
    {
        "gt": ("must be more than", operator.gt),
        "ge": ("must be at least", operator.ge),
        "le": ("must be at most", operator.le),
    }
)
"""What a bound on a number asks for, and whether a number keeps to it."""


def shown(value: Any, path: str = "") -> str:
    """A value as it is shown to a person.

    Args:
        value: anything JSON can hold; a NUL in it is shown as `\\u0000`.
        path: the dotted key it belongs to; a value under a secret's name is shown as `***`.
    """
    if any(is_secret_name(part) for part in path.replace("[", ".").split(".")):
        return MASK
    text = printable(json.dumps(mask_values(value), ensure_ascii=False, default=repr))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def printable(text: str) -> str:
    """`text` with every character that a terminal would act on, or not show, as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def join_path(parts: Sequence[str | int]) -> str:
    """`script_parameters.Gain` or `command[0]`, from the keys and indexes on the way down."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{printable(part)}" if text else part
    return printable(text)


def unusable_character(text: str) -> str | None:
    """The character that no argument, variable or file can carry, in words; None when all can."""
    if "\0" in text:
        return "a NUL character (\\u0000)"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "half of a surrogate pair (\\ud800 to \\udfff), which is no character"
    return None
