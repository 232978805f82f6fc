"""Whether a file of the repository has the function that a step is to call, found without running
anything of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from ..errors import Finding, did_you_mean


def function_finding(content: bytes, wanted: Sequence[str], where: str) -> Finding | None:
    """What is wrong when a file defines none of the functions that are wanted.

    Args:
        content: the file.
        wanted: names of functions, any of which will do.
        where: where the parameter file names them.
    """
    try:
        names = set(_names(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # another Python runs it, and may know more than this one
    if "*" in names or names & set(wanted):
        return None
    return Finding(
        "error",
        "step-function-missing",
        f"The step's file has no function {' or '.join(wanted)}.{did_you_mean(wanted[0], names)}",
        where=where,
        fix='Name the function that is to be called: "function": "…".',
    )


def _names(module: ast.AST) -> Iterator[str]:
    """What a module defines at its top level, also in the branches of an `if` or a `try`; a star
    when that cannot be known."""
    for node in ast.iter_child_nodes(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield "*" if node.name == "__getattr__" else node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        else:
            yield from _names(node)
