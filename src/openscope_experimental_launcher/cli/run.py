"""`openscope run`: one session."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import Finding, ParameterError

if TYPE_CHECKING:
    from ..base.options import RunOptions
    from ..plan import Plan

ParamsArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[PARAMS]", help="JSON parameter file; without it, choose a recent one."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Set a parameter over the file's, e.g. --set script_parameters.Gain=2. Repeatable.",
    ),
]
SubjectOption = Annotated[str | None, typer.Option(help="Subject id, over the file's.")]
UserOption = Annotated[str | None, typer.Option(help="Experimenter, over the file's.")]
OutputOption = Annotated[
    str | None, typer.Option(help="Folder of all sessions, over the file's OutputFolder.")
]
DefaultsOption = Annotated[
    bool, typer.Option("--defaults", help="Take test_subject and test_user where none are given.")
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not wait for Enter.")]
RehearseOption = Annotated[
    bool,
    typer.Option(
        "--rehearse", help="Play a stand-in instead of the acquisition; all output in ./rehearsal."
    ),
]
DirtyOption = Annotated[
    bool, typer.Option("--allow-dirty", help="Run with local edits, and save them exactly.")
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Ask no git server; a branch is where last fetched.")
]
SoundOption = Annotated[bool, typer.Option("--sound", help="Make a sound at the end.")]


def run(
    params: ParamsArgument = None,
    set_: SetOption = None,
    subject: SubjectOption = None,
    user: UserOption = None,
    output: OutputOption = None,
    defaults: DefaultsOption = False,
    yes: YesOption = False,
    rehearse: RehearseOption = False,
    allow_dirty: DirtyOption = False,
    offline: OfflineOption = False,
    sound: SoundOption = False,
) -> None:
    """Run one session.

    Loads the parameter file, asks for what is missing, checks everything, puts the code at its
    commit, opens a session folder and runs the acquisition. Ctrl-C stops it gracefully; pressed
    again, at once.

    Example: openscope run oddball.json --subject 614173 --set script_parameters.trials=200
    """
    from ..base.experiment import command_line_overrides
    from ..base.options import RunOptions

    options = RunOptions(
        overrides=command_line_overrides(set_ or [], subject, user, output),
        defaults=defaults,
        rehearse=rehearse,
        allow_dirty=allow_dirty,
        offline=offline,
    )
    chosen = params if params is not None or set_ else choose_recent()
    raise typer.Exit(run_session(chosen, options, yes=yes, sound=sound))


def run_session(params: Path | None, options: RunOptions, *, yes: bool, sound: bool = False) -> int:
    """Run a session with its screens; returns the exit code."""
    from ..base.experiment import BaseExperiment
    from ..base.terminal import with_display
    from ..display.screens import show_end, show_error
    from ..parameters.prompts import is_interactive
    from ..parameters.recent import remember
    from ..session.state import state_folder

    def confirm(plan: Plan, findings: Sequence[Finding]) -> bool:
        if params is not None:
            remember(state_folder(), params)
        return _confirm(plan, findings, wait=not yes and is_interactive())

    watched = with_display(replace(options, confirm=confirm, arguments=tuple(sys.argv)))
    experiment = BaseExperiment(watched)
    experiment.run(params)
    outcome = experiment.outcome
    if outcome.failure is not None:
        show_error(outcome.failure.error)
    wants_sound = sound or bool(experiment.params.get("sound_on_end"))
    duration_s = None
    if experiment.start_time and experiment.stop_time:
        duration_s = (experiment.stop_time - experiment.start_time).total_seconds()
    show_end(outcome.name, outcome.reason, outcome.folder, duration_s, sound=wants_sound)
    return outcome.exit_code


def _confirm(plan: Plan, findings: Sequence[Finding], *, wait: bool) -> bool:
    import shutil

    from ..display.screens import show_plan

    place = next((p for p in (plan.output_root, *plan.output_root.parents) if p.exists()), None)
    free = shutil.disk_usage(place).free if place else None
    problems = [finding for finding in findings if finding.level != "ok"]
    show_plan(plan.as_json(), free_bytes=free, warnings=problems)
    if not wait:
        return True
    from ..parameters.prompts import discard_type_ahead

    discard_type_ahead()
    sys.stdout.write("Press Enter to start, Ctrl-C to leave. ")
    sys.stdout.flush()
    return bool(sys.stdin.readline())


def choose_recent() -> Path | None:
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
