"""Texts of a session made fit for a page: bounded, visible, without secrets."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

from ..masking import mask_log
from ..session.output import readable

LONGEST, LONG_TEXT = 1500, 8000
"""Characters of one text on the page, and of what is a text of many lines; the files have the
rest."""

_ONE_LINE = 60

# Signs that turn the direction of a text around or take no room could make it look like another.
_INVISIBLE = re.compile("[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_CHANGING = re.compile(r"0x[0-9a-fA-F]+|\d+(?:[.,:]\d+)*|[0-9a-fA-F]{8,}")


def shown(value: Any, longest: int = LONGEST) -> str:
    """Anything as text for the page: nothing of it is invisible, secret or without end."""
    text = readable(str(value)[: 4 * longest].encode("utf-8", "replace"))
    text = mask_log(_INVISIBLE.sub("�", text))
    return text if len(text) <= longest else f"{text[:longest]} … (cut)"


def as_text(value: Any) -> str:
    """A value of a JSON file as a person would write it, long ones in lines."""
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= _ONE_LINE:
        return text
    if isinstance(value, dict):
        return "\n".join(f"{key}: {as_text(item)}" for key, item in value.items())
    return "\n".join(map(as_text, value)) if isinstance(value, list) else text


def form_of(line: str) -> str:
    """A line without what differs each time: numbers, times, addresses.

    >>> form_of("Trial 17 at 0x7f3a: 3.5 s")
    'Trial # at #: # s'
    """
    return _CHANGING.sub("#", line).strip()


def when(time: str) -> str:
    """An ISO time as date, time of day and offset; as it is when it is none.

    >>> when("2026-11-24T04:38:30.168+01:00")
    '2026-11-24 04:38:30 +01:00'
    """
    moment = moment_of(time)
    return time if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}{_offset(moment)}"


def time_of_day(time: str) -> str:
    """An ISO time as the time of day on that computer's clock."""
    moment = moment_of(time)
    return time if moment is None else f"{moment:%H:%M:%S}"


def moment_of(time: str) -> datetime | None:
    """The moment of an ISO time, or None."""
    try:
        return datetime.fromisoformat(time)
    except ValueError:
        return None


def _offset(moment: datetime) -> str:
    text = f"{moment:%z}"
    return f" {text[:3]}:{text[3:5]}" if text else ""
