"""What text a Bonsai property accepts, and what of it is known from the workflow alone.

Bonsai converts the text of `-p:Name=Value` with .NET's TypeConverters and the invariant culture.
The file does not name the types, so a type is a hint read from the current value. `TIMESPAN` and
`BOOL` are unmistakable there; a bare number may as well be text, so `NUMBER` refuses nothing.
"""

from __future__ import annotations

import re
from datetime import timedelta
from enum import Enum


class Hint(Enum):
    """What type a property seems to have; the value is the name .NET gives it in errors."""

    TIMESPAN = "TimeSpan"
    BOOL = "Boolean"
    INT = "Int32"
    DOUBLE = "Double"
    TEXT = "String"
    NUMBER = "number"
    UNKNOWN = ""


_ISO_DURATION = re.compile(
    r"-?P(?=[\dT])(?:(?P<days>\d+)D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_CLOCK = re.compile(
    r"\s*-?(?:\d{1,8}|(?:\d{1,8}[.:])?(?:[01]?\d|2[0-3]):[0-5]?\d(?::[0-5]?\d(?:\.\d{1,7})?)?)\s*"
)
_INTEGER = re.compile(r"\s*[+-]?\d+\s*")
_DECIMAL = re.compile(r"\s*(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|NaN|-?Infinity)\s*")
_BOOLEAN = re.compile(r"\s*(?:true|false)\s*", re.IGNORECASE)
_ACCEPTED = {
    Hint.TIMESPAN: _CLOCK,
    Hint.BOOL: _BOOLEAN,
    Hint.INT: _INTEGER,
    Hint.DOUBLE: _DECIMAL,
}


def hint_of(text: str | None) -> Hint:
    """The type that a value stored in a workflow seems to have."""
    if text is None:
        return Hint.UNKNOWN
    if _ISO_DURATION.fullmatch(text):
        return Hint.TIMESPAN
    if text in ("true", "false"):
        return Hint.BOOL
    return Hint.NUMBER if _DECIMAL.fullmatch(text) else Hint.UNKNOWN


def accepts(hint: Hint, text: str) -> bool:
    """Whether .NET converts `text` to the type; True where the hint is not certain enough."""
    pattern = _ACCEPTED.get(hint)
    if pattern is None:
        return True
    if not pattern.fullmatch(text):
        return False
    return hint is not Hint.INT or -(2**31) <= int(text) < 2**31


def looks_numeric(text: str) -> bool:
    """Whether `text` is a number in the invariant culture."""
    return bool(_DECIMAL.fullmatch(text))


def timespan_text(text: str) -> str | None:
    """A duration meant by `text` (ISO 8601, or a number of seconds) as Bonsai wants it.

    >>> timespan_text("PT20S"), timespan_text("20"), timespan_text("1.5")
    ('00:00:20', '00:00:20', '00:00:01.5')
    """
    iso = _ISO_DURATION.fullmatch(text.strip())
    try:
        if iso:
            parts = {unit: float(number) for unit, number in iso.groupdict("0").items()}
            duration = timedelta(**parts)
        elif _DECIMAL.fullmatch(text):
            duration = timedelta(seconds=abs(float(text)))
        else:
            return None
    except (OverflowError, ValueError):
        return None
    clock = (
        f"{duration.seconds // 3600:02}:{duration.seconds // 60 % 60:02}:{duration.seconds % 60:02}"
    )
    fraction = f".{duration.microseconds:06}".rstrip("0").rstrip(".")
    days = f"{duration.days}." if duration.days else ""
    return f"{'-' if text.strip().startswith('-') else ''}{days}{clock}{fraction}"
