"""Whether the records of a session by the AIND schema are valid, by the library that defines it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from aind_data_schema.core.metadata import CORE_FILES, Metadata

from ...errors import Finding
from ...session.folder import SessionFolder
from . import RECORDS
from .schema import problems


def check_schemas(folder: SessionFolder) -> tuple[str, list[Finding]]:
    """Validate each record of the schema that is in a session folder, and all together.

    Returns:
        Names of those that are valid, for the table; and what speaks against the others.
    """
    valid: dict[str, Any] = {}
    findings: list[Finding] = []
    for name in CORE_FILES:
        path = folder.path / f"{name}.json"
        if not path.is_file():
            continue
        found = _check(path, name, valid)
        findings += found
    missing = [name for name in RECORDS if not (folder.path / name).is_file()]
    if missing:
        words = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not there."
        fix = f"Make what is missing: openscope metadata {folder.path}"
        findings.append(Finding("warning", "metadata-not-made", words, fix=fix))
    if not findings:
        together = {"name": folder.name, "location": str(folder.path), **valid}
        for words in problems(Metadata, together):
            message = f"The records do not fit together: {words}."
            findings.append(Finding("warning", "schema-inconsistent", message))
    names = ", ".join(f"{name}.json" for name in valid)
    return f"valid: {names}" if names else "", findings


def _check(path: Path, name: str, valid: dict[str, Any]) -> list[Finding]:
    fix = f"See what is missing: openscope metadata {path.parent}" if path.name in RECORDS else ""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        words = f"{path.name} cannot be read: {error}."
        return [Finding("error", "record-unreadable", words, path.name)]
    model = next(kind for kind in get_args(Metadata.model_fields[name].annotation) if kind)
    found = problems(model, value)
    if not found:
        valid[name] = value
    together = f"{path.name} is not valid: {'; '.join(found)}."
    return [Finding("error", "schema-invalid", together, path.name, fix)] if found else []
