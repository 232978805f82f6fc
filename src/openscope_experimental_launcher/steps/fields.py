"""Kinds of parameters that several steps have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import ConfigDict

from ..errors import ParameterError, StepError
from ..parameters.paths import on_missing_drive, rehearsal_path, with_own_separators

if TYPE_CHECKING:
    from pydantic import BaseModel

FROZEN = ConfigDict(frozen=True, hide_input_in_errors=True)


class PathMark(NamedTuple):
    """Marks a field whose text is a path.

    Attributes:
        written: whether the step writes there, so that a rehearsal must not.
    """

    written: bool


PathText = Annotated[str, PathMark(written=False)]
"""A path as a parameter file gives it. The launcher gives it the separators of this system."""

TargetText = Annotated[str, PathMark(written=True)]
"""A folder outside of the session that a step writes to; in a rehearsal below `./rehearsal/`."""


def path_fields(model: type[BaseModel]) -> dict[str, PathMark]:
    """The fields of a step's parameters that are paths."""
    marks = {name: _mark(field) for name, field in model.model_fields.items()}
    return {name: mark for name, mark in marks.items() if mark is not None}


def _mark(field: Any) -> PathMark | None:
    # An optional path has its mark inside the union.
    parts = [field, *getattr(field.annotation, "__args__", ())]
    found = [mark for part in parts for mark in _metadata(part) if isinstance(mark, PathMark)]
    return found[0] if found else None


def _metadata(part: Any) -> Any:
    return getattr(part, "metadata", getattr(part, "__metadata__", ()))


def with_own_paths(
    values: Mapping[str, Any], model: type[BaseModel], *, rehearsal: bool
) -> dict[str, Any]:
    """`values` for a model with its paths as this system has them. In a rehearsal, what is on
    drives that it does not have, and what would be written to, is put below `./rehearsal/`."""
    own = dict(values)
    for name, mark in path_fields(model).items():
        value = own.get(name)
        if not isinstance(value, str) or not value.strip():
            continue
        if rehearsal and (mark.written or on_missing_drive(value)):
            own[name] = str(rehearsal_path(value))
        elif not on_missing_drive(value):
            own[name] = with_own_separators(value)
    return own


def inside_session(session_folder: Path, named: str) -> Path:
    """A file of the session.

    Args:
        session_folder: absolute path of the session folder.
        named: a path in it, relative or absolute.

    Raises:
        StepError: it is not in the session folder.
    """
    path = (session_folder / named).resolve()
    if path.is_relative_to(session_folder.resolve()) and path != session_folder.resolve():
        return session_folder / path.relative_to(session_folder.resolve())
    raise StepError(
        f"{named} is not in the session folder.",
        code="step-file-outside",
        where=str(path),
        fix="Give a name or path inside the session folder.",
    )


def check_absolute(path: str) -> str:
    """`path`, when it is absolute on some system, or empty.

    Raises:
        ParameterError: it is not.
    """
    if not path.strip() or Path(path).is_absolute() or on_missing_drive(path):
        return path
    raise ParameterError(
        "The folder of an archive must be an absolute path.",
        code="archive-folder-relative",
        fix="Begin it with a drive, a share (//server/share) or /.",
    )
