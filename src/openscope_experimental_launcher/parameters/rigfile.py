"""The rig file: what one rig says of itself, for every session that runs on it.

A TOML file of top-level keys: the rig's id, defaults for any parameter, and the rig's own values,
which parameter files refer to as `{rig_param:KEY}`. It lies below the parameter file. A subject or
a user in it is only offered when one is asked for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Finding, ParameterError, ParameterFileNotFoundError
from .jsonfile import read_bytes
from .paths import on_missing_drive, rehearsal_path
from .wording import printable

RIG_CONFIG_VARIABLE = "OPENSCOPE_RIG_CONFIG"
DEFAULT_RIG_CONFIG = (
    "C:/RigConfig/rig_config.toml" if sys.platform == "win32" else "/opt/rigconfig/rig_config.toml"
)


class RigFile(NamedTuple):
    """A rig file, or that there is none.

    Attributes:
        path: the file; None when none applies.
        named_by: what named it: `rig_config_path`, the environment variable, or `default place`.
        values: its keys.
        findings: what is odd about how it was found.
    """

    path: Path | None
    named_by: str
    values: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()


NO_RIG_FILE = RigFile(None, "", {})


def find_rig_file(params: Mapping[str, Any], *, rehearsal: bool = False) -> RigFile:
    """The rig file that applies here, read.

    It is the one that `rig_config_path` names, else the one that the variable
    `OPENSCOPE_RIG_CONFIG` names, else the one at the default place where there is one.

    Args:
        params: what was given so far, with placeholders as they were written.
        rehearsal: look for a file on a drive that this system does not have below `./rehearsal/`,
            and go on without it when it is not there either.

    Raises:
        ParameterFileNotFoundError: the file that was named is not there.
        ParameterError: it is no TOML file.
    """
    findings: list[Finding] = []
    for name, named_by in _places(params):
        path = Path(name).expanduser()
        if on_missing_drive(name):
            path = rehearsal_path(name)
            if not (rehearsal and path.is_file()):
                findings += [_not_here(name, named_by)] if rehearsal else []
                continue
        if named_by == "default place" and not path.is_file():
            break
        try:
            return RigFile(path, named_by, read_rig_file(path), tuple(findings))
        except ParameterFileNotFoundError as error:
            raise _missing(path, named_by) from error
    return RigFile(None, "", {}, tuple(findings))


def _places(params: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    named = params.get("rig_config_path")
    if isinstance(named, str) and named.strip():
        yield named, "rig_config_path"
    variable = os.environ.get(RIG_CONFIG_VARIABLE)
    if variable:
        yield variable, RIG_CONFIG_VARIABLE
    yield DEFAULT_RIG_CONFIG, "default place"


def usual_place() -> str:
    """Where the rig file of this machine is looked for when no parameter file names one."""
    return os.environ.get(RIG_CONFIG_VARIABLE) or DEFAULT_RIG_CONFIG


def _not_here(name: str, named_by: str) -> Finding:
    return Finding(
        "warning",
        "rehearsal-rig-file",
        "The rig file is on a drive that this system does not have: the rehearsal goes on "
        "without it.",
        where=f"{named_by}: {printable(name)}",
        fix=f"Put a copy at {rehearsal_path(name)}, or name another in {RIG_CONFIG_VARIABLE}.",
    )


def _missing(path: Path, named_by: str) -> ParameterFileNotFoundError:
    return ParameterFileNotFoundError(
        "The rig file is not there.",
        code="rig-file-missing",
        where=f"{named_by}: {printable(str(path))}",
        fix="Correct the path, or make the file with: openscope rig init FILE",
    )


def read_rig_file(path: Path) -> dict[str, Any]:
    """The keys of one rig file. For errors see `find_rig_file`."""
    import tomllib

    raw = read_bytes(path, "rig file")
    where = printable(str(path))
    try:
        values = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ParameterError(
            f"The rig file is not UTF-8: byte 0x{raw[error.start]:02x} begins no character.",
            code="rig-file-broken",
            where=where,
            fix="Save it with the encoding UTF-8.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ParameterError(
            f"The rig file is no valid TOML: {printable(str(error))}.",
            code="rig-file-broken",
            where=where,
            fix="Correct that line. Texts stand in quotes; Windows paths are written with / or in "
            "single quotes: 'C:\\data'.",
        ) from error
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    """A value of TOML as JSON has it: dates and times become text."""
    if isinstance(value, (date, datetime, time)):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
