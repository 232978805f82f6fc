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
import json
import sys
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_FAILED, EXIT_OK, LauncherError

if TYPE_CHECKING:
    from ..session.folder import SessionFolder
    from ..session.validating import Part


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope validate`."""
    parser.add_argument("sessions", nargs="+", metavar="SESSION", help="session folder or name")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.screens import show_error
    from ..recovery import find_session
    from ..session.validating import validate

    codes = [EXIT_OK]
    told: dict[str, Any] = {}
    for named in args.sessions:
        try:
            folder = find_session(named)
            name, files, *rest = validate(folder)
        except LauncherError as error:
            show_error(error)
            codes.append(EXIT_FAILED)
            continue
        parts = [name, files, _schemas(folder), *rest]
        wrong = any(found.level == "error" for part in parts for found in part.findings)
        codes.append(EXIT_FAILED if wrong else EXIT_OK)
        told[str(folder.path)] = {"valid": not wrong, "parts": [_as_json(part) for part in parts]}
        if not args.json:
            _tell(folder, parts)
    if args.json:
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return max(codes)


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


def _tell(folder: SessionFolder, parts: list[Part]) -> None:
    from ..display.screens import show_parts

    show_parts(str(folder.path), parts)
