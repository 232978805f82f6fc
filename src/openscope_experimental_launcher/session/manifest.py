"""The manifest: every file of a session with its size and SHA-256, sealed when it is closed."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import SessionError
from ..files import json_bytes, sha256_of, write_atomic
from .folder import SessionFolder

MANIFEST_VERSION = 1
_HASHERS = 4


def listed_files(folder: SessionFolder) -> Iterator[Path]:
    """The files a manifest covers: all regular files but the manifest, the journal and
    a copy's receipt, in order of their names.
    A link is no file of the session and is passed over."""
    # There may be very many: texts and one look at each; paths would take three times as long.
    own = {str(folder.manifest), str(folder.journal), str(folder.receipt)}
    for root, folders, names in os.walk(folder.path):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(root, name)  # noqa: PTH118
            if path not in own and _is_file(path):
                yield Path(path)


def _is_file(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:  # it vanished
        return False


def build_manifest(
    folder: SessionFolder,
    *,
    session: dict[str, Any],
    on_bytes: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Hash every file of the session.

    Args:
        folder: the session folder.
        session: what the manifest says about the session itself.
        on_bytes: called with the size of each file when it is done, from any thread.

    Returns:
        The manifest, a JSON object with `files`: path → `{"size": bytes, "sha256": hex}`.
    """
    from concurrent.futures import ThreadPoolExecutor

    before = len(str(folder.path)) + 1

    def entry(path: Path) -> tuple[str, dict[str, Any]]:
        size = path.stat().st_size
        digest = sha256_of(path)
        if on_bytes is not None:
            on_bytes(size)
        name = str(path)[before:].replace(os.sep, "/")
        return name, {"size": size, "sha256": digest}

    with ThreadPoolExecutor(_HASHERS) as hashers:
        files = dict(hashers.map(entry, listed_files(folder)))
    return {"manifest_version": MANIFEST_VERSION, **session, "algorithm": "sha256", "files": files}


def read_manifest(folder: SessionFolder) -> dict[str, Any]:
    """The manifest of a closed session.

    Raises:
        SessionError: it is not there, or is none.
    """
    try:
        manifest = json.loads(folder.manifest.read_bytes())
        if isinstance(manifest["files"], dict):
            return dict(manifest)
        why = "its files are no object"
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
    raise SessionError(
        f"The manifest cannot be read: {why}.",
        code="manifest-unreadable",
        where=str(folder.manifest),
        fix="Restore it from a copy of the session.",
    )


def seal(
    folder: SessionFolder,
    manifest: dict[str, Any],
    *,
    beforehand: Callable[[str], object] = lambda _: None,
) -> str:
    """Write the manifest.

    Args:
        folder: the session folder.
        manifest: what to write.
        beforehand: told its SHA-256 before it is written.

    Returns:
        Its own SHA-256, which goes into the journal.
    """
    content = json_bytes(manifest)
    digest = hashlib.sha256(content).hexdigest()
    beforehand(digest)
    write_atomic(folder.manifest, content)
    return digest
