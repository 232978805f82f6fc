"""What the person at the rig should look at twice before Enter: what is unlike the last sessions.

Only the history is read, in a thread of its own and only for so long, since a person is waiting.
Told is what could be a mistake: another animal's name, a value, the rig, the code; not what changes
from session to session anyway, and not what is back as it usually was. Rehearsals do not count.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise, takewhile
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import Finding, attempt, did_you_mean
from ..masking import mask_values
from ..parameters.layers import DEFAULT
from ..parameters.placeholders import bind
from .comparing import same, value_text
from .estimate import SAME_EXPERIMENT
from .index import History, Query, open_history
from .summary import OPEN, Summary, day_in_words, kept_parameters, time_in_words

if TYPE_CHECKING:
    from ..plan import Plan

WITHIN_S = 1.5
"""How long a person waits for it at most."""

_LOOKED_AT = 60
_COMPARED = 40
_TOLD = 6
_VALUES_TOLD = 3
_NAMED = 4
_OFTEN = 4
_LONGEST_REASON = 120
_WHAT_RAN = "script_parameters"
# Told in another way, or without consequences for what the animal sees.
_NOT_COMPARED = frozenset(
    {
        "centralized_log_directory",
        "config_path",
        "description",
        "launcher_version",
        "local_repository_path",
        "repository_commit_hash",
        "rig_config_path",
        "rig_id",
        "session_report",
        "session_sync_session_key",
        "sound_on_end",
        "subject_id",
        "user_id",
    }
)

_Past = Sequence[tuple[Summary, Mapping[str, Any]]]
_ABSENT = object()


class LookBack(NamedTuple):
    """What the history says before a session.

    Attributes:
        last: the subject's last session that was closed, or None when none is known.
        surprises: what is unlike the last sessions, what matters most first.
    """

    last: Summary | None
    surprises: list[Finding]


def look_back(plan: Plan, within_s: float = WITHIN_S) -> LookBack | None:
    """Compare a session to come with the last ones of its subject.

    Args:
        plan: the session.
        within_s: how long to wait; what is not known by then is done without.

    Returns:
        What was found; None when the history could not be read in time.
    """
    found: list[LookBack] = []
    deadline = time.monotonic() + within_s

    def go_on(*_: int) -> None:
        if time.monotonic() > deadline:  # nobody waits any more, and an acquisition may begin
            raise TimeoutError

    def look() -> None:
        with open_history(go_on) as history:
            found.append(compare(history, plan, datetime.now()))

    # A disk that does not answer holds up the thread, and no one else.
    thread = threading.Thread(target=lambda: attempt(look), name="look-back", daemon=True)
    thread.start()
    thread.join(within_s)
    return found[0] if found else None


def compare(history: History, plan: Plan, now: datetime) -> LookBack:
    """What is unlike the subject's last sessions in a session that begins now.

    Args:
        history: where they are known.
        plan: the session.
        now: local time.
    """
    subject = plan.parameters.subject_id or ""
    past = history.last_of(subject, _LOOKED_AT)
    if not past:
        return LookBack(None, list(_unknown_subject(history, subject)))
    asked = _parameters_of(plan)
    alike = [one for one in past if _same_experiment(one[1], asked)][:_COMPARED]
    told = [
        *_not_closed(history, subject, now),
        *_ran_today(past, now.date()),
        *_never_ran(past, alike, asked),
        *_values(plan, asked, alike),
        *_ended_badly(past, now),
        *_other_rig(past, plan.rig_id),
        *_other_code(plan, alike, now),
    ]
    return LookBack(past[0][0], told[:_TOLD])


def _unlike(message: str, *, where: str = "", fix: str = "") -> Finding:
    return Finding("warning", "unlike-last-sessions", message, where=where, fix=fix)


def _parameters_of(plan: Plan) -> dict[str, Any]:
    """The parameters of a plan by their paths, as the history would keep them."""
    folder = plan.output_root / "{session_uuid}"
    values = bind(plan.parameters.values(), str(folder), folder.name)
    return kept_parameters(mask_values(values), folder)


def _same_experiment(past: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    return all(same(past.get(key), asked.get(key)) for key in SAME_EXPERIMENT)


# The subject


def _unknown_subject(history: History, subject: str) -> Iterator[Finding]:
    others = history.names("subject")
    if others:
        meant = did_you_mean(subject, others)
        yield _unlike(f"No session of subject {subject} is known here yet.{meant}")


def _not_closed(history: History, subject: str, now: datetime) -> Iterator[Finding]:
    for session in history.find(Query(subject, outcome=OPEN, limit=1)):
        if session.present and not session.rehearsal:
            yield _unlike(
                f"A session of this subject that began {time_in_words(session, now)} is not "
                "closed.",
                where=session.name,
                fix="If it still runs, look at the subject again; else: openscope recover.",
            )


def _ran_today(past: _Past, today: date) -> Iterator[Finding]:
    """Completed sessions of today, when there are as many as on any day before."""
    days = [
        datetime.fromtimestamp(session.began_s)
        for session, _ in past
        if session.outcome == "completed"
    ]
    each = Counter(day.date() for day in days)
    ran = each.pop(today, 0)
    if ran and ran >= max(each.values(), default=1):
        times = "" if ran == 1 else f", the last of {ran} times"
        yield _unlike(f"This subject already ran today, at {max(days):%H:%M}{times}.")


def _ended_badly(past: _Past, now: datetime) -> Iterator[Finding]:
    bad = list(takewhile(lambda one: one[0].outcome != "completed", past))
    if not bad:
        return
    last = bad[0][0]
    reason = last.reason.strip() or "no reason is known."
    if len(reason) > _LONGEST_REASON:
        reason = f"{reason[:_LONGEST_REASON]}…"
    which = "The last session" if len(bad) == 1 else f"The last {len(bad)} sessions"
    more = "" if len(bad) == 1 else " did not complete; the last one"
    how = {"killed": "was stopped by a limit", "lost": "was lost", "aborted": "was aborted"}
    words = how.get(last.outcome, last.outcome)
    yield _unlike(
        f"{which}{more} {words} {time_in_words(last, now)}: {reason}",
        where=last.name,
    )


# What runs, and where


def _never_ran(past: _Past, alike: _Past, asked: Mapping[str, Any]) -> Iterator[Finding]:
    before = next((values for _, values in past if values), None)  # some left none
    if alike or before is None:
        return
    runs, ran = _experiment(asked), _experiment(before)
    if runs != ran:
        yield _unlike(f"This subject never ran {runs} here; its last session ran {ran}.")
    else:
        yield _unlike(f"This subject never ran this {runs} here, but one of other code.")


def _experiment(values: Mapping[str, Any]) -> str:
    script = values.get("script_path") or values.get("command") or values.get("launcher")
    first = script[0] if isinstance(script, list) and script else script
    return PurePath(str(first).replace("\\", "/")).name


def _other_rig(past: _Past, rig: str) -> Iterator[Finding]:
    rigs = [session.rig for session, _ in past]
    if not rigs[0] or rigs[0].casefold() == rig.casefold():
        return
    there = len(list(takewhile(lambda name: name == rigs[0], rigs)))
    which = "the last session was" if there == 1 else f"the last {there} sessions were"
    yield _unlike(f"This is rig {rig}; {which} on {rigs[0]}.")


def _other_code(plan: Plan, alike: _Past, now: datetime) -> Iterator[Finding]:
    if not alike or plan.code is None:
        return
    last = alike[0][0]
    day = day_in_words(datetime.fromtimestamp(last.began_s), now)
    commit = plan.code.commit
    if last.code and last.code != commit:
        since = "the last session, today" if day == "today" else day
        yield _unlike(f"The code changed since {since}: {last.code[:10]} then, {commit[:10]} now.")
    elif last.dirty and not (plan.code.working and plan.code.working.edited):
        yield _unlike(f"The code ran with edits {day}; they are not there any more.")


# Parameters


class _Change(NamedTuple):
    path: str
    before: object
    now: object
    times: int
    size: float


def _values(plan: Plan, asked: Mapping[str, Any], alike: _Past) -> list[Finding]:
    here = [one for one in alike if one[0].rig.casefold() == plan.rig_id.casefold()]
    # On a rig that is new to the subject, the rig's own ports, paths and limits are no surprise.
    only = "" if here else _WHAT_RAN
    changes = sorted(
        _changes(asked, [values for _, values in here or alike], plan.origins, only),
        key=lambda change: (not change.path.startswith(_WHAT_RAN), -change.size, -change.times),
    )
    shown = changes if len(changes) <= _VALUES_TOLD + 1 else changes[:_VALUES_TOLD]
    rest = changes[len(shown) :]
    told = [_unlike(_change_in_words(change)) for change in shown]
    if rest:
        more = f" and {len(rest) - _NAMED} more" if len(rest) > _NAMED else ""
        names = ", ".join(_short(change.path) for change in rest[:_NAMED])
        told.append(_unlike(f"Other than in the last session, too: {names}{more}."))
    return told


def _changes(
    asked: Mapping[str, Any],
    past: Sequence[Mapping[str, Any]],
    origins: Mapping[str, str],
    only: str,
) -> Iterator[_Change]:
    for path in dict.fromkeys((*asked, *past[0])) if past else ():
        top = path.partition(".")[0]
        if top in _NOT_COMPARED or not top.startswith(only):
            continue
        now, *values = (values.get(path, _ABSENT) for values in (asked, *past))
        if _equal(now, values[0]):
            continue
        if values[0] is _ABSENT and origins.get(top) == DEFAULT:
            continue  # the launcher has a new parameter
        as_now = sum(_equal(now, value) for value in values)
        turns = sum(not _equal(one, other) for one, other in pairwise(values))
        if 2 * as_now > len(values) or _OFTEN * turns > len(values):
            continue  # it is back as it usually was, or is another one every few days
        times = len(list(takewhile(lambda value, v=values[0]: _equal(value, v), values)))  # type: ignore[misc]
        yield _Change(path, values[0], now, times, _size(values[0], now))


def _equal(one: object, other: object) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return same(one, other)


def _size(before: object, now: object) -> float:
    """How large a change is: of numbers the power of ten, of all else as if it were ten times."""
    if isinstance(before, (int, float)) and isinstance(now, (int, float)) and before * now > 0:
        return abs(math.log10(now / before))
    return 1.0


def _change_in_words(change: _Change) -> str:
    name = _short(change.path)
    last = "the last session" if change.times == 1 else f"the last {change.times} sessions"
    if change.before is _ABSENT:
        return f"{name} {value_text(change.now)}; {last} had none."
    before = value_text(change.before)
    if change.now is _ABSENT:
        return f"{name} is not given; {last}: {before}."
    now = value_text(change.now)
    if now == before:  # they differ in what is cut off
        return f"{name} is another than in {last}."
    return f"{name} {now}; {last}: {before}."


def _short(path: str) -> str:
    return path.removeprefix(f"{_WHAT_RAN}.")
