"""Check everything a session needs, and change nothing.

Shows the plan and its findings, each with what to do about it. The exit code is 1 when something
stands in the way of a session.

example:
  openscope check oddball.json
"""

from __future__ import annotations

import argparse

from ..errors import EXIT_FAILED, EXIT_OK, LauncherError
from .planned import ASKED, add_arguments, loaded, shown

__all__ = ["add_arguments", "main"]


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.screens import show_findings, show_plan
    from ..preflight import check_plan

    experiment, asked = loaded(args)
    findings = [*experiment.parameter_warnings, *asked]
    try:
        plan = experiment.make_plan()
    except LauncherError as error:
        show_findings([*findings, *error.findings])
        return EXIT_FAILED
    findings += check_plan(plan, allow_dirty=args.allow_dirty)
    show_plan(shown(plan.as_json(), asked, ASKED), free_bytes=None, warnings=[])
    show_findings(findings)
    return EXIT_FAILED if any(finding.level == "error" for finding in findings) else EXIT_OK
