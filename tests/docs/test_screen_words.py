"""What the operators' pages say that the screen says, the program says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from docs.pages import PROJECT, SOURCE

_ROW = re.compile(r"^\|(.*?)\|.*\|$", re.MULTILINE)
_TABLE = re.compile(r"^\| (?:You see|It says|The first word) \|.*\n(?:\|.*\n)+", re.MULTILINE)
_QUOTED = re.compile(r"`([^`]+)`")
_GAP = re.compile(r"…|\d\d:\d\d")
_SHORTEST = 6
"""Letters of a piece between two gaps that are looked for; shorter ones prove nothing."""


def _said() -> Iterator[str]:
    for page in sorted((PROJECT / "docs" / "operators").glob("*.md")):
        for table in _TABLE.findall(page.read_text(encoding="utf-8")):
            for first in _ROW.findall(table)[2:]:
                yield from _QUOTED.findall(first)


@cache
def _texts() -> str:
    """All texts of the program; what is filled in when it runs is a gap, `…`."""
    texts = []
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(map(_part, node.values)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def _part(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) else "…"  # type: ignore[return-value]


def test_there_is_something_to_look_for() -> None:
    assert len(list(_said())) > 20


@pytest.mark.parametrize("said", sorted(set(_said())))
def test_the_words_of_the_screen_are_those_of_the_program(said: str) -> None:
    pieces = [piece.strip(" ✓✗!") for piece in _GAP.split(said)]
    for piece in pieces:
        if len(piece) >= _SHORTEST and piece != "report.html":
            assert piece in _texts(), said
