"""A session that is only looked at: loaded and planned, nobody asked, nothing changed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.arguments import add_plan_options, options_from
from ..errors import Finding, LauncherError

ASKED = "asked at the start"

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..base.options import RunOptions
    from ..base.preparation import Preparation
    from ..plan import Plan


def add_arguments(parser: argparse.ArgumentParser, what: str = "JSON parameter file") -> None:
    """The options of `openscope check` and `openscope plan`."""
    parser.add_argument("param_file", metavar="PARAMS", help=what)
    add_plan_options(parser)


def loaded(
    args: argparse.Namespace, make: Callable[[RunOptions], Preparation] | None = None
) -> tuple[Preparation, list[Finding]]:
    """An experiment with its parameters, and a finding for each that a run would ask for.

    Args:
        args: the parsed command line.
        make: makes the experiment, when it is to be another than the usual one.
    """
    from ..base.preparation import Preparation
    from ..parameters.layers import PROMPT

    options = options_from(args)._replace(defaults=True, interactive=False)
    if sys.stdout.isatty():
        from ..base.terminal import tell

        options = options._replace(tell=tell)
    experiment = (make or Preparation)(options)
    experiment.load_parameters(Path(args.param_file))
    asked = [
        Finding("ok", "asked-at-start", f"{key} is asked for at the start.", where=key)
        for key, origin in experiment.origins.items()
        if origin == PROMPT
    ]
    return experiment, asked


def looked_at(experiment: Preparation, *, allow_dirty: bool) -> tuple[Plan | None, list[Finding]]:
    """The plan of a loaded experiment, when there can be one, and the findings on it."""
    from ..preflight import check_plan

    try:
        plan = experiment.make_plan()
    except LauncherError as error:
        return None, list(error.findings)
    return plan, check_plan(plan, allow_dirty=allow_dirty)


def shown(plan: dict[str, Any], asked: list[Finding], words: str | None) -> dict[str, Any]:
    """A plan for showing: what will be asked for has no value yet, but `words` in its place."""
    return plan | {finding.where: words for finding in asked}
