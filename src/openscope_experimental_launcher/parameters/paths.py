"""Paths of parameter files, which were often written on another system than this one."""

from __future__ import annotations

import sys
from pathlib import Path, PureWindowsPath

from ..errors import Finding

REHEARSAL_FOLDER = "rehearsal"


def with_own_separators(path: str) -> str:
    """`path` with the separators of this system."""
    return path.replace("/", "\\") if sys.platform == "win32" else path.replace("\\", "/")


def on_missing_drive(path: str) -> bool:
    """Whether `path` is on a Windows drive or share, and this system has neither."""
    return sys.platform != "win32" and bool(PureWindowsPath(path).drive)


def drive_error(where: str) -> Finding:
    """The error for a path on a drive or share that this system does not have."""
    return Finding(
        "error",
        "path-on-drive",
        "The path is on a Windows drive or share, and this system has none.",
        where=where,
        fix="Name a folder of this system, or rehearse, which puts it below ./rehearsal.",
    )


def rehearsal_path(named: str) -> Path:
    """Where a rehearsal puts what belongs to `named`: the same folders below `./rehearsal/`, with
    a drive or a share as the first one, so that Windows paths can be rehearsed anywhere."""
    path = PureWindowsPath(named)
    drive = [part for part in path.drive.replace(":", "").split("\\") if part not in ("", "?", ".")]
    parts = [*drive, *path.parts[1 if path.anchor else 0 :]]
    inside = [part for part in parts if part not in ("..", ".", "~")]
    return Path(REHEARSAL_FOLDER, *inside).absolute()
