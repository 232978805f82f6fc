"""What a session saves about itself before its acquisition starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..metadata import experiment as records
from ..metadata.machine import environment
from ..parameters.layers import Loaded
from ..parameters.model import SPELLINGS
from ..parameters.placeholders import bind
from ..plan import Plan
from ..repository import Checkout, save_state
from ..session.folder import SessionFolder


def save_metadata(
    session: SessionFolder,
    plan: Plan,
    loaded: Loaded,
    *,
    parameter_file: Path | None,
    arguments: Sequence[str],
    checkout: Checkout | None,
    runtime: Mapping[str, Any],
) -> None:
    """Write the files of `experiment_metadata/`.

    Args:
        session: the session folder.
        plan: the session's plan.
        loaded: its parameters in their layers.
        parameter_file: the file to save as the original one; None when there is none.
        arguments: the command line that started the session.
        checkout: the experiment's repository; None without one.
        runtime: who, where and which checksums.
    """
    folder, rehearsal = session.metadata, plan.rehearsal
    folder.mkdir(parents=True, exist_ok=True)
    if parameter_file is not None:
        same = loaded.raw is not None and plan.parameter_file == parameter_file.absolute()
        raw = loaded.raw if same and loaded.raw is not None else parameter_file.read_bytes()
        records.save_original(folder, parameter_file, raw)
    values = bind(plan.parameters.values(), str(session.path), session.name)
    records.save_processed(folder, values, rehearsal=rehearsal)
    given = {key: value for key, value in loaded.values.items() if key not in SPELLINGS}
    records.save_given(folder, given, rehearsal=rehearsal)
    records.save_command_line(folder, arguments, rehearsal=rehearsal)
    variables = plan.bound_launch(session.path).environment
    software = environment(__version__, variables)
    # Engines of others may not know of this.
    describe = getattr(plan.engine, "environment", None)
    if describe is not None and not rehearsal:
        software["acquisition"] = describe(plan.parameters, plan.source)
    records.save_environment(folder, software, rehearsal=rehearsal)
    records.save_runtime(
        folder,
        {
            **runtime,
            "session_directory": str(session.path),
            "rig_id": plan.rig_id,
            "launcher_version": __version__,
            "plan": plan.as_json(),
            "origins": {key: origin for key, origin in plan.origins.items() if origin != "default"},
        },
        rehearsal=rehearsal,
    )
    if checkout is not None:
        save_state(checkout, folder)
        if rehearsal:
            records.restamp_rehearsal(folder, "repository.json")
