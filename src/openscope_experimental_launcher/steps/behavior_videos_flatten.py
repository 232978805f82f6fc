"""The step `behavior_videos_flatten`: videos out of nested folders into one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, Field

from . import StepContext, StepResult
from .fields import FROZEN, PathText, inside_session


class FlattenParameters(BaseModel):
    """Parameters of `behavior_videos_flatten`."""

    model_config = FROZEN

    behavior_videos_root: PathText = Field(
        default="behavior-videos", description="The folder of the videos, in the session folder."
    )
    behavior_videos_prune_empty: bool = Field(
        default=True, description="Whether folders that are empty afterwards are removed."
    )
    behavior_videos_copy_only: bool = Field(
        default=False, description="Whether files are copied and stay where they were, too."
    )


class FlattenVideos:
    """Moves every file below the root into it. No file is overwritten: one whose name is taken
    gets the names of its folders before its own."""

    name = "behavior_videos_flatten"
    interactive = False
    parameters_model = FlattenParameters

    def run(self, context: StepContext[FlattenParameters]) -> StepResult:
        """Move or copy; see `Step.run`."""
        wanted = context.parameters
        root = inside_session(context.session_folder, wanted.behavior_videos_root)
        if not root.is_dir():
            return StepResult(context.rehearsal, f"There is no folder {root}.")
        place = _copy if wanted.behavior_videos_copy_only else _move
        files = []
        for path in list(_nested(root)):
            target = _free_name(root, path)
            place(path, target)
            files.append(target.relative_to(context.session_folder).as_posix())
        if wanted.behavior_videos_prune_empty:
            _prune(root)
        done = "copied" if wanted.behavior_videos_copy_only else "moved"
        return StepResult(True, f"{len(files)} files were {done} into {root.name}.", tuple(files))


def _nested(root: Path) -> Iterator[Path]:
    """The files below folders of the root, in order. Links are left where they are."""
    for folder, folders, names in os.walk(root):
        folders.sort()
        if Path(folder) != root:
            yield from (
                path for name in sorted(names) if not (path := Path(folder, name)).is_symlink()
            )


def _free_name(root: Path, path: Path) -> Path:
    names = path.relative_to(root).parts
    # One folder's name after the other goes before the file's own.
    candidates = ["_".join(names[-count:]) for count in range(1, len(names) + 1)]
    for name in candidates:
        if not _taken(root / name):
            return root / name
    stem, number = Path(candidates[-1]), 2
    while _taken(root / f"{stem.stem}_{number}{stem.suffix}"):
        number += 1
    return root / f"{stem.stem}_{number}{stem.suffix}"


def _taken(path: Path) -> bool:
    return os.path.lexists(path)


def _move(path: Path, target: Path) -> None:
    path.rename(target)


def _copy(path: Path, target: Path) -> None:
    shutil.copy2(path, target)


def _prune(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        if Path(folder) != root and not Path(folder).is_symlink():
            with suppress(OSError):  # it is not empty
                Path(folder).rmdir()
