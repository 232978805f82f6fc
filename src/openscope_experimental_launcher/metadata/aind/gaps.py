"""What a record lacks, in words for whoever is to complete it."""

from __future__ import annotations

from typing import Any

from ...errors import Finding
from ...parameters.wording import shown

_EXAMPLES = {
    "modalities": "behavior",
    "modality": "behavior",
    "institution": "AIND",
    "funding_source": "NINDS",
    "investigators": "Ana Berg",
    "project_name": "OpenScope",
    "stimulus_modalities": "Visual",
    "stimulus_table": "stimulus_table.csv",
    "mouse_platform_name": "running_disc",
    "active_devices": "Running wheel",
    "device_configurations": "[…]",
}


def gap(record: str, field: str, key: str) -> Finding:
    """A field that the schema wants and that nothing in the session says.

    Args:
        record: name of the file.
        field: path in it.
        key: the parameter that says it.
    """
    words = f"{record} lacks {field}: the session has no {key}."
    return Finding("warning", "metadata-unknown", words, f"{record}: {field}", give(key))


def unusable(record: str, field: str, value: Any, why: str, key: str) -> Finding:
    """A value that cannot stand in a record, so that it is left out.

    Args:
        record, field, key: as for `gap`; an empty key means that nothing can be given for it.
        value: what was to stand there.
        why: the end of the sentence that begins with the value.
    """
    words = f"{record} goes without {field}: {shown(value)} {why.rstrip('.')}."
    fix = give(key) if key else ""
    return Finding("warning", "metadata-unusable", words, f"{record}: {field}", fix)


def give(key: str) -> str:
    """How to give a parameter for the metadata."""
    example = _EXAMPLES.get(key, "VALUE")
    value = f'"{key}={example}"' if " " in example else f"{key}={example}"
    return (
        f"Give {key} in the parameter file or the rig file; for this session: "
        f"openscope metadata SESSION --set {value}"
    )
