"""Which modules a script imports, read from its text and from that of the modules beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import Source

_MOST_FILES = 100


class Import(NamedTuple):
    """A module that a script needs from its interpreter.

    Attributes:
        name: the module's first part.
        place: file and line, for people.
        certain: it is imported whenever the script is started: not only in a function, under a
            condition or where its absence is seen to.
    """

    name: str
    place: str
    certain: bool


class _Statement(NamedTuple):
    """An absolute import as it is written."""

    module: str
    names: tuple[str, ...]
    line: int
    certain: bool


def imports_of(script: Path, source: Source) -> list[Import]:
    """The modules that a script needs from its interpreter, each once.

    Modules in the script's folder are followed instead, since Python finds them there first. A
    file that this Python cannot parse says nothing.

    Args:
        script: the script.
        source: the experiment's files.
    """
    folder = script.parent
    found: dict[str, Import] = {}
    seen: set[Path] = set()
    pending = [(script, True)]
    while pending and len(seen) < _MOST_FILES:
        file, reached = pending.pop(0)
        if file in seen:
            continue
        seen.add(file)
        tree = _parsed(source, file)
        if tree is None:
            continue
        reached = reached and not _changes_the_path(tree)
        for statement in _statements(tree.body, certain=reached):
            inside = _files_inside(statement, folder, source)
            pending += [(path, statement.certain) for path in inside]
            name = statement.module.partition(".")[0]
            if not inside and (name not in found or statement.certain > found[name].certain):
                place = f"{file.name}, line {statement.line}"
                found[name] = Import(name, place, statement.certain)
    return list(found.values())


def _parsed(source: Source, file: Path) -> ast.Module | None:
    try:
        return ast.parse(source.read(file))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _changes_the_path(tree: ast.Module) -> bool:
    """Whether the module looks for others in places of its own."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("path", "meta_path", "addsitedir")
        and isinstance(node.value, ast.Name) and node.value.id in ("sys", "site")
        for node in ast.walk(tree)
    )  # fmt: skip


def _statements(body: list[ast.stmt], *, certain: bool) -> Iterator[_Statement]:
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield _Statement(alias.name, (), node.lineno, certain)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                names = tuple(alias.name for alias in node.names)
                yield _Statement(node.module, names, node.lineno, certain)
        elif isinstance(node, ast.Try) and _expects_absence(node):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _statements(node.orelse, certain=False)
        else:
            always = isinstance(node, (ast.ClassDef, ast.With, ast.Try))
            for part in ("body", "handlers", "orelse", "finalbody", "cases"):
                yield from _in_part(getattr(node, part, []), certain=certain and always)


def _in_part(part: list[ast.AST], *, certain: bool) -> Iterator[_Statement]:
    statements = [node for node in part if isinstance(node, ast.stmt)]
    yield from _statements(statements, certain=certain)
    for node in part:
        if isinstance(node, (ast.ExceptHandler, ast.match_case)):
            yield from _statements(node.body, certain=False)


def _expects_absence(node: ast.Try) -> bool:
    """Whether it sees to a module that is not there."""
    names = [ast.unparse(h.type) if h.type else "Exception" for h in node.handlers]
    seen_to = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
    return any(word in name for name in names for word in seen_to)


def _files_inside(statement: _Statement, folder: Path, source: Source) -> list[Path]:
    """The files in the script's folder that an import reads."""
    first, *others = statement.module.split(".")
    chain = [folder / first]
    for part in others:
        chain.append(chain[-1] / part)
    chain += [chain[-1] / name for name in statement.names if name != "*"]
    candidates = [
        file for path in chain for file in (path.with_suffix(".py"), path / "__init__.py")
    ]
    return [file for file in candidates if source.exists(file)]
