"""Look whether closed sessions, or copies of them, are whole and in the form that others expect.

Looks at the folder's name, the records in it, the records of the AIND schema (with the package
aind-data-schema), the manifest and the journal. Files of data are not read: `openscope verify` does
that. The exit code is 1 when something is wrong. SESSION is a session folder, the name of a
session, or a part of a name that no other has.

example:
  openscope validate data/614173_2026-11-03_09-08-07
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from .each_session import Answer, add_sessions, each_session, when_settled

if TYPE_CHECKING:
    from ..session.folder import SessionFolder
    from ..session.validating import Part


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope validate`."""
    add_sessions(parser)


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    return each_session(args, when_settled(_look))


def _look(folder: SessionFolder) -> Answer:
    from ..display.screens import show_parts
    from ..session.validating import validate

    name, files, *rest = validate(folder)
    parts = [name, files, _schemas(folder), *rest]
    valid = not any(found.level == "error" for part in parts for found in part.findings)
    return Answer(
        good=valid,
        told={"valid": valid, "parts": [_as_json(part) for part in parts]},
        tell=lambda: show_parts(str(folder.path), parts),
    )


def _schemas(folder: SessionFolder) -> Part:
    from ..metadata.aind import NOT_INSTALLED, is_installed
    from ..session.validating import Part

    if not is_installed():
        words = "The schemas were not checked: the package aind-data-schema is not installed."
        return Part("schemas", "", [NOT_INSTALLED._replace(message=words)])
    from ..metadata.aind.validating import check_schemas

    return Part("schemas", *check_schemas(folder))


def _as_json(part: Part) -> dict[str, Any]:
    return {**part._asdict(), "findings": [finding._asdict() for finding in part.findings]}
