"""The experiment's files at the commit, readable before anything is checked out."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from ..errors import RepositoryError
from .objects import (
    SUBMODULE,
    SYMLINK,
    Tree,
    link_leaves,
    list_tree,
    read_file,
    refuse_lfs_pointer,
)
from .resolve import Resolved


class GitSource:
    """The files of a repository as they will be when the acquisition starts.

    A checkout that is at the commit already is read as it lies there. Otherwise files come from
    git's objects, and from the disk only what a checkout of the commit will leave alone:
    untracked and ignored files (an installed Bonsai), and everything outside the repository.

    Args:
        resolved: the commit.
    """

    def __init__(self, resolved: Resolved) -> None:
        self._resolved = resolved
        self._tree = resolved.tree
        self._read: dict[str, bytes] = {}

    @property
    def root(self) -> Path:
        """The checkout's folder, which need not exist yet."""
        return self._resolved.path

    def read(self, path: Path) -> bytes:
        """The bytes of a file.

        Args:
            path: absolute, or relative to `root`.

        Raises:
            FileNotFoundError: there is no such file.
            RepositoryError: it is a link out of the repository, or its content is not there.
        """
        inside = self._inside(path)
        if inside is None:
            return self._whole(path).read_bytes()
        name = str(inside)
        if name not in self._read:
            self._read[name] = self._read_inside(inside)
        return self._read[name]

    def exists(self, path: Path) -> bool:
        """Whether there is a file of this name, absolute or relative to `root`."""
        inside = self._inside(path)
        if inside is None or self._on_disk(inside):
            return self._whole(path).is_file()
        mode = self._listed.get(str(inside))
        if mode is not None:
            return mode != SUBMODULE
        if self._unknown_submodule(inside):
            return True  # it cannot be looked into before it was fetched
        return self._is_behind(inside, SYMLINK) and self._can_read(path)

    def similar(self, path: Path) -> list[str]:
        """Names of files that a mistyped `path` may have meant, nearest first."""
        inside = self._inside(path)
        if inside is None:
            return []
        same_kind = [name for name in self._listed if name.endswith(path.suffix)]
        from difflib import get_close_matches

        near = get_close_matches(str(inside), same_kind, n=5, cutoff=0.6)
        same_name = [name for name in same_kind if PurePosixPath(name).name == inside.name]
        return list(dict.fromkeys([*same_name, *near]))[:5]

    def _inside(self, path: Path) -> PurePosixPath | None:
        """`path` relative to the repository; None when it is outside of it."""
        whole = self._whole(path)
        if not whole.is_relative_to(self.root):
            return None
        return PurePosixPath(whole.relative_to(self.root).as_posix())

    def _whole(self, path: Path) -> Path:
        return Path(os.path.normpath(self.root / path))

    @property
    def _listed(self) -> Tree:
        if self._tree is None:
            self._tree = list_tree(self._resolved.git, self._resolved.commit) or {}
        return self._tree

    def _on_disk(self, inside: PurePosixPath) -> bool:
        working = self._resolved.working
        if working is None or self._resolved.at_commit:
            return working is not None
        name = str(inside)
        return name in working.edited or (name not in self._listed and working.will_keep(inside))

    def _read_inside(self, inside: PurePosixPath) -> bytes:
        if self._on_disk(inside):
            return self._read_disk(inside)
        if self._unknown_submodule(inside):
            raise RepositoryError(
                "A file of a submodule cannot be read before the submodule is checked out.",
                code="repository-submodule-missing",
                where=str(inside),
                fix="Run once, or check the repository out by hand with its submodules.",
            )
        return read_file(self._resolved.git, self._resolved.commit, str(inside))

    def _read_disk(self, inside: PurePosixPath) -> bytes:
        path = self.root / inside
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise link_leaves(str(inside))
        data = path.read_bytes()
        refuse_lfs_pointer(data, str(inside))
        return data

    def _unknown_submodule(self, inside: PurePosixPath) -> bool:
        return not self._resolved.at_commit and self._is_behind(inside, SUBMODULE)

    def _is_behind(self, inside: PurePosixPath, mode: str) -> bool:
        return any(self._listed.get(str(parent)) == mode for parent in inside.parents)

    def _can_read(self, path: Path) -> bool:
        try:
            self.read(path)
        except FileNotFoundError:
            return False
        return True
