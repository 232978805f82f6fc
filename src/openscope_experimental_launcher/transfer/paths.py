"""Paths as the system takes them, however long they are."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PREFIX = "\\\\?\\"


def extended(path: Path | str) -> Path:
    r"""A path that may be longer than 260 characters on Windows: absolute, behind `\\?\`.

    Elsewhere it is only made absolute. What is joined to it is as long as it likes, too.
    Source: "Maximum Path Length Limitation" in Microsoft's documentation of Win32 file names.
    """
    full = os.path.abspath(path)  # noqa: PTH100 - as text
    return Path(extended_text(full)) if sys.platform == "win32" else Path(full)


def extended_text(full: str) -> str:
    r"""An absolute Windows path behind `\\?\`; a share behind `\\?\UNC\`."""
    if full.startswith((_PREFIX, "\\\\.\\")):
        return full
    if full.startswith("\\\\"):
        return f"{_PREFIX}UNC\\{full[2:]}"
    return _PREFIX + full


def shown(path: Path | str) -> str:
    """A path as a person writes it."""
    text = str(path)
    if text.startswith(f"{_PREFIX}UNC\\"):
        return "\\\\" + text[len(_PREFIX) + 4 :]
    return text.removeprefix(_PREFIX)
