"""The files of `experiment_metadata/`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import write_atomic, write_json
from ..masking import mask_arguments, mask_text, mask_values


def save_original(folder: Path, file: Path, raw: bytes) -> Path:
    """Save the parameter file as `original_<name>`: its exact bytes, or, when it holds a secret,
    the same with the secret masked.

    Args:
        folder: `experiment_metadata/`.
        file: the parameter file, for its name.
        raw: its bytes as they were loaded.
    """
    target = folder / f"original_{file.name}"
    values = json.loads(raw)
    masked = mask_values(values)
    if masked == values:
        write_atomic(target, raw)
    else:
        write_json(target, masked)
    return target


def save_processed(folder: Path, parameters: Mapping[str, Any], *, rehearsal: bool) -> None:
    """Save the parameters as they were used: validated, placeholders filled."""
    write_json(folder / "processed_parameters.json", stamped(mask_values(parameters), rehearsal))


def save_given(folder: Path, parameters: Mapping[str, Any], *, rehearsal: bool) -> None:
    """Save the parameters as they were given, all layers together, placeholders as written: what
    the same session would be asked for with."""
    write_json(folder / "given_parameters.json", stamped(mask_values(parameters), rehearsal))


def save_command_line(folder: Path, arguments: Sequence[str], *, rehearsal: bool) -> None:
    """Save the command line that started the session."""
    value = {"arguments": mask_arguments(list(arguments)), "working_directory": str(Path.cwd())}
    write_json(folder / "command_line_arguments.json", stamped(value, rehearsal))


def save_runtime(folder: Path, runtime: Mapping[str, Any], *, rehearsal: bool) -> None:
    """Save who, where and with what plan (whose secrets are masked already)."""
    write_json(folder / "runtime_information.json", stamped(runtime, rehearsal))


def save_environment(folder: Path, environment: Mapping[str, Any], *, rehearsal: bool) -> None:
    """Save the software environment."""
    write_json(folder / "environment.json", stamped(mask_values(environment), rehearsal))


def save_log(folder: Path, log: Path) -> None:
    """Save a copy of a log that lies outside the session folder."""
    write_atomic(folder / log.name, mask_text(log.read_text("utf-8", "replace")))


def stamped(value: Mapping[str, Any], rehearsal: bool) -> dict[str, Any]:
    """`value`, marked when it belongs to a rehearsal."""
    return {**value, **({"rehearsal": True} if rehearsal else {})}


def restamp_rehearsal(folder: Path, name: str) -> None:
    """Mark a metadata file that another room wrote as one of a rehearsal."""
    path = folder / name
    if path.is_file():
        write_json(path, stamped(json.loads(path.read_bytes()), True))
