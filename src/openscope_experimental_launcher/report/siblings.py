"""The other sessions beside one: what this subject did last, which one went well, which did not.

They are found by their folders' names and read from their small records, newest first and only so
many, so that a folder of a hundred thousand sessions costs no more than one of a hundred.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..jsonl import parse_lines
from ..session.estimate import SAME_EXPERIMENT
from ..session.folder import NAME_PATTERN, SessionFolder
from ..session.journal import is_event
from ..session.past import PastSession, as_object, past_session
from ..session.record import SessionRecord
from .reading import Story
from .words import form_of

_LOOKED_AT = 150
_INCIDENTS = 5
_JOURNAL_END = 65536
BAD = ("failed", "killed", "lost")
"""Outcomes that somebody has to look into."""


class Sibling(NamedTuple):
    """Another session of the same folder.

    Attributes:
        past: its records, without its journal.
        outcome: in one word; empty when it was never closed.
        reason: of the outcome.
        has_report: whether a report lies in its folder.
    """

    past: PastSession
    outcome: str
    reason: str
    has_report: bool

    @property
    def name(self) -> str:
        return self.past.folder.name

    @property
    def subject(self) -> str:
        return str(self.past.runtime.get("subject_id") or "")

    @property
    def rig(self) -> str:
        return str(self.past.runtime.get("rig_id") or "")


class Neighbours(NamedTuple):
    """What a report tells of other sessions.

    Attributes:
        last: this subject's session before this one, or None.
        good: for an incident, the nearest session before it that completed, or None.
        incidents: for an incident, earlier ones that look like it, newest first.
    """

    last: Sibling | None
    good: Sibling | None
    incidents: list[Sibling]


def neighbours(story: Story, *, incident: bool) -> Neighbours:
    """Look at the sessions before one, as far as needed.

    Args:
        story: the session.
        incident: whether it has to be explained; if not, only the subject's last session is of
            interest.
    """
    last: Sibling | None = None
    alike: list[Sibling] = []
    subject = subject_of(story)
    for sibling in _before(story):
        if last is None and sibling.subject == subject:
            last = sibling
        if not incident and last is not None:
            break
        alike.append(sibling)
    if not incident:
        return Neighbours(last, None, [])
    alike = [sibling for sibling in alike if _same_experiment(sibling.past, story.past)]
    good = [sibling for sibling in alike if sibling.outcome == "completed"]
    similar = [sibling for sibling in alike if _similar(sibling, story)]
    return Neighbours(last, _nearest(good, story), similar[:_INCIDENTS])


def subject_of(story: Story) -> str:
    """The subject, from whatever record knows it."""
    known = (
        story.record.opened.get("subject_id"),
        story.past.runtime.get("subject_id"),
        story.past.processed.get("subject_id"),
    )
    return str(next(filter(None, known), ""))


def _nearest(good: list[Sibling], story: Story) -> Sibling | None:
    """The one most like the session: of its subject, else of its rig, else the newest."""
    rig = str(story.record.opened.get("rig_id") or "")
    subject = subject_of(story)

    def unlike(sibling: Sibling) -> tuple[bool, bool]:
        return sibling.subject != subject, sibling.rig != rig

    return min(good, key=unlike, default=None)  # of equals, the first: they come newest first


def _before(story: Story) -> Iterator[Sibling]:
    """The sessions of the folder that began before this one, newest first."""
    for folder in _names_before(story.folder):
        sibling = _look_at(folder)
        if sibling is not None and sibling.past.rehearsal == story.past.rehearsal:
            yield sibling


def _names_before(folder: SessionFolder) -> list[SessionFolder]:
    own = NAME_PATTERN.match(folder.name)
    if own is None:
        return []
    try:
        names = os.listdir(folder.path.parent)  # noqa: PTH208 - there may be very many
    except OSError:
        return []
    found = sorted(
        (
            (match["date"], match["time"], match[0])
            for match in filter(None, map(NAME_PATTERN.match, names))
            if (match["date"], match["time"], match[0]) < (own["date"], own["time"], own[0])
        ),
        reverse=True,
    )
    return [SessionFolder(folder.path.parent / name) for _, _, name in found[:_LOOKED_AT]]


def _look_at(folder: SessionFolder) -> Sibling | None:
    if not folder.journal.is_file():
        return None
    past = past_session(folder, [], SessionRecord())
    if not past.runtime:
        return None
    outcome, reason = (str(past.runtime.get(key) or "") for key in ("outcome", "reason"))
    return Sibling(past, outcome, reason, (folder.path / "report.html").is_file())


def _same_experiment(one: PastSession, other: PastSession) -> bool:
    return all(one.processed.get(key) == other.processed.get(key) for key in SAME_EXPERIMENT)


def _similar(sibling: Sibling, story: Story) -> bool:
    """Whether another incident has the same reason, numbers apart, or the same finding."""
    if sibling.outcome not in BAD or sibling.outcome != story.outcome:
        return False
    if sibling.reason and form_of(sibling.reason) == form_of(story.record.reason):
        return True
    return bool(_errors(_last_findings(sibling.past.folder)) & _errors(story.record.findings))


def _errors(findings: list[Mapping[str, Any]]) -> set[str]:
    return {str(found["code"]) for found in findings if found.get("level") == "error"}


def _last_findings(folder: SessionFolder) -> list[Mapping[str, Any]]:
    """The findings in the last part of a journal, where a diagnosis is."""
    try:
        end = _end_of(folder.journal)
    except OSError:
        return []
    events = filter(is_event, parse_lines(end))
    return [as_object(event["data"]) for event in events if event["name"] == "finding.reported"]


def _end_of(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(stream.seek(0, os.SEEK_END) - _JOURNAL_END, 0))
        return stream.read()
