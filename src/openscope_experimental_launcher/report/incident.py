"""The first section of a report on a session that failed, was killed or lost: what went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

from ..display.words import clock, count, event_in_words
from ..session.comparing import changed, comparable
from ..session.folder import SessionFolder
from ..session.journal import read_journal
from ..session.past import PastSession, as_object
from ..session.record import fold
from .last_minute import LAST_S, End, Entry, end_of, last_minute
from .output import Printed, new_in
from .plots import Plot, last_minute_plots
from .reading import Story
from .siblings import Neighbours, Sibling
from .words import form_of

_CHANGES_SHOWN = 25
_FINDINGS_SHOWN = 100

_ALWAYS_BAD = (
    "acquisition.not_started",
    "acquisition.warned",
    "guard.replaced",
    "launcher.lost",
)


_DIAGNOSED = ("error", "acquisition")


class Divergence(NamedTuple):
    """Where a session left the way of one that went well.

    Attributes:
        alike: how many events both had alike before.
        here: the first event that was another, in words; empty when there was none.
        here_at: when that was, as text.
        there: what came instead in the good one.
        line: the first line of output that the good one has none like, or None.
        changes: what was not the same to begin with: name, there, here.
    """

    alike: int
    here: str
    here_at: str
    there: str
    line: Printed | None
    changes: list[tuple[str, str, str]]


class Incident(NamedTuple):
    """What a person needs who has to find out why.

    Attributes:
        first: the first thing that went wrong, in words.
        first_at: when that was, as text.
        diagnosis: sentences.
        findings: the errors and warnings of the checks and the diagnosis.
        last: the last minute on one time axis.
        left_out: lines of output of that minute that are not shown.
        plots: memory and processor in that minute.
        good: the session to compare with, or None.
        divergence: from that one, or None.
        similar: earlier incidents that look like this one.
    """

    first: str
    first_at: str
    diagnosis: list[str]
    findings: list[dict[str, str]]
    last: list[Entry]
    left_out: int
    plots: list[Plot]
    good: Sibling | None
    divergence: Divergence | None
    similar: list[Sibling]


def incident_of(story: Story, near: Neighbours) -> Incident:
    """Explain a session that did not go well, as far as its records do."""
    first = _first_wrong(story)
    end = end_of(story)
    words = _first_in_words(story, first, end)
    entries, left_out = last_minute(story, end) if end else ([], 0)
    return Incident(
        first=words,
        first_at=_at(story, first["mono"] if first else end.mono if end else story.zero),
        diagnosis=[sentence for sentence in _diagnosis(story) if sentence != words],
        findings=told_findings(story),
        last=entries,
        left_out=left_out,
        plots=last_minute_plots(story, end.mono, LAST_S) if end else [],
        good=near.good,
        divergence=_divergence(story, near.good) if near.good else None,
        similar=near.incidents,
    )


def told_findings(story: Story) -> list[dict[str, str]]:
    """Errors, then warnings; what is well is not told."""
    order = ("error", "warning")
    parts = ("level", "stage", "code", "message", "where", "fix")
    told = [
        {part: str(found.get(part) or "") for part in parts}
        for found in story.record.findings
        if found["level"] in order
    ]
    told += missing_metadata(story) if story.standard.get("files") else []
    return sorted(told, key=lambda found: order.index(found["level"]))[:_FINDINGS_SHOWN]


def missing_metadata(story: Story) -> list[dict[str, str]]:
    """What the standard metadata lack."""
    parts = ("level", "code", "message", "where", "fix")
    missing = story.standard.get("missing")
    return [
        {**{part: str(item.get(part) or "") for part in parts}, "stage": "metadata"}
        for item in map(as_object, missing if isinstance(missing, list) else [])
        if item.get("level") == "warning"
    ]


def _first_wrong(story: Story) -> dict[str, Any] | None:
    """The first event that says of something that it is not as it should be."""
    return next(filter(_is_wrong, story.past.events), None)


def _is_wrong(event: Mapping[str, Any]) -> bool:
    name, data = event["name"], event["data"]
    if name in _ALWAYS_BAD:
        return True
    if name == "finding.reported":
        return bool(data["level"] == "error")
    if name == "step.finished":
        return bool(data["outcome"] == "failed")
    if name == "acquisition.stop_requested":
        return bool(data.get("limit"))
    if name == "acquisition.ended":
        return bool(data["exit_code"] != 0 and data["stop"] is None)
    return False


def _first_in_words(story: Story, first: Mapping[str, Any] | None, end: End | None) -> str:
    if first is None and story.record.started and not (end and end.seen):
        return (
            "The last that was heard of the session: its launcher and its guard were killed, or "
            "the computer went off."
        )
    if first is None:
        return "Nothing in the records says what went wrong first."
    if first["name"] == "acquisition.ended":  # its exit code says less than its diagnosis
        for event in story.events("finding.reported"):
            told = event["data"]
            if event["seq"] > first["seq"] and (told["level"], told.get("stage")) == _DIAGNOSED:
                return str(told.get("message", ""))
    return _told(first)


def _told(event: Mapping[str, Any]) -> str:
    if event["name"] == "acquisition.not_started":
        return f"The acquisition could not be started: {event['data'].get('error', '')}"
    return event_in_words(event).lstrip("!✗ ")


def _at(story: Story, mono: float) -> str:
    elapsed = mono - story.zero
    if story.record.started is None or elapsed < 0:
        return ""
    return f"{clock(elapsed)} after the acquisition began"


def _diagnosis(story: Story) -> Iterator[str]:
    record = story.record
    ended, stop = record.ended, as_object(record.stop)
    if not story.outcome:
        yield "The session was never closed: its launcher was lost, or it is still at work."
        yield f"The last that its journal knows of is from {record.last or 'an unknown time'}."
    how = _end_in_words(ended) if ended is not None else ""
    if record.reason and not how.startswith(record.reason.rstrip(".")):
        yield record.reason
    if record.started is None:
        yield f"The acquisition never ran; the session had come to: {record.stage or 'nothing'}."
    if how:
        yield how
    elif record.started is not None and not record.reason:
        yield "Nobody saw the acquisition end, so its exit code is not known."
    if stop.get("limit"):
        yield f"It was the limit {stop['limit']} that asked it to end."
    if ended is not None and ended.get("killed"):
        yield "It did not end in the time that it was given, and was ended by force."
    if record.closed and record.closed.get("closed_by") == "recovery":
        yield "Its launcher was lost; recovery completed the records afterwards."


def _end_in_words(ended: Mapping[str, Any]) -> str:
    how = f"with exit code {ended['exit_code']}"
    if ended.get("signal") is not None:
        how = f"by signal {ended['signal']}"
    lasted = ended.get("duration_s")
    after = f" after {clock(lasted)}" if lasted is not None else ""
    return f"The acquisition ended {how}{after}."


# Compared with a session that went well


def _divergence(story: Story, good: Sibling) -> Divergence:
    past = _with_journal(good.past.folder, good.past)
    alike, here, there = _first_other(story.past.events, past.events)
    return Divergence(
        alike,
        here=_told(here) if here else "",
        here_at=_at(story, here["mono"]) if here else "",
        there=_told(there) if there else "",
        line=new_in(story.past, story.record.attempts, past, past.record.attempts),
        changes=_changes(past, story.past),
    )


def _with_journal(folder: SessionFolder, past: PastSession) -> PastSession:
    events = [e for e in read_journal(folder.journal) if e["name"] != "acquisition.sampled"]
    return past._replace(events=events, record=fold(events))


def _first_other(
    here: list[dict[str, Any]], there: list[dict[str, Any]]
) -> tuple[int, dict[str, Any] | None, dict[str, Any] | None]:
    """How many events two sessions had alike, and the first that they had not."""
    ours, theirs = ([e for e in events if _kind(e)] for events in (here, there))
    alike = 0
    for one, other in zip_longest(ours, theirs):
        if one is None or other is None or _kind(one) != _kind(other):
            return alike, one, other
        alike += 1
    return alike, None, None


def _kind(event: Mapping[str, Any]) -> tuple[object, ...] | None:
    """What has to be the same of two events for both to be the same step on the way; None for
    those that people and chance bring about."""
    tell = _KINDS.get(str(event["name"]))
    return None if tell is None else (event["name"], *tell(event["data"]))


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], tuple[object, ...]]] = {
    "stage.entered": lambda data: (str(data.get("stage")),),
    "repository.ready": lambda data: (str(data.get("dirty")),),
    "step.finished": lambda data: (data["step"], data["outcome"]),
    "finding.reported": lambda data: (data["level"], data["code"]),
    "acquisition.started": lambda _: (),
    "acquisition.not_started": lambda _: (),
    "acquisition.warned": lambda data: (form_of(str(data.get("about"))),),
    "acquisition.stop_requested": lambda data: (str(data.get("by")), str(data.get("limit"))),
    "acquisition.ended": lambda data: (data["exit_code"], data["signal"]),
    "acquisition.retried": lambda _: (),
    "guard.replaced": lambda _: (),
    "launcher.lost": lambda _: (),
}


def _changes(good: PastSession, past: PastSession) -> list[tuple[str, str, str]]:
    """What was not the same to begin with: code, parameters, environment."""
    found: list[tuple[str, str, str]] = []
    if good.commit != past.commit:
        found.append(("commit", good.commit or "none", past.commit or "none"))
    if good.edited != past.edited:
        found.append(("edits in no commit", ", ".join(good.edited), ", ".join(past.edited)))
    found += [(name, *values) for name, values in parameter_changes(good, past).items()]
    environments = (_software(good), _software(past))
    found += [(name, *values) for name, values in changed(*environments).items()]
    more = len(found) - _CHANGES_SHOWN
    if more > 0:
        found[_CHANGES_SHOWN:] = [(f"and {count(more, 'more difference')}", "", "")]
    return found


def parameter_changes(one: PastSession, other: PastSession) -> dict[str, tuple[str, str]]:
    """Parameters that differ between two sessions, by their paths: before and now."""
    before, after = (comparable(past.processed, past.original_folder) for past in (one, other))
    return changed(before, after)


def _software(past: PastSession) -> dict[str, Any]:
    kept = ("acquisition", "launcher_version", "python", "platform")
    return {key: past.environment[key] for key in kept if key in past.environment}
