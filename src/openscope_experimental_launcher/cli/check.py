"""`openscope check` and `openscope plan`: what a session would do, before it is done."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import Finding
from .run import (
    DirtyOption,
    OfflineOption,
    OutputOption,
    RehearseOption,
    SetOption,
    SubjectOption,
    UserOption,
)

if TYPE_CHECKING:
    from ..base.experiment import BaseExperiment
    from ..plan import Plan

FileArgument = Annotated[Path, typer.Argument(metavar="PARAMS", help="JSON parameter file.")]


def check(
    params: FileArgument,
    set_: SetOption = None,
    subject: SubjectOption = None,
    user: UserOption = None,
    output: OutputOption = None,
    rehearse: RehearseOption = False,
    allow_dirty: DirtyOption = False,
    offline: OfflineOption = False,
) -> None:
    """Check everything a session needs, and change nothing.

    Shows the plan and its findings, each with what to do about it. The exit code is 1 when
    something stands in the way of a session.
    """
    from ..display.screens import show_findings, show_plan
    from ..preflight import check_plan

    experiment, missing = _loaded(
        params, set_, subject, user, output, rehearse, allow_dirty, offline
    )
    plan = experiment.make_plan()
    findings = [
        *experiment.parameter_warnings,
        *missing,
        *check_plan(plan, allow_dirty=allow_dirty),
    ]
    show_plan(_shown(plan, missing), free_bytes=None, warnings=[])
    show_findings(findings)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def plan(
    params: FileArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
    set_: SetOption = None,
    subject: SubjectOption = None,
    user: UserOption = None,
    output: OutputOption = None,
    rehearse: RehearseOption = False,
    offline: OfflineOption = False,
) -> None:
    """Show exactly what a session would do, and where each parameter comes from."""
    from ..display.screens import show_origins, show_plan
    from ..parameters.placeholders import show

    experiment, missing = _loaded(params, set_, subject, user, output, rehearse, False, offline)
    made = experiment.make_plan()
    shown = _shown(made, missing)
    if as_json:
        sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
        return
    show_plan(shown, free_bytes=None, warnings=[*experiment.parameter_warnings, *missing])
    from ..masking import mask_values

    values = mask_values(made.parameters.model_dump(mode="json"))
    asked = {finding.where for finding in missing}
    rows = [
        (key, show(json.dumps(values.get(key), ensure_ascii=False)), origin)
        for key, origin in made.origins.items()
        if key not in asked and values.get(key) not in (None, [], {})
    ]
    show_origins(rows)


def _loaded(
    params: Path,
    set_: list[str] | None,
    subject: str | None,
    user: str | None,
    output: str | None,
    rehearse: bool,
    allow_dirty: bool,
    offline: bool,
) -> tuple[BaseExperiment, list[Finding]]:
    """An experiment with its parameters, and a finding for each that a run would ask for."""
    from ..base.experiment import BaseExperiment, command_line_overrides
    from ..base.options import RunOptions
    from ..base.terminal import tell
    from ..parameters.layers import PROMPT

    options = RunOptions(
        overrides=command_line_overrides(set_ or [], subject, user, output),
        defaults=True,
        interactive=False,
        rehearse=rehearse,
        allow_dirty=allow_dirty,
        offline=offline,
        tell=tell if sys.stdout.isatty() else None,
    )
    experiment = BaseExperiment(options)
    experiment.load_parameters(params)
    asked = [key for key, origin in experiment.origins.items() if origin == PROMPT]
    findings = [
        Finding("ok", "asked-at-start", f"{key} is asked for at the start.", where=key)
        for key in asked
    ]
    return experiment, findings


def _shown(made: Plan, missing: list[Finding]) -> dict[str, Any]:
    shown = made.as_json()
    return shown | {finding.where: None for finding in missing}
