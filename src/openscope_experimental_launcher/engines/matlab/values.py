"""Values of a parameter file on their way to MATLAB, in its own code or to the client program.

Both ways give MATLAB the same: numbers are doubles, texts are char vectors, lists of numbers are
row vectors, equally long lists of numbers in a list are a matrix, other lists are cell arrays. What
is known only when the session folder is there, and secrets, are variables of the environment.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...errors import EngineError
from ...masking import is_secret_name
from ...parameters.placeholders import SLOT_FOLDER, SLOT_ROOT, SLOT_UUID

FOLDER_VARIABLE = "OPENSCOPE_SESSION_DIRECTORY"
VARIABLES: Mapping[str, str] = {
    SLOT_FOLDER: FOLDER_VARIABLE,
    SLOT_UUID: "OPENSCOPE_SESSION_UUID",
    SLOT_ROOT: "OPENSCOPE_OUTPUT_ROOT",
}
"""Slots of a plan, to the variables that have their values when it runs."""

_LARGEST_WHOLE = 2**53  # above it a double cannot tell one whole number from the next
_SLOT = re.compile("|".join(f"({re.escape(slot)})" for slot in VARIABLES))
# What nothing between here and MATLAB (a shell script, the Windows starter) gives a meaning.
_HARMLESS = re.compile(r"[A-Za-z0-9 _.,:/=+@()-]")
_RUNS = re.compile(rf"{_HARMLESS.pattern}+|[^{_HARMLESS.pattern[1:]}+")


class Variable(NamedTuple):
    """A variable of the environment that stands for a text, or a part of one."""

    name: str


class Argument(NamedTuple):
    """One argument of the MATLAB function.

    Attributes:
        name: for a name and value pair, its name; empty for one that is told by its place.
        value: a JSON value; a text in it may be a `Variable` or a tuple of parts.
    """

    name: str
    value: Any


def arguments(
    positional: list[Any], named: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[Argument, ...], dict[str, str]]:
    """The arguments of the function behind the session folder, and the variables they need.

    Args:
        positional: the values of those told by their place.
        named: the parameter they come from → name → value.

    Raises:
        EngineError: with every value and name that MATLAB cannot be given.
    """
    found: dict[str, Argument] = {}
    variables: dict[str, str] = {}
    problems: list[EngineError] = []
    for key, values in named.items():
        for name, value in values.items():
            where = f"{key}: {name}"
            try:
                _check_name(name, where)
                _check(value, where)
                _check_twice(name, value, found, where)
            except EngineError as error:
                problems.append(error)
            if isinstance(value, str) and is_secret_name(name):
                variable = f"OPENSCOPE_MATLAB_{name}"
                variables[variable] = value
                value = Variable(variable)
            found[name] = Argument(name, value)
    for number, value in enumerate(positional, 1):
        try:
            _check(value, f"matlab_entrypoint_args: number {number}")
        except EngineError as error:
            problems.append(error)
    if problems:
        findings = [finding for error in problems for finding in error.findings]
        raise EngineError.from_findings("MATLAB cannot be given these values.", findings)
    used = "".join(_texts([*positional, *(argument.value for argument in found.values())]))
    variables |= {name: slot for slot, name in VARIABLES.items() if slot in used}
    return (*(Argument("", value) for value in positional), *found.values()), variables


def _check_name(name: str, where: str) -> None:
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,62}", name):
        return
    raise EngineError(
        "The name is none that MATLAB can give an argument.",
        code="matlab-name-invalid",
        where=where,
        fix="Begin it with a letter; after that use letters, digits and _, 63 characters at most.",
    )


def _check_twice(name: str, value: Any, found: Mapping[str, Argument], where: str) -> None:
    if name in found and found[name].value != value:
        raise EngineError(
            f"The argument {name} is given twice with different values.",
            code="matlab-argument-twice",
            where=where,
            fix="Give it in matlab_entrypoint_kwargs or in script_parameters.",
        )


def _check(value: Any, where: str) -> None:
    """Refuse what MATLAB cannot be given."""
    if isinstance(value, list):
        for item in value:
            _check(item, where)
        return
    why = _why_not(value)
    if why:
        raise EngineError(
            f"MATLAB cannot be given {why}.",
            code="matlab-value-unsupported",
            where=where,
            fix="Give a text, a number, true, false or a list of them, or leave it out.",
        )


def _why_not(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        return f"the whole number {value} without rounding it"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number that is not finite"
    return ""


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def parts_of(text: str) -> list[str | Variable]:
    """A text as pieces: what is known, and variables for what is not yet."""
    pieces = [piece for piece in _SLOT.split(text) if piece]
    return [Variable(VARIABLES[piece]) if piece in VARIABLES else piece for piece in pieces]


# -- MATLAB code -----------------------------------------------------------------------------------


def code_of(value: Any) -> str:
    """A value as MATLAB code in plain ASCII.

    >>> code_of("it's"), code_of([1, 2.5]), code_of([True, "ü"])
    ("['it' char(39) 's']", '[1, 2.5]', '{true, char(252)}')
    """
    if isinstance(value, Variable):
        return f"getenv('{value.name}')"
    if isinstance(value, str):
        return _text_code(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if is_matrix(value):
        return f"[{'; '.join(', '.join(map(code_of, row)) for row in value)}]"
    items = ", ".join(map(code_of, value))
    return f"[{items}]" if is_vector(value) else f"{{{items}}}"


def _text_code(text: str) -> str:
    codes: list[str] = []
    for part in parts_of(text):
        if isinstance(part, Variable):
            codes.append(code_of(part))
            continue
        for run in _RUNS.findall(part):
            codes.append(f"'{run}'" if _HARMLESS.match(run) else _characters(run))
    if not codes:
        return "''"
    return codes[0] if len(codes) == 1 else f"[{' '.join(codes)}]"


def _characters(text: str) -> str:
    """MATLAB's characters are UTF-16 units."""
    data = text.encode("utf-16-le")
    numbers = [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]
    return f"char({numbers[0] if len(numbers) == 1 else numbers})"


def is_vector(values: list[Any]) -> bool:
    """Whether a list is a row vector: of numbers, of truth values, or empty."""
    return _all(values, bool) or (
        _all(values, int, float) and not any(isinstance(value, bool) for value in values)
    )


def is_matrix(values: list[Any]) -> bool:
    """Whether a list is a matrix: of equally long lists of numbers, one a row."""
    return (
        bool(values)
        and _all(values, list)
        and all(row and is_vector(row) and not isinstance(row[0], bool) for row in values)
        and len({len(row) for row in values}) == 1
    )


def _all(values: list[Any], *kinds: type) -> bool:
    return all(isinstance(value, kinds) for value in values)


# -- the client program ----------------------------------------------------------------------------


def argument_for_client(argument: Argument) -> str:
    """An argument on the command line of the client program: JSON, behind its name if it has one.

    A text that is not known yet is an object, which no value is: its parts, and variables.
    """
    text = json.dumps(_for_client(argument.value), ensure_ascii=False)
    return f"{argument.name}={text}" if argument.name else text


def _for_client(value: Any) -> Any:
    if isinstance(value, list):
        return [_for_client(item) for item in value]
    if isinstance(value, Variable):
        return {"parts": [{"variable": value.name}]}
    if isinstance(value, str) and _SLOT.search(value):
        parts = parts_of(value)
        return {"parts": [{"variable": p.name} if isinstance(p, Variable) else p for p in parts]}
    return value
