"""List the sessions of the past and those that run, newest first.

All sessions that were opened or closed on this machine are known, and those in each folder ROOT
that was ever named here. --text finds words, or their beginnings, in names, parameters of the
script, findings, notes, what steps said, and why a session ended.

example:
  openscope sessions --subject 614173 --since 7d
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_OK, ParameterError, did_you_mean

if TYPE_CHECKING:
    from ..session.index import History, Query
    from ..session.summary import Summary

_OUTCOMES = ("completed", "failed", "aborted", "killed", "lost", "open")
_SHOWN = 25
_PERIOD = re.compile(r"(?P<number>\d{1,5})(?P<unit>[hdw])")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope sessions`."""
    parser.add_argument("roots", nargs="*", metavar="ROOT", help="a folder of sessions to take in")
    parser.add_argument("--subject", default="", metavar="ID", help="of this subject")
    parser.add_argument("--rig", default="", metavar="ID", help="on this rig")
    parser.add_argument("--outcome", default="", choices=_OUTCOMES, help="that ended like this")
    parser.add_argument(
        "--since",
        metavar="WHEN",
        help="not older: a date or time (2026-03-14, 2026-03-14T10:30), today, yesterday, "
        "or hours, days or weeks ago (12h, 7d, 2w)",
    )
    parser.add_argument("--text", default="", metavar="WORDS", help="with all of these words")
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help=f"at most so many, 0 for all; {_SHOWN} in a table when not given",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print them as JSON")
    form.add_argument("--csv", action="store_true", help="print them as CSV")
    parser.add_argument(
        "--rebuild", action="store_true", help="first read all known session folders again"
    )


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.history import Progress
    from ..session.index import Query, open_history

    since_s = since(args.since, datetime.now()) if args.since else None
    query = Query(args.subject, args.rig, args.outcome, since_s, text=args.text, limit=_limit(args))
    with open_history(Progress(sys.stderr)) as history:
        for root in args.roots:
            history.add_root(Path(root).expanduser())
        if args.rebuild:
            history.rebuild()
        found = history.find(query)
        if args.json:
            listed = [session.as_json() for session in found]
            sys.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
        elif args.csv:
            _write_csv(found)
        else:
            _show(history, query, found)
    return EXIT_OK


def _limit(args: argparse.Namespace) -> int | None:
    if args.limit is None:
        return None if args.json or args.csv else _SHOWN
    if args.limit < 0:
        raise ParameterError(
            "This is no number of sessions.",
            code="limit-invalid",
            where=f"--limit {args.limit}",
            fix="Give how many to list at most, or 0 for all.",
        )
    return args.limit or None


def _write_csv(found: list[Summary]) -> None:
    from ..session.summary import Summary

    rows = csv.DictWriter(sys.stdout, Summary._fields, lineterminator="\n")
    rows.writeheader()
    rows.writerows(session.as_json() for session in found)


def _show(history: History, query: Query, found: list[Summary]) -> None:
    from ..display.history import show_sessions

    if not found:
        sys.stdout.write(_nothing(history, query) + "\n")
        return
    show_sessions(found, {s.folder: _state(s) for s in found if s.outcome == "open"})
    number = history.count(query)
    if number > len(found):
        sys.stdout.write(f"{len(found):,} of {number:,} sessions; for all: --limit 0\n")


def _nothing(history: History, query: Query) -> str:
    if not history.count():
        return "No session is known here yet. To take in a folder of them: openscope sessions ROOT"
    for column, value in (("subject", query.subject), ("rig", query.rig)):
        known = history.names(column) if value else []
        if value and value.casefold() not in map(str.casefold, known):
            return f"No session of {column} {value} is known.{did_you_mean(value, known)}"
    return "No session is like that."


def _state(session: Summary) -> str:
    """What an open session does now, as far as this machine knows."""
    from ..recovery import look_at
    from ..session.folder import SessionFolder

    return look_at(SessionFolder(Path(session.folder))).state if session.present else "open"


def since(said: str, now: datetime) -> float:
    """Seconds since 1970 of a time as a person says it, with hours, days or weeks before `now`.

    Raises:
        ParameterError: it is no time.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = {"today": midnight, "yesterday": midnight - timedelta(days=1)}
    period = _PERIOD.fullmatch(said.lower())
    try:
        if period:
            return (now - int(period["number"]) * _UNITS[period["unit"]]).timestamp()
        return (days.get(said.lower()) or datetime.fromisoformat(said)).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ParameterError(
            "This is no time since when to list sessions.",
            code="since-invalid",
            where=f"--since {said}",
            fix="Give a date (2026-03-14), today, yesterday, or a period (12h, 7d, 2w).",
        ) from error
