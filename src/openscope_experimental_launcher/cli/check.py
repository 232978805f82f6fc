"""Check everything a session needs, and change nothing.

Shows the plan and its findings, each with what to do about it. The exit code is 1 when something
stands in the way of a session. For a folder, all its parameter files in one table.

example:
  openscope check oddball.json
  openscope check parameters/
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import EXIT_FAILED, EXIT_OK
from .planned import ASKED, loaded, looked_at, shown
from .planned import add_arguments as add_plan_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope check`."""
    add_plan_arguments(parser, "JSON parameter file, or a folder of them")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    if Path(args.param_file).is_dir():
        from .check_folder import check_folder

        return check_folder(args, Path(args.param_file))
    from ..display.screens import show_findings, show_plan

    experiment, asked = loaded(args)
    plan, findings = looked_at(experiment, allow_dirty=args.allow_dirty)
    if plan is not None:
        show_plan(shown(plan.as_json(), asked, ASKED), free_bytes=None, warnings=[])
    findings = [*experiment.parameter_warnings, *asked, *findings]
    show_findings(findings)
    return EXIT_FAILED if any(finding.level == "error" for finding in findings) else EXIT_OK
