"""Run a session again: the same commit, the same parameters, the same subject.

First says what cannot be the same: other versions, another machine, edits that are in no commit.
SESSION is a session folder. It becomes a new session; the old one is only read.

example:
  openscope rerun data/614173_2026-11-03_09-08-07 --subject 614174
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..base.arguments import add_plan_options, options_from
from ..errors import LauncherError

if TYPE_CHECKING:
    from ..session.past import PastSession


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope rerun`."""
    parser.add_argument("session", metavar="SESSION", help="session folder or name")
    add_plan_options(parser)
    parser.add_argument("--yes", "-y", action="store_true", help="do not wait for Enter")
    parser.add_argument("--sound", action="store_true", help="make a sound at the end")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.screens import show_problems
    from ..files import write_json
    from ..recovery import find_session
    from ..reproduce.rerun import parameters_again, what_differs, what_the_plan_changes
    from ..session.past import read_past
    from .run import run_session

    options = options_from(args)
    past = read_past(find_session(args.session))
    sys.stdout.write(f"Again: {past.name} ({past.record.outcome or 'not closed'})\n")
    sys.stdout.flush()
    values = parameters_again(past, _started_in(past))
    given = options.overrides
    findings = what_differs(past, __version__, allow_dirty=args.allow_dirty, given=given)
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        show_problems([finding for finding in findings if finding not in errors])
        raise LauncherError.from_findings("The session cannot be run again as it was.", errors)
    options = options._replace(rehearse=args.rehearse or past.rehearsal, rerun_of=past.name)
    params = _lasting_place(past)
    params.parent.mkdir(parents=True, exist_ok=True)
    write_json(params, values, mode=0o600)
    return run_session(
        params,
        options,
        yes=args.yes,
        sound=args.sound,
        remarks=lambda plan: [*findings, *what_the_plan_changes(past, plan, given)],
    )


def _lasting_place(past: PastSession) -> Path:
    """Where the parameters are put that the new session's records name as its file."""
    from ..session.state import state_folder

    return state_folder() / "reruns" / f"rerun_of_{past.name}.json"


def _started_in(past: PastSession) -> Path:
    """The folder in which the session's launcher was started."""
    try:
        record = json.loads((past.folder.metadata / "command_line_arguments.json").read_bytes())
        return Path(str(record["working_directory"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Path.cwd()
