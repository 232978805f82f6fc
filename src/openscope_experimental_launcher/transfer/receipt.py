"""The receipt beside a copy: what arrived, from where, when, and by which manifest to check it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..files import write_json
from ..session.folder import SessionFolder
from ..session.journal import iso_now
from .paths import extended, shown
from .places import Place
from .tally import Outcome

RECEIPT_VERSION = 1


def launcher_version() -> str:
    """The version of the launcher that makes a copy."""
    return version("openscope-experimental-launcher")


def write_receipt(
    place: Place,
    source: Path,
    outcome: Outcome,
    *,
    begun: str,
    algorithm: str = "sha256",
    manifest_sha256: str = "",
    unsealed: Sequence[str] = (),
    links: Sequence[str] = (),
) -> dict[str, Any]:
    """Write the receipt of a complete copy.

    Args:
        place: where the copy is.
        source: the folder that was copied.
        outcome: what came of it.
        begun: when it began, ISO 8601.
        algorithm: of the checksums that the copies were verified by.
        manifest_sha256: checksum of the session's manifest; empty when there is none.
        unsealed: files that no manifest vouches for.
        links: links that lead out of the folder, and were left out.

    Returns:
        What it says.
    """
    receipt = {
        "receipt_version": RECEIPT_VERSION,
        "session": source.name,
        "from": {"computer": platform.node(), "folder": shown(source)},
        "to": shown(place.folder),
        "begun": begun,
        "verified": iso_now(),
        "files": outcome.wanted,
        "size_bytes": outcome.size_bytes,
        "algorithm": algorithm,
        "manifest_sha256": manifest_sha256,
        "not_sealed": list(unsealed),
        "links_left_out": list(links),
        "launcher_version": launcher_version(),
    }
    write_json(SessionFolder(extended(place.folder)).receipt, receipt)
    return receipt
