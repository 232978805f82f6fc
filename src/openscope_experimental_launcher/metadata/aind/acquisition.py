"""`acquisition.json`: who, when, on what, with which code, and which stimuli."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime

from ...errors import Finding
from ...session.past import as_object
from ...session.weights import weights_of
from . import ACQUISITION
from .code import experiment_code, launcher_code
from .facts import Facts, texts
from .gaps import gap, unusable
from .names import stimulus_modality, which_stimulus_modality
from .schema import Built, Object
from .stimulus import Epoch, find_table, read_epochs
from .streams import configured, modalities_of

REHEARSAL = "REHEARSAL: a stand-in played, and nothing was recorded."


def build_acquisition(facts: Facts) -> Built:
    """The values of the record, and what is not known or cannot be used."""
    gaps: list[Finding] = []
    values: Object = {
        "subject_id": facts.subject or None,
        "acquisition_start_time": facts.start,
        "acquisition_end_time": facts.end,
        "experimenters": facts.experimenters,
        "ethics_review_id": texts(facts.values.get("ethics_review_id")) or None,
        "protocol_id": texts(facts.values.get("protocol_id")) or None,
        "instrument_id": _instrument_id(facts),
        "acquisition_type": _type(facts),
        "notes": "\n".join(_notes(facts)) or None,
        "data_streams": _streams(facts, gaps) if facts.acquired else [],
        "stimulus_epochs": _epochs(facts, gaps) if facts.acquired else [],
        "subject_details": _subject_details(facts, gaps),
    }
    return Built({key: value for key, value in values.items() if value is not None}, gaps)


def _instrument_id(facts: Facts) -> str | None:
    """The name in the rig's own description, when that is of this rig; else the rig's."""
    described = str(facts.instrument.get("instrument_id") or "")
    is_own = bool(described) and facts.rig.lower() in described.lower()
    return described if is_own else facts.rig or None


def _type(facts: Facts) -> str:
    script = str(facts.past.plan.get("script") or "").replace("\\", "/").rpartition("/")[2]
    named = texts(facts.values.get("session_type"))
    return named[0] if named else script.rpartition(".")[0] or script or facts.launcher


def _notes(facts: Facts) -> Iterator[str]:
    if facts.past.rehearsal:
        yield REHEARSAL
    if facts.outcome != "completed":
        yield f"The outcome is {facts.outcome}. {facts.past.record.reason}".strip()
    if not facts.acquired:
        yield "The acquisition did not begin."
    if facts.past.record.attempts > 1:
        yield f"This is attempt {facts.past.record.attempts}."
    for note in facts.past.record.notes:
        yield str(note.get("text") or "")


def _streams(facts: Facts, gaps: list[Finding]) -> list[Object]:
    code = [code for code in (experiment_code(facts), launcher_code(facts)) if code]
    stream: Object = {
        "object_type": "Data stream",
        "stream_start_time": facts.start,
        "stream_end_time": facts.end,
        "code": code,
        "notes": " ".join(_stream_notes(facts)) or None,
        "active_devices": _devices(facts, gaps),
        "configurations": _configurations(facts, gaps),
    }
    return configured(stream, modalities_of(facts, ACQUISITION, gaps), gaps)


def _stream_notes(facts: Facts) -> Iterator[str]:
    if facts.past.rehearsal:
        yield REHEARSAL
    if facts.past.edited:
        yield (
            f"The code ran with edits to {', '.join(facts.past.edited)}, which are kept in "
            "experiment_metadata/repository.patch."
        )


def _devices(facts: Facts, gaps: list[Finding]) -> list[str]:
    """The devices of the rig's own description; of those, the ones that the parameters name."""
    components = facts.instrument.get("components")
    listed = components if isinstance(components, list) else []
    there = [str(as_object(device).get("name") or "") for device in listed]
    named = texts(facts.values.get("active_devices"))
    for device in named:
        if device not in there:
            why = "is not a component of the session's instrument.json"
            gaps.append(unusable(ACQUISITION, "active_devices", device, why, "active_devices"))
    return [name for name in there if name and (not named or name in named)]


def _configurations(facts: Facts, gaps: list[Finding]) -> list[Object]:
    given = facts.values.get("device_configurations")
    items = given if isinstance(given, list) else [given] if given else []
    found = [item for item in items if isinstance(item, dict)]
    if len(found) < len(items):
        why = "is no object"
        key = "device_configurations"
        gaps.append(unusable(ACQUISITION, "data_streams.configurations", given, why, key))
    return found


def _epochs(facts: Facts, gaps: list[Finding]) -> list[Object]:
    named = texts(facts.values.get("stimulus_table"))
    table = find_table(facts.past.folder.path, named[0] if named else None)
    if table is None:
        if named:
            why = "is not a file of the session"
            gaps.append(unusable(ACQUISITION, "stimulus_epochs", named[0], why, "stimulus_table"))
        return []
    name = table.relative_to(facts.past.folder.path).as_posix()
    try:
        start, end = (datetime.fromisoformat(time) for time in (facts.start, facts.end))
        epochs = read_epochs(table, start, end, otherwise=_type(facts))
    except (OSError, ValueError, csv.Error) as error:
        why = f"cannot be read: {error}"
        gaps.append(unusable(ACQUISITION, "stimulus_epochs", name, why, "stimulus_table"))
        return []
    return [_epoch(epoch, facts, name, gaps) for epoch in epochs]


def _epoch(epoch: Epoch, facts: Facts, table: str, gaps: list[Finding]) -> Object:
    code = experiment_code(facts) or launcher_code(facts)
    rows = "1 row" if epoch.rows == 1 else f"{epoch.rows} rows"
    return {
        "object_type": "Stimulus epoch",
        "stimulus_start_time": epoch.start.isoformat(),
        "stimulus_end_time": epoch.stop.isoformat(),
        "stimulus_name": epoch.name,
        "stimulus_modalities": _stimulus_modalities(epoch, facts, gaps),
        "code": {**code, "parameters": epoch.values or None},
        "notes": f"{rows} of {table}.",
        "configurations": _platform(facts),
    }


def _stimulus_modalities(epoch: Epoch, facts: Facts, gaps: list[Finding]) -> list[str]:
    key, field = "stimulus_modalities", "stimulus_epochs.stimulus_modalities"
    named = epoch.modalities or texts(facts.values.get(key))
    if not named:
        gaps.append(gap(ACQUISITION, field, key))
    found = []
    for name in named:
        known = stimulus_modality(name)
        if known is None:
            why = f"is none of the schema's. {which_stimulus_modality()}"
            gaps.append(unusable(ACQUISITION, field, name, why, key))
        else:
            found.append(known)
    return found


def _platform(facts: Facts) -> list[Object]:
    """How the platform of the animal was set, when the parameters say that."""
    named, moves = _platform_name(facts), facts.values.get("active_mouse_platform")
    if not named or not isinstance(moves, bool):
        return []
    kind = "Mouse platform config"
    return [{"object_type": kind, "device_name": named, "active_control": moves}]


def _platform_name(facts: Facts) -> str:
    return next(iter(texts(facts.values.get("mouse_platform_name"))), "")


def _subject_details(facts: Facts, gaps: list[Finding]) -> Object | None:
    platform = _platform_name(facts)
    if not platform:  # the schema allows none without one
        gaps.append(gap(ACQUISITION, "subject_details", "mouse_platform_name"))
        return None
    found: Object = {"object_type": "Acquisition subject details", "mouse_platform_name": platform}
    before, after = weights_of(facts.past.folder.weights)
    return {**found, "animal_weight_prior": before, "animal_weight_post": after}
