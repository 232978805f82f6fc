"""The routing manifest: which files of a session an archive sends to the network.

    {"entries": [{"type": "experiment_notes", "files": ["notes.txt"]}]}

Steps add what they made; `session_archiver` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import StepError
from ..files import write_json

ROUTING_MANIFEST = "routing_manifest.json"


def routed_files(manifest: Path) -> list[str]:
    """The files that a routing manifest lists, as they are written there.

    Raises:
        StepError: it is no routing manifest.
    """
    return [file for entry in _entries(manifest) for file in entry["files"]]


def add_route(manifest: Path, kind: str, files: Sequence[str]) -> None:
    """Add files to a routing manifest, which is made when it is not there.

    Args:
        manifest: its path.
        kind: the type of the files, such as `experiment_notes`.
        files: paths relative to the session folder.

    Raises:
        StepError: there is something else under that name.
    """
    entries = _entries(manifest) if manifest.exists() else []
    known = next((entry for entry in entries if entry.get("type") == kind), None)
    if known is None:
        entries.append({"type": kind, "files": list(files)})
    else:
        known["files"] = list(dict.fromkeys([*known["files"], *files]))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    write_json(manifest, {"entries": entries})


def _entries(manifest: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(manifest.read_bytes())
        entries = content["entries"]
        for entry in entries:
            if not all(isinstance(file, str) for file in entry["files"]):
                raise TypeError("files must be texts")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StepError(
            f"The routing manifest cannot be used: {type(error).__name__}: {error}",
            code="routing-manifest-broken",
            where=str(manifest),
            fix='It must be {"entries": [{"type": "…", "files": ["…"]}]}.',
        ) from error
    return list(entries)
