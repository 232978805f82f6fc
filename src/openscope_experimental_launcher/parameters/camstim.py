"""Reading `stim.cfg`, the configuration file that CamStim keeps on a rig.

It is an INI file whose values are Python literals. They are read as literals and never evaluated;
what is no literal stays the text that it is. The file is never written.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ParameterError
from .jsonfile import read_bytes
from .wording import printable, shown

if TYPE_CHECKING:
    import configparser

DEFAULT_CONFIG_PATH = "C:/ProgramData/AIBS_MPE/camstim/config/stim.cfg"


def load_config(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The sections of the rig's configuration file.

    Args:
        params: `config_path` names the file; without it, `DEFAULT_CONFIG_PATH` is read where it
            exists.

    Returns:
        Section name to its keys and values; `{}` when there is no file at the default place.

    Raises:
        ParameterFileNotFoundError: the file that `config_path` names is not there.
        ParameterError: the file cannot be read or is broken.
    """
    named = params.get("config_path")
    if named is None or named == "":
        default = Path(DEFAULT_CONFIG_PATH)
        return read_config(default) if default.is_file() else {}
    if not isinstance(named, str):
        raise ParameterError(
            "config_path must be text.",
            code="parameter-type",
            where=f"config_path: {shown(named)}",
            fix="Write the path of the file in double quotes.",
        )
    return read_config(Path(named))


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """The sections of one configuration file. For arguments and errors see `load_config`."""
    import configparser

    raw = read_bytes(path, "configuration file")
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keys keep their case
    try:
        parser.read_string(_decode(raw), source=str(path))
    except configparser.Error as error:
        raise _broken(error, path) from error
    return {
        section: {key: _literal(text) for key, text in parser.items(section)}
        for section in parser.sections()
    }


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _broken(error: configparser.Error, path: Path) -> ParameterError:
    import configparser

    line: int | None = None
    if isinstance(error, configparser.MissingSectionHeaderError):
        what, line = "There is a line before the first [section].", error.lineno
    elif isinstance(error, configparser.DuplicateSectionError):
        what, line = f"The section [{error.section}] is there twice.", error.lineno
    elif isinstance(error, configparser.DuplicateOptionError):
        what, line = f"The key {error.option} is given twice in [{error.section}].", error.lineno
    elif isinstance(error, configparser.ParsingError) and error.errors:
        what, line = "A line is neither [section] nor key = value.", error.errors[0][0]
    else:
        what = f"{error.message}."
    return ParameterError(
        f"The configuration file is broken. {what}",
        code="config-file-broken",
        where=printable(str(path)) + (f", line {line}" if line else ""),
        fix="Correct that line.",
    )


def _literal(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            # An unknown escape such as '\d' in a path is only a warning to Python, and to us.
            warnings.simplefilter("ignore")
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
