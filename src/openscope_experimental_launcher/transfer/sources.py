"""What of a folder is copied: its files, with the checksums that they were sealed with."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from ..errors import SessionError
from ..files import sha256_of
from ..session.folder import SessionFolder
from ..session.manifest import read_manifest
from ..session.record import SessionRecord
from ..session.unclosed import not_closed
from .onefile import Item
from .paths import extended
from .places import is_link


class Found(NamedTuple):
    """What is in a folder.

    Attributes:
        files: names of all regular files, with `/`, in order.
        links: names of the links that lead out of the folder. They are never followed.
    """

    files: list[str]
    links: list[str]


class Sealed(NamedTuple):
    """A sealed session, as it is to be copied.

    Attributes:
        items: all files but the journal and a receipt.
        links: links that lead out of the folder; what they lead to is not copied.
        manifest_sha256: checksum of the manifest.
        unsealed: names of files that no checksum of the manifest vouches for.
        missing: names of files that the manifest lists and that are not there.
    """

    items: list[Item]
    links: list[str]
    manifest_sha256: str
    unsealed: list[str]
    missing: list[str]


def look_through(folder: Path) -> Found:
    """Find the files of a folder. A link is none, and is not followed; what it leads to is a file
    of the folder itself, or is none of its files."""
    root = extended(folder)
    home = os.path.realpath(root)
    files: list[str] = []
    links: list[str] = []
    to_do = [("", str(root))]
    while to_do:
        prefix, place = to_do.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                name = prefix + entry.name
                if is_link(entry.stat(follow_symlinks=False)):
                    if not _is_inside(os.path.realpath(entry.path), home):
                        links.append(name)
                elif entry.is_dir(follow_symlinks=False):
                    to_do.append((f"{name}/", entry.path))
                elif entry.is_file(follow_symlinks=False):
                    files.append(name)
    return Found(sorted(files), sorted(links))


def _is_inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def sealed_digests(folder: SessionFolder) -> dict[str, str]:
    """The checksums of a session's manifest by the files' names; none when it cannot be read."""
    try:
        files = read_manifest(folder)["files"]
        return {str(name): str(entry["sha256"]) for name, entry in files.items()}
    except (SessionError, KeyError, TypeError):
        return {}


def sealed_session(
    folder: SessionFolder, record: SessionRecord, accepted: Collection[str] = ()
) -> Sealed:
    """What is to be copied of a session.

    Args:
        folder: the session folder.
        record: what its journal says.
        accepted: files that are copied although they are not what was sealed.

    Raises:
        SessionError: it was never closed, its data were removed here, or its manifest is not the
            one that was sealed.
    """
    _check_whole(folder, record)
    digests = sealed_digests(folder)
    manifest = sha256_of(folder.manifest) if folder.manifest.is_file() else ""
    if manifest != (record.sealed or {}).get("sha256"):
        raise SessionError(
            "The manifest is not the one that was sealed.",
            code="manifest-changed",
            where=str(folder.manifest),
            fix="See what changed with openscope verify SESSION, and restore it from a copy.",
        )
    found = look_through(folder.path)
    left_out = (folder.journal.name, folder.receipt.name)
    own = {**digests, folder.manifest.name: manifest}
    items = [
        Item(name, "" if name in accepted else own.get(name, ""))
        for name in found.files
        if name not in left_out
    ]
    unsealed = [item.name for item in items if not item.sealed]
    missing = sorted(digests.keys() - set(found.files))
    return Sealed(items, found.links, manifest, unsealed, missing)


def _check_whole(folder: SessionFolder, record: SessionRecord) -> None:
    if record.closed is None or record.sealed is None:
        words = "The session was never closed, so nothing proves what its files should be."
        raise not_closed(folder, words)
    if record.freed is not None:
        raise SessionError(
            "The data of this session were removed here, after copies of it had been verified.",
            code="session-freed",
            where=str(folder.path),
            fix=f"Copy it from one of them: {', '.join(map(str, record.freed['copies']))}",
        )
