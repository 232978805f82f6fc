"""Run one step again on a closed session.

NAME is a step of the session's pipelines, by its name or its file's, or any installed step.
SESSION is its folder. The step gets the parameters that the session ran with; --set gives it
others. What it adds or changes is sealed into the manifest.

example:
  openscope step metadata_subject_fetch data/614173_2026-03-14_10-30-00
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import EXIT_FAILED, EXIT_OK, Finding, ParameterError

if TYPE_CHECKING:
    from ..amending import Person
    from ..session.journal import StepFinished


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope step`."""
    parser.add_argument("name", metavar="NAME", help="a step, see `openscope steps`")
    parser.add_argument("session", metavar="SESSION", help="a session folder")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a parameter of the step; may be repeated",
    )


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..amending import run_again
    from ..parameters.layers import parse_set
    from ..recovery import find_session

    folder = find_session(args.session)
    given = parse_set(args.set)
    _check_given(args.name, given)
    return tell(run_again(folder, args.name, given=given, person=whoever_is_there()))


def _check_given(name: str, given: Mapping[str, Any]) -> None:
    from ..steps import get_step, is_installed
    from ..steps.faults import faults_of_given

    if not given or not is_installed(name):
        return
    findings = list(faults_of_given(given, get_step(name).parameters_model))
    if findings:
        raise ParameterError.from_findings("The step cannot be given these.", findings)


def whoever_is_there() -> Person:
    """The person at this terminal, if there is one."""
    from functools import partial

    from ..amending import Person
    from ..base.session_steps import own_terminal
    from ..parameters.prompts import is_interactive

    return Person(is_interactive(), partial(own_terminal, None))


def tell(ended: Sequence[StepFinished]) -> int:
    """Say how steps went; returns the exit code."""
    from ..display.screens import show_problems

    show_problems([_finding(event) for event in ended], stream=sys.stdout)
    return EXIT_OK if all(event.outcome == "ok" for event in ended) else EXIT_FAILED


def _finding(event: StepFinished) -> Finding:
    words = f"{event.step}: {event.outcome}. {event.message}".rstrip()
    if event.outcome == "ok":
        return Finding("ok", "step-finished", words)
    return Finding("warning" if event.outcome == "pending" else "error", "step-finished", words)
