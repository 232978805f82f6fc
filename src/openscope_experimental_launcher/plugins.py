"""What the launcher and other packages bring: engines and steps, found by their entry points.

Reading what every installed package says of itself takes a tenth of a session's start, so the
launcher's own are looked for first, and each reading is done once for a state of the import path.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_OWN = "openscope-experimental-launcher"


def find_plugin(group: str, name: str) -> EntryPoint | None:
    """The entry point of a name, the launcher's own first; None when there is none."""
    path = tuple(sys.path)
    return _own(group, path).get(name) or _all(group, path).get(name)


def plugin_names(group: str) -> list[str]:
    """The names of a group."""
    return sorted(_all(group, tuple(sys.path)))


@lru_cache(maxsize=8)
def _own(group: str, _: tuple[str, ...]) -> dict[str, EntryPoint]:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return _by_name(distribution(_OWN).entry_points.select(group=group))
    except PackageNotFoundError:
        return {}


@lru_cache(maxsize=8)
def _all(group: str, _: tuple[str, ...]) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return _by_name(entry_points(group=group))


def _by_name(found: Iterable[EntryPoint]) -> dict[str, EntryPoint]:
    by_name: dict[str, EntryPoint] = {}
    for entry in found:
        by_name.setdefault(entry.name, entry)  # the first on the path, as for imports
    return by_name
