"""What the commands that look at several closed sessions, one after the other, have in common."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import EXIT_FAILED, EXIT_OK, LauncherError

_AT_WORK_S = 10.0

if TYPE_CHECKING:
    from ..session.folder import SessionFolder


class Answer(NamedTuple):
    """What was found in one session.

    Attributes:
        good: whether nothing is wrong or missing.
        told: the same for `--json`.
        tell: says it on the screen.
    """

    good: bool
    told: dict[str, Any]
    tell: Callable[[], None]


def when_settled(look: Callable[[SessionFolder], Answer]) -> Callable[[SessionFolder], Answer]:
    """Look again where something is wrong and the session was sealed anew meanwhile: its report and
    its standard metadata are made in the minute after its end."""
    from ..session.record import read_record
    from ..session.state import session_lock

    def looks(folder: SessionFolder) -> Answer:
        while True:
            sealed = read_record(folder.journal).sealed
            answer = look(folder)
            if answer.good or sealed is None:
                return answer
            at_work = session_lock(folder.path)
            at_work.acquire(patience_s=_AT_WORK_S)
            at_work.release()
            if read_record(folder.journal).sealed == sealed:
                return answer

    return looks


def add_sessions(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which sessions, and how the answers are told."""
    parser.add_argument("sessions", nargs="+", metavar="SESSION", help="session folder or name")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def each_session(args: argparse.Namespace, look: Callable[[SessionFolder], Answer | None]) -> int:
    """Look at each session named, and tell what was found; one that fails keeps none back.

    Args:
        args: with what `add_sessions` asks for.
        look: looks at one session; None where there is nothing to say.

    Returns:
        The exit code: that of a failure when one session failed or is not good.
    """
    from ..display.screens import show_error
    from ..recovery import find_session

    codes, told = [EXIT_OK], {}
    for named in args.sessions:
        try:
            folder = find_session(named)
            answer = look(folder)
        except LauncherError as error:
            show_error(error)
            codes.append(EXIT_FAILED)
            continue
        if answer is None:
            continue
        codes.append(EXIT_OK if answer.good else EXIT_FAILED)
        told[str(folder.path)] = answer.told
        if not args.json:
            answer.tell()
    if args.json:
        sys.stdout.write(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return max(codes)
