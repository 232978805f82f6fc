"""The command line as a whole: its verbs, and the edge where every error becomes plain words."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterable

from .. import __version__
from ..base.arguments import Parser
from ..errors import (
    EXIT_BUG,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Failure,
    LauncherError,
    attempt,
    did_you_mean,
)
from .window import keep_open

VERBS = (
    "run",
    "check",
    "plan",
    "demo",
    "rerun",
    "diff",
    "sessions",
    "show",
    "last",
    "verify",
    "validate",
    "metadata",
    "transfer",
    "report",
    "bundle",
    "serve",
    "attach",
    "stop",
    "recover",
    "catch-up",
    "step",
    "steps",
    "rig",
    "schema",
)
"""Each verb is a module with a docstring for its help, `add_arguments` and `main`."""

_DESCRIPTION = """\
Run one experimental session on a rig: pinned code, a watched acquisition, and a
folder that proves what ran.

Begin with `openscope demo`; then `openscope check PARAMS` and `openscope run PARAMS`.
"""
_EPILOG = """\
exit codes: 0 completed, 1 failed or a mistake in what was asked, 3 a bug in the
launcher, 130 interrupted. `openscope VERB --help` explains a verb.
"""


def build_parser(names: Iterable[str] = VERBS) -> Parser:
    """The parser of the command line.

    Args:
        names: the verbs it shall know; loading all of them delays the one that is wanted.
    """
    parser = Parser(prog="openscope", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"openscope {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    for name in names:
        module = importlib.import_module("." + name.replace("-", "_"), __package__)
        words = (module.__doc__ or "").strip()
        first = words.partition("\n\n")[0].replace("\n", " ")
        verb = verbs.add_parser(name, help=first, description=words)
        module.add_arguments(verb)
        verb.set_defaults(main=module.main, parser=verb)
    return parser


def run_command_line() -> int:
    """Carry out the command line of this process.

    Returns:
        The exit code: 0 done, 1 failed or a mistake of the person's, 3 a bug in the launcher,
        130 interrupted.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    codes: list[int] = []
    try:
        failure = attempt(lambda: codes.append(_carry_out(sys.argv[1:])))
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return EXIT_INTERRUPTED
    code = codes[0] if codes else _say(failure)
    if code not in (EXIT_OK, EXIT_INTERRUPTED):
        keep_open()
    return code


def _carry_out(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "--help"
    if not verb.startswith("-") and verb not in VERBS:
        raise LauncherError(
            f"There is no verb '{verb}'.{did_you_mean(verb, VERBS)}",
            code="verb-unknown",
            fix=f"Use one of: {', '.join(VERBS)}.",
        )
    try:
        parser = build_parser([verb] if verb in VERBS else VERBS)
        args = parser.parse_args(arguments or ["--help"])
    except SystemExit as end:  # argparse after --help and --version
        return end.code if isinstance(end.code, int) else EXIT_OK
    return int(args.main(args))


def _say(failure: Failure | None) -> int:
    if failure is None:
        return EXIT_OK
    from ..display.screens import show_error

    show_error(failure.error)
    if not failure.bug:
        return EXIT_FAILED
    from ..session.state import state_folder

    log = state_folder() / "launcher-bug.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(failure.traceback, encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"  log:   none: {error.strerror or error}\n")
        return EXIT_BUG
    sys.stderr.write(f"  log:   {log}\n")
    return EXIT_BUG
