"""The step `instrument_json_fetch`: the rig's own description, kept with the session."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from ..files import write_atomic
from . import StepContext, StepResult
from .fields import FROZEN, PathText

TARGET = "instrument.json"


class InstrumentParameters(BaseModel):
    """Parameters of `instrument_json_fetch`."""

    model_config = FROZEN

    instrument_json_source_root: PathText | None = Field(
        default=None,
        description="Folder of the descriptions of all rigs, relative to the repository.",
    )


class InstrumentFetch:
    """Copies the newest description of this rig into the session as `instrument.json`.

    Below the source root it is looked for in a folder of the rig's name, as any file with
    `instrument` in its name; else as `<rig>.json` or a file that has both names in its own; else
    `instrument.json` is taken as it is, when there is no other.
    """

    name = "instrument_json_fetch"
    interactive = False
    parameters_model = InstrumentParameters

    def run(self, context: StepContext[InstrumentParameters]) -> StepResult:
        """Find and copy; see `Step.run`."""
        named = context.parameters.instrument_json_source_root
        rig = str(context.session_parameters.get("rig_id") or platform.node())
        if not named:
            return _result(context, "No folder is named: give instrument_json_source_root.")
        root = (context.checkout or context.session_folder) / named
        try:
            found = _find(root, rig)
            if found is None:
                return _result(context, f"There is no description of {rig} in {root}.")
            content = found.read_bytes()
            description = json.loads(content)
        except (ValueError, RecursionError) as error:
            return StepResult(False, f"{found} is no JSON: {error}")
        except OSError as error:
            words = f"{root} cannot be read: {error.strerror or error}"
            return _result(context, words, pending=True)
        write_atomic(context.session_folder / TARGET, content)
        other = _other_rig(description, rig)
        warnings = (f"The description is of {other}, not of {rig}.",) if other else ()
        return StepResult(True, f"{found} was kept as {TARGET}.", (TARGET,), warnings)


def _result(
    context: StepContext[InstrumentParameters], words: str, *, pending: bool = False
) -> StepResult:
    """A failure, which is none in a rehearsal away from the rig."""
    return StepResult(context.rehearsal, words, pending=pending and not context.rehearsal)


def _find(root: Path, rig: str) -> Path | None:
    """The newest description of the rig.

    Raises:
        OSError: the folder is not there.
    """
    files = [path for path in root.iterdir() if path.suffix == ".json" and path.is_file()]
    folder = root / rig
    if rig not in (".", "..") and folder.parent == root and folder.is_dir():
        own = [path for path in folder.glob("*.json") if "instrument" in path.name.lower()]
        if own:
            return _newest(own)
    own = [path for path in files if path.stem.lower() == rig.lower()]
    own = own or [
        path
        for path in files
        if "instrument" in path.name.lower() and rig.lower() in path.name.lower()
    ]
    if own:
        return _newest(own)
    only = root / TARGET
    return only if only.is_file() else None


def _newest(files: list[Path]) -> Path:
    return max(files, key=lambda path: (path.stat().st_mtime_ns, path.name))


def _other_rig(description: Any, rig: str) -> str:
    if not isinstance(description, dict):
        return ""
    named = description.get("instrument_id") or description.get("rig_id")
    return str(named) if named and rig.lower() not in str(named).lower() else ""
