"""The command line as a whole: its verbs, and the edge where every error becomes plain words."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from .. import __version__
from ..base.options import EXIT_BUG, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from ..errors import Failure, attempt
from . import check, demo, run, schema
from .window import keep_open

app = typer.Typer(
    name="openscope",
    help="Run one experimental session on a rig: pinned code, a watched acquisition, "
    "a folder that proves what ran.\n\nStart with `openscope demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("plan")(check.plan)
app.command("demo")(demo.demo)
app.command("schema")(schema.schema)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"openscope {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def run_command_line() -> int:
    """Carry out the command line of this process.

    Returns:
        The exit code: 0 done, 1 failed or a mistake of the person's, 2 a command line that cannot
        be understood, 3 a bug in the launcher, 130 interrupted.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    codes: list[int] = []
    try:
        failure = attempt(lambda: codes.append(_carry_out()))
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return EXIT_INTERRUPTED
    code = codes[0] if codes else _say(failure)
    if code not in (EXIT_OK, EXIT_INTERRUPTED):
        keep_open()
    return code


def _carry_out() -> int:
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_FAILED
    return EXIT_OK


def _say(failure: Failure | None) -> int:
    if failure is None:
        return EXIT_OK
    from ..display.screens import show_error

    show_error(failure.error)
    if not failure.bug:
        return EXIT_FAILED
    from ..session.state import state_folder

    log = state_folder() / "launcher-bug.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(failure.traceback, encoding="utf-8")
    sys.stderr.write(f"  log:   {log}\n")
    return EXIT_BUG
