"""The command-line options of a run, the same for `openscope run` and for a lab's own script."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import LauncherError, did_you_mean
from .options import RunOptions


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are the launcher's, and name what was probably meant."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        raise LauncherError(
            f"The command line cannot be understood: {message}",
            code="command-line-invalid",
            fix=f"See {self.prog} --help",
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; an unknown option is an error that names the nearest one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            parser = getattr(parsed, "parser", self)
            hint = did_you_mean(unknown[0].partition("=")[0], parser.option_names())
            parser.error(f"unknown argument {unknown[0]}.{hint}")
        return parsed

    def option_names(self) -> list[str]:
        """All options this parser knows."""
        return [name for action in self._actions for name in action.option_strings]


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Options that decide what a session is: shared by running, checking and planning."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a parameter over the file's, as in script_parameters.Gain=2; may be repeated",
    )
    parser.add_argument("--subject", metavar="ID", help="subject id, over the file's")
    parser.add_argument("--user", metavar="NAME", help="experimenter, over the file's")
    parser.add_argument(
        "--output", metavar="FOLDER", help="folder of all sessions, over the file's"
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="play a stand-in instead of the acquisition, with all output below ./rehearsal",
    )
    parser.add_argument(
        "--allow-dirty",
        action="store_true",
        help="run with local edits of the code, and save them exactly",
    )
    parser.add_argument(
        "--sync",
        action="store_true",
        help="agree with the other computers of the session in a rehearsal too",
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="ask no git server; a branch is where it was last fetched",
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """All options of a run, with the parameter file."""
    parser.add_argument("param_file", nargs="?", metavar="PARAMS", help="JSON parameter file")
    add_plan_options(parser)
    parser.add_argument(
        "--defaults",
        action="store_true",
        help="take test_subject and test_user where none are given",
    )


def options_from(args: argparse.Namespace) -> RunOptions:
    """What a parsed command line asks of a run."""
    return RunOptions(
        overrides=command_line_overrides(args.set, args.subject, args.user, args.output),
        defaults=getattr(args, "defaults", False),
        rehearse=args.rehearse,
        allow_dirty=args.allow_dirty,
        offline=args.offline,
        sync=args.sync,
        arguments=tuple(sys.argv),
    )


def command_line_overrides(
    assignments: Sequence[str], subject: str | None, user: str | None, output: str | None
) -> dict[str, Any]:
    """The topmost layer of parameters, from `--set` and the options with names of their own."""
    from ..parameters.layers import parse_set

    named = {"subject_id": subject, "user_id": user, "output_root_folder": output}
    return {
        **parse_set(assignments),
        **{key: value for key, value in named.items() if value is not None},
    }
