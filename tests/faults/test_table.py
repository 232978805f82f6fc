"""The table in README.md is true: every fault has its tests, and they are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$")


def rows() -> dict[int, list[str]]:
    """The tests that each row names."""
    table = (Path(__file__).parent / "README.md").read_text("utf-8")
    found = [match for line in table.splitlines() if (match := ROW.match(line))]
    return {int(match[1]): re.findall(r"`([^`]+)`", match[4]) for match in found}


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of the tests in a file."""
    place = TESTS / file if "/" in file else TESTS / "faults" / file
    tree = ast.parse(place.read_text("utf-8"))
    found = (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in found if name.startswith("test_"))


def test_every_fault_has_its_tests_and_they_are_there() -> None:
    listed = rows()
    assert sorted(listed) == list(range(1, 50))
    for number, named in listed.items():
        assert named, f"row {number} has no test"
        for name in named:
            file, _, test = name.partition("::")
            known = names_in(file)
            assert test in known if test else known, f"row {number}: there is no test {name}"


def test_the_headings_in_the_tests_are_rows_of_the_table() -> None:
    for file in Path(__file__).parent.glob("test_*.py"):
        for heading in re.findall(r"^# -- ([\d, ]+): ", file.read_text("utf-8"), re.M):
            assert {int(number) for number in heading.split(",")} <= set(rows())
