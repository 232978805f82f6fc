"""The checkout as it lies on the disk: looked at, never changed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..errors import Finding, RepositoryError
from .addresses import RepositoryUrl, same_repository
from .git import Git, options_were_obeyed, require_supported_git
from .overlooked import Overlooked, overlooked_files, unfinished_work

_LISTED = 8
_OWN = ("local", "worktree")  # scopes of a checkout's own settings, against the machine's
_READ_SETTINGS = r"^(remote\..*\.url|core\.hookspath|filter\..*\.(clean|smudge|process))$"
# What `git lfs install --local` writes; any other filter that a checkout brings is not run.
_LFS_FILTER = re.compile(r"git-lfs (clean|smudge|filter-process)( --skip)?( -- %f)?")


Settings = list[tuple[str, str, str]]
"""Scope, name and value of settings, as git lists them."""


class WorkingTree(NamedTuple):
    """What git says of a checkout.

    Attributes:
        path: its folder.
        git: git in that folder, with the filters that only this checkout defines switched off.
        remote: name of the remote whose address is the one asked for, usually `origin`.
        head: hash of the commit that is checked out; empty in a repository without commits.
        branch: name of the branch that is checked out; None when HEAD is detached.
        edited: tracked files that differ from `head`, relative, with `/`.
        submodules: submodules that hold edits or are at another commit than the recorded one.
        untracked: files and folders (ending in `/`) that git does not know.
        ignored: files and folders that `.gitignore` names.
        overlooked: what git was told to look away from.
    """

    path: Path
    git: Git
    remote: str
    head: str = ""
    branch: str | None = None
    edited: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    overlooked: Overlooked = Overlooked()

    def refreshed(self) -> WorkingTree:
        """The same checkout as it is now."""
        status = self.git.run(
            "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal",
            "--ignored=matching", "--ignore-submodules=none", "--no-renames",
        )  # fmt: skip
        found: dict[str, list[str]] = {"1": [], "u": [], "?": [], "!": [], "submodule": []}
        head, branch = "", None
        for entry in os.fsdecode(status.stdout).split("\0"):
            kind, _, rest = entry.partition(" ")
            if rest.startswith("branch.oid "):
                head = rest.removeprefix("branch.oid ").replace("(initial)", "")
            elif rest.startswith("branch.head "):
                name = rest.removeprefix("branch.head ")
                branch = None if name == "(detached)" else name
            elif kind in ("1", "u"):
                fields = rest.split(" ", 7 if kind == "1" else 9)
                found[_sort_of_change(kind, fields)].append(fields[-1])
            elif kind in found:
                found[kind].append(rest)
        return self._replace(
            head=head,
            branch=branch,
            edited=tuple(found["1"] + found["u"]),
            submodules=tuple(found["submodule"]),
            untracked=tuple(found["?"]),
            ignored=tuple(found["!"]),
        )

    def will_keep(self, path: PurePosixPath) -> bool:
        """Whether git does not know the file `path`, and so leaves it alone."""
        entries = (*self.untracked, *self.ignored)
        return any(path.is_relative_to(entry.rstrip("/")) for entry in entries)

    def check(self, *, allow_dirty: bool = False) -> list[Finding]:
        """Findings about work in the checkout that is not in any commit.

        Args:
            allow_dirty: edits of tracked files are to run, and be saved with the session.
        """
        return [
            *self._check_edits(allow_dirty),
            *self._check_overlooked(),
            *self._check_untracked(),
        ]

    def check_move(self) -> list[Finding]:
        """Why the checkout must not be brought to another commit; looks again."""
        what = unfinished_work(self.path)
        if not what:
            return []
        return [
            Finding(
                "error",
                "repository-work-unfinished",
                f"A {what} was begun in the checkout and is not finished; going to another commit "
                "would spoil it.",
                where=str(self.path),
                fix=f"Finish it there, or give it up with: git {what} --abort",
            )
        ]

    def _check_edits(self, allow_dirty: bool) -> Iterator[Finding]:
        if self.submodules:
            yield Finding(
                "error",
                "repository-submodule-edited",
                f"Submodules hold edits or are at another commit: {_some(self.submodules)}.",
                where=str(self.path),
                fix="Commit and push them there, then pin the new commit; "
                "or bring them back with: git submodule update --init --recursive",
            )
        if self.edited and allow_dirty:
            yield Finding(
                "warning",
                "repository-edited",
                f"The checkout runs with edits that are in no commit: {_some(self.edited)}.",
                where=str(self.path),
                fix="They are saved with the session. Commit them to make the run repeatable.",
            )
        elif self.edited:
            yield Finding(
                "error",
                "repository-edited",
                f"The checkout has edits that are in no commit: {_some(self.edited)}.",
                where=str(self.path),
                fix="Commit them and pin that commit, put them aside with `git stash`, "
                "or run them as they are with --allow-dirty, which saves them with the session.",
            )

    def _check_overlooked(self) -> Iterator[Finding]:
        if edited := self.overlooked.edited:
            yield Finding(
                "error",
                "repository-edits-hidden",
                f"The checkout has edits that git was told not to see: {_some(edited)}.",
                where=str(self.path),
                fix="Have git see them: git update-index --no-assume-unchanged "
                f"--no-skip-worktree '{shown_name(edited[0])}'; then commit them, or run them "
                "with --allow-dirty.",
            )
        if left_out := self.overlooked.left_out:
            yield Finding(
                "warning",
                "repository-sparse",
                f"The checkout is sparse; files of the commit are not in it: {_some(left_out)}.",
                where=str(self.path),
                fix="Have all of them with: git sparse-checkout disable",
            )

    def _check_untracked(self) -> Iterator[Finding]:
        if self.untracked:
            yield Finding(
                "warning",
                "repository-untracked",
                f"The checkout holds files that are in no commit: {_some(self.untracked)}.",
                where=str(self.path),
                fix="Commit what the experiment needs; name the rest in .gitignore.",
            )


def open_working_tree(
    path: Path, url: RepositoryUrl, settings: Settings | None = None
) -> WorkingTree | None:
    """Look at the checkout of `url` in `path`.

    Args:
        path: absolute folder.
        url: the repository that it must be a checkout of.
        settings: what git said of it already (see `find_place`).

    Returns:
        What is there; None when there is nothing yet (no folder, or an empty one).

    Raises:
        RepositoryError: something else is there. It is left alone.
    """
    if not os.path.lexists(path) or (path.is_dir() and not any(path.iterdir())):
        return None
    if not os.path.lexists(path / ".git"):
        raise _folder_taken(path)
    try:
        settings = settings or _settings(path)
    except RepositoryError as error:
        if error.code == "repository-not-found":  # there is a .git, but nothing in it
            raise _folder_taken(path) from error
        raise
    remote = _remote_of(settings, url)
    if remote is None:
        raise _other_repository(path, url, settings)
    git = Git(path, options=_without_own_filters(settings))
    working = WorkingTree(path, git, remote).refreshed()
    if not working.head:
        return working
    return working._replace(overlooked=overlooked_files(git, working.head))


def _folder_taken(path: Path) -> RepositoryError:
    return RepositoryError(
        "The folder for the repository holds something that is not a git checkout.",
        code="repository-folder-taken",
        where=str(path),
        fix="Move it away, or give another local_repository_path. Nothing was changed.",
    )


class Place(NamedTuple):
    """Where a checkout is, or will be.

    Attributes:
        path: its folder, absolute.
        settings: what git said of it while it was looked for; None when it was not asked.
    """

    path: Path
    settings: Settings | None = None


def find_place(url: str, local_root: Path | str) -> Place:
    """The folder of the checkout of `url`.

    Args:
        url: the repository's address.
        local_root: the parameter `local_repository_path`.

    Returns:
        `local_root` when that is a checkout of `url` already, else the folder directly below it
        that is named after the repository.

    Raises:
        RepositoryError: the address cannot be used.
    """
    address = RepositoryUrl.parse(url)
    root = Path(local_root).expanduser().absolute()
    if os.path.lexists(root / ".git"):
        settings = _settings(root)
        if _remote_of(settings, address) is not None:
            return Place(root, settings)
    return Place(root / address.name)


def repository_path(url: str, local_root: Path | str) -> Path:
    """The folder of the checkout of `url`; see `find_place`."""
    return find_place(url, local_root).path


def _settings(path: Path) -> Settings:
    """The settings that matter here."""
    listed = Git(path).run(
        "config", "-z", "--show-scope", "--get-regexp", _READ_SETTINGS, expected=(0, 1)
    )
    parts = os.fsdecode(listed.stdout).split("\0")
    settings = []
    for scope, setting in zip(parts[::2], parts[1::2], strict=False):
        name, _, value = setting.partition("\n")
        settings.append((scope, name, value))
    if not options_were_obeyed(settings):
        require_supported_git()
    if not any(scope in _OWN for scope, _, _ in settings):
        # No remotes; or git does not trust the folder, and then says nothing of its settings.
        Git(path).run("rev-parse", "--git-dir")
    return settings


def _remote_of(settings: Settings, url: RepositoryUrl) -> str | None:
    addresses = [(name, value) for scope, name, value in settings if _is_remote(scope, name)]
    matching = [
        name.removeprefix("remote.").removesuffix(".url")
        for name, value in addresses
        if same_repository(url, value)
    ]
    return "origin" if "origin" in matching else next(iter(matching), None)


def _is_remote(scope: str, name: str) -> bool:
    return scope in _OWN and name.startswith("remote.")


def _without_own_filters(settings: Settings) -> dict[str, str]:
    options = {}
    for scope, name, value in settings:
        own = scope in _OWN and name.startswith("filter.")
        if own and not _LFS_FILTER.fullmatch(value):
            options[name] = ""
            options[f"{name.rpartition('.')[0]}.required"] = "false"
    return options


def _other_repository(path: Path, url: RepositoryUrl, settings: Settings) -> RepositoryError:
    found = [value for scope, name, value in settings if _is_remote(scope, name)]
    try:
        said = f"is a checkout of {RepositoryUrl.parse(found[0]).public}" if found else ""
    except RepositoryError:
        said = ""
    return RepositoryError(
        f"The folder for the repository {said or 'is a git repository without a known remote'}, "
        f"not of {url.public}.",
        code="repository-other-remote",
        where=str(path),
        fix="Move it away, or give another local_repository_path. Nothing was changed.",
    )


def _sort_of_change(kind: str, fields: list[str]) -> str:
    """Where a changed entry belongs. Field 1 is `N...`, or `S` and what changed in a submodule."""
    submodule = fields[1]
    if not submodule.startswith("S"):
        return kind
    return "?" if submodule == "S..U" else "submodule"


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(shown_name(name) for name in names[:_LISTED])
    more = len(names) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def shown_name(name: str) -> str:
    """A file name that can be written as UTF-8 whatever bytes it has."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
