"""What `git status` is silent about in a checkout: files that git was told to look away from, and
work that was begun and not finished."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

from .git import Git
from .index import git_dir, read_index

# What a moved HEAD would lose, or would have continued on the wrong commit. A bisection loses
# nothing: it moves HEAD itself.
_UNFINISHED = {
    "MERGE_HEAD": "merge",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
}


class Overlooked(NamedTuple):
    """Files that git was told to look away from (`update-index --assume-unchanged` and
    `--skip-worktree`, which is also how a sparse checkout leaves files out).

    Attributes:
        edited: those that differ from the commit, relative, with `/`.
        left_out: those that are not on the disk at all.
    """

    edited: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def overlooked_files(git: Git, head: str) -> Overlooked:
    """Look at the files that `git status` does not look at. Writes nothing into the checkout.

    Args:
        git: git in the checkout.
        head: hash of its commit.
    """
    index = read_index(git.folder, head)
    if index is not None and not index.marked:
        return Overlooked()
    listed = os.fsdecode(git.run("ls-files", "-v", "-z").stdout).split("\0")
    # A small letter says assume-unchanged, an S skip-worktree.
    marked = {entry[2:]: entry[0] for entry in listed if entry[:1].islower() or entry[:1] == "S"}
    left_out = {
        name
        for name, mark in marked.items()
        if mark in "Ss" and not os.path.lexists(git.folder / name)
    }
    looked_at = marked.keys() - left_out
    edited = looked_at & _differing(git) if looked_at else set()
    return Overlooked(tuple(sorted(edited)), tuple(sorted(left_out)))


def _differing(git: Git) -> set[str]:
    """The files that differ from the commit, by an index that holds no such marks."""
    with tempfile.TemporaryDirectory(prefix="openscope-index-") as private:
        own_index = {"GIT_INDEX_FILE": str(Path(private) / "index")}
        unmarked = git._replace(environment={**git.environment, **own_index})
        unmarked.run("read-tree", "HEAD")
        names = unmarked.run(
            "diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "HEAD"
        )
    return {name for name in os.fsdecode(names.stdout).split("\0") if name}


def unfinished_work(checkout: Path) -> str:
    """What git has begun in a checkout and not finished: `merge`, `rebase`, `cherry-pick` or
    `revert`; empty when there is nothing of that."""
    folder = git_dir(checkout)
    return next((what for name, what in _UNFINISHED.items() if (folder / name).exists()), "")
