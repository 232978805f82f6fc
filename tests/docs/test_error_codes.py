"""The page of errors has every code of the source, and none that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from docs.pages import PROJECT, SOURCE

_CODE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")
_ROW = re.compile(r"^\| `([a-z0-9-]+)` \|", re.MULTILINE)
_PLACE_IN_FINDING = 1
_PREFIXES = {"_cause": "bonsai-"}
"""Functions that put something before the code they are given."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _places_of_code(tree: ast.Module) -> dict[str, int]:
    """Functions and classes of a module that take a code: name → its place among the arguments."""
    places = {"Finding": _PLACE_IN_FINDING}
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            names = [argument.arg for argument in node.args.args if argument.arg != "self"]
        elif isinstance(node, ast.ClassDef):
            names = [item.target.id for item in node.body if _is_field(item)]  # type: ignore[attr-defined]
        else:
            continue
        if "code" in names:
            places[node.name] = names.index("code")
    return places


def _is_field(item: ast.stmt) -> bool:
    return isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)


def _given(call: ast.Call, places: dict[str, int]) -> Iterator[tuple[str, ast.expr]]:
    """The codes that a call gives, with the name of what it calls."""
    called = call.func
    name = getattr(called, "id", getattr(called, "attr", ""))
    yield from ((name, word.value) for word in call.keywords if word.arg == "code")
    place = places.get(name)
    if place is not None and len(call.args) > place:
        yield name, call.args[place]


def _assigned(node: ast.AST) -> ast.expr | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        target, value = node.target, node.value
    else:
        return None
    return value if getattr(target, "id", "") in ("code", "default_code") else None


def _yielded(tree: ast.Module) -> Iterator[ast.expr]:
    """The codes in tuples that a generator yields to a loop `for code, … in generator(…)`."""
    for loop in ast.walk(tree):
        if not (isinstance(loop, ast.For) and isinstance(loop.target, ast.Tuple)):
            continue
        names = [getattr(name, "id", "") for name in loop.target.elts]
        if "code" not in names or not isinstance(loop.iter, ast.Call):
            continue
        called = getattr(loop.iter.func, "id", "")
        for function in ast.walk(tree):
            if isinstance(function, _Function) and function.name == called:
                for node in ast.walk(function):
                    if isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple):
                        yield node.value.elts[names.index("code")]


def _defaults(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, _Function):
        named = node.args.args[len(node.args.args) - len(node.args.defaults) :]
        for argument, default in zip(named, node.args.defaults, strict=True):
            if argument.arg == "code":
                yield default


def _literals(node: ast.expr) -> Iterator[str]:
    """The codes in an expression: a literal, or the literals that a condition chooses from."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and _CODE.fullmatch(str(part.value)):
            yield str(part.value)


def _codes_in_source() -> set[str]:
    codes: set[str] = set()
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        places = _places_of_code(tree)
        for yielded in _yielded(tree):
            codes |= set(_literals(yielded))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                for name, given in _given(node, places):
                    codes |= {_PREFIXES.get(name, "") + literal for literal in _literals(given)}
            if assigned := _assigned(node):
                codes |= set(_literals(assigned))
            for default in _defaults(node):
                codes |= set(_literals(default))
    return codes


def _codes_in_page() -> list[str]:
    return _ROW.findall((PROJECT / "docs" / "errors.md").read_text(encoding="utf-8"))


def test_the_source_is_read() -> None:
    known = {"subject-invalid", "rig-busy", "bonsai-package-differs", "placeholder-circle"}
    assert known <= _codes_in_source()
    assert "bonsai-port-missing" in _codes_in_source()  # put together from two parts
    assert "path-too-long" in _codes_in_source()  # given by place
    assert len(_codes_in_source()) > 100


def test_every_code_of_the_source_is_in_the_page() -> None:
    missing = sorted(_codes_in_source() - set(_codes_in_page()))
    assert not missing, f"add a row to docs/errors.md for each of: {', '.join(missing)}"


def test_the_page_has_no_code_that_is_not_in_the_source() -> None:
    assert not sorted(set(_codes_in_page()) - _codes_in_source())


def test_no_code_is_in_the_page_twice() -> None:
    page = _codes_in_page()
    assert not [code for code in page if page.count(code) > 1]
