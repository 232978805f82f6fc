"""Names as people write them, to those of the schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aind_data_schema_models.modalities import Modality
from aind_data_schema_models.organizations import Organization
from aind_data_schema_models.stimulus_modality import StimulusModality

from ...errors import did_you_mean
from .schema import Object

_ALSO_MODALITY = {
    "ophys": "pophys",
    "2p": "pophys",
    "twophoton": "pophys",
    "1p": "one-photon",
    "ephys": "ecephys",
    "neuropixels": "ecephys",
    "fip": "fib",
    "behaviour": "behavior",
    "behaviourvideos": "behavior-videos",
    "video": "behavior-videos",
    "videos": "behavior-videos",
}
"""Older and everyday names of modalities, to the schema's abbreviations."""


def modality(named: str) -> Object | None:
    """The modality of a name or abbreviation, also an older one; None when there is none."""
    return _MODALITIES.get(_plain(_ALSO_MODALITY.get(_plain(named), named)))


def which_modality(named: str) -> str:
    """What to use instead of an unknown modality."""
    known = dict.fromkeys(item["abbreviation"] for item in _MODALITIES.values())
    return did_you_mean(named, known).strip() or f"Use {', '.join(known)}"


def organization(named: str) -> Object | None:
    """The organization of a name or abbreviation; None when there is none."""
    return _ORGANIZATIONS.get(_plain(named))


def which_organization(named: str) -> str:
    """What to use instead of an unknown organization."""
    guess = did_you_mean(named, [item["name"] for item in _ORGANIZATIONS.values()]).strip()
    return guess or "Use its full name or its usual abbreviation, as in AIND"


def stimulus_modality(named: str) -> str | None:
    """The stimulus modality of a name, as in `Visual`; None when there is none."""
    return _STIMULUS_MODALITIES.get(_plain(named))


def which_stimulus_modality() -> str:
    """What to use instead of an unknown stimulus modality."""
    return f"Use {', '.join(_STIMULUS_MODALITIES.values())}."


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _by_any_name(models: Iterable[Any]) -> Mapping[str, Object]:
    found: dict[str, Object] = {}
    for model in models:
        value = model().model_dump(mode="json")
        for name in (value["name"], value["abbreviation"]):
            if name:
                found.setdefault(_plain(name), value)
    return found


_MODALITIES = _by_any_name(Modality.ALL)
_ORGANIZATIONS = _by_any_name(Organization.ALL)
_STIMULUS_MODALITIES = {_plain(item.value): str(item.value) for item in StimulusModality}
