"""The modalities of the AIND schema, so that a name is checked where its library is not installed.

Source: `Modality` of aind-data-schema-models 6.3; a test compares them with the library's.
"""

from __future__ import annotations

from types import MappingProxyType

MODALITIES = MappingProxyType(
    {
        "BARseq": "Barcoded anatomy resolved by sequencing",
        "behavior": "Behavior",
        "behavior-videos": "Behavior videos",
        "brightfield": "Brightfield microscopy",
        "confocal": "Confocal microscopy",
        "EMG": "Electromyography",
        "EM": "Electron microscopy",
        "ecephys": "Extracellular electrophysiology",
        "fib": "Fiber photometry",
        "fMOST": "Fluorescence micro-optical sectioning tomography",
        "icephys": "Intracellular electrophysiology",
        "ISI": "Intrinsic signal imaging",
        "MRI": "Magnetic resonance imaging",
        "MAPseq": "Multiplexed analysis of projections by sequencing",
        "merfish": "Multiplexed error-robust fluorescence in situ hybridization",
        "one-photon": "One-photon imaging",
        "pophys": "Planar optical physiology",
        "slap2": "Random access projection microscopy",
        "SPIM": "Selective plane illumination microscopy",
        "STPT": "Serial two-photon tomogrophy",  # as the schema spells it
        "scRNAseq": "Single cell RNA sequencing",
    }
)
"""Abbreviations to names."""

_FORMER = MappingProxyType({"ophys": "pophys", "ephys": "ecephys", "2p": "pophys", "fip": "fib"})
"""Abbreviations of older versions of the schema, and everyday ones."""


def modality_meant(named: str) -> str:
    """The abbreviation that somebody means who wrote another name; empty when it is not known."""
    plain = _plain(named)
    known = {_plain(name): short for short, name in MODALITIES.items()}
    known |= {_plain(short): short for short in MODALITIES} | dict(_FORMER)
    return known.get(plain, "")


def _plain(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())
