"""What the launcher and other packages bring: engines and steps, found by their entry points.

Reading what every installed package says of itself takes a tenth of a session's start, and loading
the library for it another. So the launcher's own entry points are looked for first, in the file
that its installation wrote, and each reading is done once for a state of the import path.

Source of the file's form: the entry points specification of the Python Packaging User Guide.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

_OWN = f"{__package__}-"


class Plugin(NamedTuple):
    """An entry point.

    Attributes:
        name: the name by which it is asked for.
        value: where it is, as in `package.module:Name`.
    """

    name: str
    value: str

    def load(self) -> Any:
        """What it names.

        Raises:
            ImportError, AttributeError: it is not there.
        """
        module, _, attribute = self.value.partition(":")
        return getattr(importlib.import_module(module.strip()), attribute.strip())


def find_plugin(group: str, name: str) -> Plugin | None:
    """The plugin of a name, the launcher's own first; None when there is none."""
    path = tuple(sys.path)
    return _own(path).get((group, name)) or _all(group, path).get(name)


def plugin_names(group: str) -> list[str]:
    """The names of a group."""
    return sorted(_all(group, tuple(sys.path)))


@lru_cache(maxsize=8)
def _own(path: tuple[str, ...]) -> dict[tuple[str, str], Plugin]:
    """By group and name; empty where the installation left no such file, as in an archive."""
    for folder in path:
        with suppress(OSError):
            for name in os.listdir(folder or "."):  # noqa: PTH208 - names are all that is wanted
                if name.startswith(_OWN) and name.endswith(".dist-info"):
                    text = Path(folder, name, "entry_points.txt").read_text(encoding="utf-8")
                    return dict(_parse(text))
    return {}


def _parse(text: str) -> Iterator[tuple[tuple[str, str], Plugin]]:
    group = ""
    for line in map(str.strip, text.splitlines()):
        name, equals, value = line.partition("=")
        if line.startswith("["):
            group = line.strip("[]")
        elif equals:
            yield (group, name.strip()), Plugin(name.strip(), value.strip())


@lru_cache(maxsize=8)
def _all(group: str, _: tuple[str, ...]) -> dict[str, Plugin]:
    from importlib.metadata import entry_points

    found: dict[str, Plugin] = {}
    for entry in entry_points(group=group):
        # The first on the path, as for imports.
        found.setdefault(entry.name, Plugin(entry.name, entry.value))
    return found
