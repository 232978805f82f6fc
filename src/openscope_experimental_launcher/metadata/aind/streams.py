"""What was recorded, and the data streams it makes by the rules of the schema."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from aind_data_schema.core.acquisition import DataStream

from ...errors import Finding
from . import ACQUISITION
from .facts import Facts, texts
from .gaps import gap, give, unusable
from .names import modality, which_modality
from .schema import Object, pruned, validated

_OF_EVERY_STREAM = ("stream_start_time", "stream_end_time", "notes")


def modalities_of(facts: Facts, record: str, gaps: list[Finding]) -> list[Object]:
    """What was recorded, in the schema's words; told when that is not known."""
    key = "modalities" if facts.values.get("modalities") else "modality"
    named = [part for text in texts(facts.values.get(key)) for part in text.split(",")]
    found: dict[str, Object] = {}
    for name in filter(None, map(str.strip, named)):
        known = modality(name)
        if known is None:
            why = f"is no modality of the schema. {which_modality(name)}"
            gaps.append(unusable(record, "modalities", name, why, key))
        else:
            found[known["abbreviation"]] = known
    if not named:
        gaps.append(gap(record, "modalities", "modalities"))
    return list(found.values())


def configured(stream: Object, modalities: Sequence[Object], gaps: list[Finding]) -> list[Object]:
    """A data stream with its modalities, as the schema can have them.

    It wants the settings of the devices for some modalities. Those for which there are none become
    a stream of their own, of the kind for which no devices are known.

    Args:
        stream: the stream, without modalities.
        modalities: what was recorded, as the schema's objects.
        gaps: gets what cannot be used or is not known.
    """
    stream = {**copy.deepcopy(stream), "modalities": []}
    pruned(ACQUISITION, DataStream, stream, gaps)
    fitting = [
        item
        for item in modalities
        if validated(DataStream, {**stream, "modalities": [item]})[0] is not None
    ]
    others = [item for item in modalities if item not in fitting]
    streams = [{**stream, "modalities": fitting}]
    if others:
        names = ", ".join(item["abbreviation"] for item in others)
        words = (
            f"The schema wants the settings of the devices for {names}, and the session has none: "
            "it stands in a stream without devices."
        )
        where = f"{ACQUISITION}: data_streams.configurations"
        fix = give("device_configurations")
        gaps.append(Finding("warning", "metadata-unknown", words, where, fix))
        kept = {key: stream[key] for key in _OF_EVERY_STREAM if key in stream}
        kind = {"object_type": "External data stream", "modalities": others}
        streams.append({**kind, **kept})
    return streams
