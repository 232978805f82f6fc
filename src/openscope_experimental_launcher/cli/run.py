"""Run one session.

Loads the parameter file, asks for what is missing, checks everything, puts the code at its
commit, opens a session folder and runs the acquisition. Ctrl-C stops it gracefully; pressed
again, at once. Without PARAMS, choose among the recent files.

example:
  openscope run oddball.json --subject 614173 --set script_parameters.trials=200
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.arguments import add_run_options, options_from
from ..errors import Finding, ParameterError, ParameterFileNotFoundError, attempt
from ..supervision.spawn import start_guard_early

_MOST_TRIES = 5

if TYPE_CHECKING:
    from ..base.experiment import BaseExperiment
    from ..base.options import RunOptions
    from ..plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope run`."""
    add_run_options(parser)
    parser.add_argument("--yes", "-y", action="store_true", help="do not wait for Enter")
    parser.add_argument("--sound", action="store_true", help="make a sound at the end")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    start_guard_early()
    options = options_from(args)
    params = Path(args.param_file) if args.param_file else None
    if params is None and not args.set:
        params = choose_recent()
    failure = attempt(lambda: offer_recovery(wait=not args.yes))
    if failure is not None:  # an old session is no reason not to run a new one
        sys.stdout.write(f"{failure.error.render()}\n")
    return run_session(params, options, yes=args.yes, sound=args.sound)


def offer_recovery(*, wait: bool) -> None:
    """Say which sessions of this machine were never closed, and offer to close them."""
    from ..session.state import open_sessions

    if not open_sessions():
        return
    from ..parameters.prompts import ask, is_interactive
    from ..recovery import find_open
    from .recover import close_lost

    for session in find_open(on_failure=lambda error: sys.stdout.write(error.render() + "\n")):
        if session.state == "running":
            continue
        sys.stdout.write(session.describe() + "\n")
        verb = "attach" if session.state == "unattended" else "recover"
        if verb == "attach" or not wait or not is_interactive():
            sys.stdout.write(f"  openscope {verb} {session.folder.path}\n")
        elif ask("Close it now? (y/n)", default="y").lower().startswith("y"):
            record = close_lost(session.folder)
            sys.stdout.write(f"  Closed: {record.outcome}. {record.reason}\n")


def run_session(
    params: Path | None,
    options: RunOptions,
    *,
    yes: bool,
    sound: bool = False,
    remarks: Callable[[Plan], list[Finding]] | None = None,
) -> int:
    """Run a session with its screens; returns the exit code.

    Args:
        params: the parameter file; None means an empty one.
        options: how it is to be done.
        yes: do not wait for Enter, and ask nothing about failures.
        sound: ring at the end.
        remarks: more findings about the plan, to be shown before the others. Given when the
            parameter file is none of the person's own, to be offered again.
    """
    from ..base.experiment import BaseExperiment
    from ..base.terminal import with_display
    from ..display.screens import show_problems

    shown: list[Plan] = []

    def confirm(plan: Plan, findings: Sequence[Finding]) -> bool:
        shown.append(plan)
        first = remarks(plan) if remarks else []
        return _confirm(plan, [*first, *findings], wait=not yes)

    experiment = BaseExperiment(
        with_display(options._replace(confirm=confirm, offer_again=not yes))
    )
    # The imports are over (see cli/__init__.py), and what they made stays: no use looking at it.
    gc.freeze()
    gc.enable()
    experiment.run(params)
    told = False
    for _ in range(_MOST_TRIES - 1):
        told = not yes and _may_be_mended(experiment)
        if not told or not _wants_again(experiment):
            break
        shown.clear()
        told = False
        experiment.run(params)
    if params is not None and remarks is None and experiment.start_time is not None:
        from ..parameters.recent import remember
        from ..session.state import state_folder

        remember(state_folder(), params)
    if not shown and experiment.params:
        # What is odd about the parameters may well be why it never came to a plan.
        show_problems(experiment.parameter_warnings)
    _show_end(experiment, sound=sound, told=told)
    return experiment.outcome.exit_code


def _may_be_mended(experiment: BaseExperiment) -> bool:
    """Whether what kept the session from starting is a matter for the person at the terminal."""
    from ..parameters.prompts import is_interactive

    outcome = experiment.outcome
    if outcome.name != "not started" or outcome.failure is None or outcome.failure.bug:
        return False
    named_wrong = isinstance(outcome.failure.error, ParameterFileNotFoundError)
    return not named_wrong and is_interactive()


def _wants_again(experiment: BaseExperiment) -> bool:
    from ..display.screens import show_error
    from ..parameters.prompts import ask

    assert experiment.outcome.failure is not None  # noqa: S101 - see _may_be_mended
    show_error(experiment.outcome.failure.error)
    try:
        answer = ask("Mend it, then (t)ry again with the same answers; or (l)eave", default="l")
    except (KeyboardInterrupt, ParameterError):  # Ctrl-C, or the input has ended
        return False
    return answer.lower().startswith("t")


def _show_end(experiment: BaseExperiment, *, sound: bool, told: bool) -> None:
    from ..display.screens import show_end, show_error, show_failed_steps
    from ..session.folder import SessionFolder
    from ..session.record import read_record
    from ..session.state import is_pending

    outcome = experiment.outcome
    if outcome.failure is not None and not told:
        show_error(outcome.failure.error)
    duration_s = None
    if experiment.start_time and experiment.stop_time:
        duration_s = (experiment.stop_time - experiment.start_time).total_seconds()
    sound = sound or experiment.params.get("sound_on_end") is True
    show_end(outcome.name, outcome.reason, outcome.folder, duration_s, sound=sound)
    if outcome.folder is None:
        return
    with suppress(OSError):  # the session's disk is away, which was said
        show_failed_steps(read_record(SessionFolder(outcome.folder).journal))
    if is_pending(outcome.folder):
        sys.stdout.write("  waits    something is to be done later: openscope catch-up\n")


def _confirm(plan: Plan, findings: Sequence[Finding], *, wait: bool) -> bool:
    import shutil

    from ..display.screens import show_plan
    from ..parameters.prompts import discard_type_ahead, is_interactive

    place = next((p for p in (plan.output_root, *plan.output_root.parents) if p.exists()), None)
    free = shutil.disk_usage(place).free if place else None
    problems = [finding for finding in findings if finding.level != "ok"]
    waits = wait and is_interactive()
    rows, surprises = _looked_back(plan) if waits and not plan.rehearsal else ({}, [])
    show_plan(plan.as_json(), free_bytes=free, more=rows, warnings=[*problems, *surprises])
    if not waits:
        return True
    discard_type_ahead()
    sys.stdout.write("Press Enter to start, Ctrl-C to leave. ")
    sys.stdout.flush()
    return bool(sys.stdin.readline())


def _looked_back(plan: Plan) -> tuple[dict[str, str], list[Finding]]:
    """What the history says of the subject: rows for the plan, and what is unlike before."""
    from ..display.history import last_session_rows
    from ..session.surprises import look_back

    found = look_back(plan)
    if found is None:
        return {"last": "the history was not read in time; see: openscope sessions"}, []
    return last_session_rows(found.last), found.surprises


def choose_recent() -> Path:
    """Let the person choose a recent parameter file, or type the path of one.

    Raises:
        ParameterError: there is no terminal to choose on.
    """
    from ..parameters.prompts import ask, is_interactive
    from ..parameters.recent import recent_files
    from ..session.state import state_folder

    if not is_interactive():
        raise ParameterError(
            "No parameter file was given.",
            code="parameter-file-not-given",
            fix="Name one: openscope run PARAMS.json; try it first with: openscope demo",
        )
    files = recent_files(state_folder())
    for number, file in enumerate(files, 1):
        sys.stdout.write(f"  {number}  {file}\n")

    def known(answer: str) -> str:
        if answer.isdigit() and 1 <= int(answer) <= len(files):
            return str(files[int(answer) - 1])
        path = Path(answer.strip("\"'")).expanduser()
        if path.is_file():
            return str(path)
        raise ValueError(f"There is no file {answer}.")

    question = "Parameter file, by number or path" if files else "Path of the parameter file"
    return Path(ask(question, default="1" if files else None, validate=known))
