"""Writing files that matter so that a crash or a power cut leaves the old or the new, whole.

Source of the order of calls (write, fsync, rename, fsync of the folder): the POSIX rules for
rename(2) and fsync(2); without the last call the rename itself may be lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

_WINDOWS_REPLACE_TRIES = 40
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def write_atomic(path: Path, content: bytes | str, *, mode: int = 0o644) -> None:
    """Write a whole file: under a temporary name, flushed to the disk, then renamed.

    Args:
        path: the file; replaced when it is there.
        content: bytes, or text that is encoded as UTF-8.
        mode: permission bits where the system has them.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_FOLLOW, mode)
    try:
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        replace_file(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write `value` as indented UTF-8 JSON with `write_atomic`."""
    write_atomic(path, json_bytes(value), mode=mode)


def json_bytes(value: Any) -> bytes:
    """`value` as indented UTF-8 JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    # Half a character, which UTF-8 has not, becomes \\udxxx, which JSON reads as the same.
    return text.encode("utf-8", "backslashreplace")


def read_json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one when it is not there, cannot be read, or is none."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def replace_file(source: Path, target: Path) -> None:
    """Rename a file over another, which a reader may have open."""
    for attempt in range(_WINDOWS_REPLACE_TRIES):
        try:
            source.replace(target)
            return
        except PermissionError:
            # On Windows a reader (an indexer, a virus scanner) may hold the target for a moment.
            if sys.platform != "win32" or attempt == _WINDOWS_REPLACE_TRIES - 1:
                raise
            time.sleep(0.05)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in `folder` durable; nothing to do on Windows."""
    if sys.platform == "win32":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
