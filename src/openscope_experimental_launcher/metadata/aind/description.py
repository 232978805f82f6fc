"""`data_description.json`: whose data these are, and what kind."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...errors import Finding
from ...session.folder import NAME_PATTERN
from ...session.past import as_object
from . import DESCRIPTION
from .facts import Facts, texts
from .gaps import unusable
from .names import organization, which_organization
from .schema import Built, Object
from .streams import modalities_of


def build_description(facts: Facts) -> Built:
    """The values of the record, and what is not known or cannot be used."""
    gaps: list[Finding] = []
    rehearsal = facts.past.rehearsal
    project = texts(facts.values.get("project_name")) or texts(
        facts.values.get("metadata_project_name")
    )
    values: Object = {
        "name": facts.past.name,
        "subject_id": _subject(facts, gaps),
        "creation_time": _creation_time(facts),
        "institution": _institution(facts, gaps),
        "funding_source": _funding(facts, gaps) or None,
        "data_level": "simulated" if rehearsal else "raw",
        "investigators": _people(facts.values.get("investigators")),
        "project_name": project[0] if project else None,
        "modalities": modalities_of(facts, DESCRIPTION, gaps),
        "tags": ["rehearsal"] if rehearsal else None,
        "data_summary": next(iter(texts(facts.values.get("description"))), None),
    }
    return Built({key: value for key, value in values.items() if value is not None}, gaps)


def _subject(facts: Facts, gaps: list[Finding]) -> str | None:
    if "_" not in facts.subject:
        return facts.subject or None
    why = "has an underscore, which the schema does not allow. Name the animal without one"
    gaps.append(unusable(DESCRIPTION, "subject_id", facts.subject, why, ""))
    return None


def _creation_time(facts: Facts) -> str:
    """The time in the session's name, with the offset that its clock had."""
    named = NAME_PATTERN.match(facts.past.name)
    if named is None:
        return facts.start
    try:
        offset = datetime.fromisoformat(facts.start).tzinfo
        when = datetime.strptime(f"{named['date']} {named['time']}", "%Y-%m-%d %H-%M-%S")
    except ValueError:  # a time that no clock shows
        return facts.start
    return when.replace(tzinfo=offset).isoformat()


def _institution(facts: Facts, gaps: list[Finding]) -> Object | None:
    named = texts(facts.values.get("institution"))
    return _organization(named[0], "institution", "institution", gaps) if named else None


def _organization(named: str, field: str, key: str, gaps: list[Finding]) -> Object | None:
    found = organization(named)
    if found is None:
        why = f"is no organization of the schema. {which_organization(named)}"
        gaps.append(unusable(DESCRIPTION, field, named, why, key))
    return found


def _funding(facts: Facts, gaps: list[Finding]) -> list[Object]:
    given = facts.values.get("funding_source")
    found = []
    for item in given if isinstance(given, list) else [given] if given else []:
        source = as_object(item) or {"funder": item}
        named = texts(source.get("funder"))
        funder = named and _organization(named[0], "funding_source", "funding_source", gaps)
        if funder:
            found.append(
                {
                    "object_type": "Funding",
                    "funder": funder,
                    "grant_number": next(iter(texts(source.get("grant_number"))), None),
                    "fundee": _people(source.get("fundee")),
                }
            )
    return found


def _people(named: Any) -> list[Object] | None:
    return [{"object_type": "Person", "name": name} for name in texts(named)] or None
