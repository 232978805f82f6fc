"""Bringing a checkout to its commit without losing anything, and keeping what is in no commit.

The only commands that change a checkout are a fetch, `git checkout --detach` (never forced) and
`git submodule update`. There is no reset, no clean and no removal of anything but our own
temporary folders.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Finding, RepositoryError
from ..files import write_atomic, write_json
from ..structs import msgspec
from .addresses import RepositoryUrl
from .cache import locked, plain_os_errors, publish, removed_on_error, sweep
from .git import Git, Progress, ssh_environment
from .objects import find_lfs_pointers, lfs_missing, may_hold_lfs
from .resolve import Resolved
from .working import WorkingTree, open_working_tree, shown_name

KEPT_FILE_BYTES = 10_000_000
"""Untracked files up to this size are saved with a session that ran with edits."""
KEPT_TOTAL_BYTES = 100_000_000
"""Untracked files are saved until they are this much together."""

_log = logging.getLogger(__name__)
_WORKSHOP = ".openscope"
_NOW_AT = re.compile(r"HEAD is now at ([0-9a-f]+)")


class Checkout(NamedTuple):
    """A repository on the disk, at its commit.

    Attributes:
        path: its folder.
        url: the repository's address, without credentials.
        ref: what was asked for.
        commit: full hash of the commit that is checked out.
        branch: the branch that was asked for, when it was one.
        edited: tracked files that differ from the commit, relative, with `/`.
        untracked: files and folders (ending in `/`) that are in no commit.
        allow_dirty: whether work that is in no commit was meant to run, and is to be saved.
        remote_asked: whether the server was asked.
        findings: what a person should know about it.
    """

    path: Path
    url: str
    ref: str
    commit: str
    branch: str | None
    edited: tuple[str, ...]
    untracked: tuple[str, ...]
    allow_dirty: bool
    remote_asked: bool
    findings: tuple[Finding, ...]
    git: Git

    @property
    def dirty(self) -> bool:
        """Whether tracked files differ from the commit."""
        return bool(self.edited)


def prepare(
    resolved: Resolved, *, allow_dirty: bool = False, on_progress: Progress | None = None
) -> Checkout:
    """Bring the checkout to the resolved commit.

    Nothing is done when it is there already. A new checkout is made in a temporary folder beside
    its place and renamed when it is whole.

    Args:
        resolved: the commit.
        allow_dirty: go on with edits of tracked files.
        on_progress: told what is being done, from any thread.

    Raises:
        RepositoryError: in plain words. Edits, untracked files and local commits are as they were.
    """
    with plain_os_errors(resolved.path):
        return _Preparation(resolved, allow_dirty, on_progress).done()


class _Preparation(msgspec.Struct, eq=False):
    resolved: Resolved
    allow_dirty: bool
    on_progress: Progress | None
    findings: tuple[Finding, ...] = ()

    def done(self) -> Checkout:
        resolved = self.resolved
        working = resolved.working
        if working is not None and resolved.at_commit:
            working = working.refreshed()
            if working.head == resolved.commit and not self._lacks_submodules(working):
                self._refuse_edits(working)
                self._refuse_lfs_pointers(working.git)
                self._remember_branch(working)
                return self._checkout(working)
        workshop = resolved.path.parent / _WORKSHOP
        name = resolved.path.name
        with locked(workshop / f"{name}.lock", resolved.limits.transfer_s, self.on_progress):
            sweep(workshop, f"{name}.*.tmp")
            working = working or self._found()
            if working is None:
                return self._checkout(self._created(workshop / f"{name}.{os.getpid()}.tmp"))
            return self._checkout(self._moved(working))

    def _found(self) -> WorkingTree | None:
        """A checkout that somebody else made since the commit was resolved."""
        return open_working_tree(self.resolved.path, RepositoryUrl.parse(self.resolved.url))

    def _created(self, new: Path) -> WorkingTree:
        """A new checkout, whole before it gets its name."""
        commit = self.resolved.commit
        with removed_on_error(new):
            self._say(f"Making the checkout {self.resolved.path}")
            # The cache is ours and on this disk, so its unchangeable objects are hard-linked.
            self._run(
                Git(new.parent, transports=("file",)), "clone", "--no-checkout", "--template=",
                "--origin=origin", "--progress", "--end-of-options",
                str(self.resolved.git_dir), str(new),
            )  # fmt: skip
            git = Git(new, transports=())
            git.run("config", "remote.origin.url", self.resolved.url)
            self._run(git, "checkout", "--detach", "--progress", commit, "--")
            self._verify_head(git.run("rev-parse", "HEAD").text)
            self._update_submodules(git)
            self._refuse_lfs_pointers(git)
            publish(new, self.resolved.path)
        git = git._replace(folder=self.resolved.path)
        return WorkingTree(self.resolved.path, git, "origin", head=commit)

    def _moved(self, working: WorkingTree) -> WorkingTree:
        """The checkout that was there, brought to the commit."""
        self._refuse_edits(working)
        if self.resolved.source != "checkout":
            self._fetch_into(working)
        else:
            self._remember_branch(working)
        carried = working.head != self.resolved.commit and self._switch(working)
        if self._submodules_followed(working) or carried or working.edited:
            working = working.refreshed()
            self._refuse_edits(working)
        self._refuse_lfs_pointers(working.git)
        return working

    def _switch(self, working: WorkingTree) -> bool:
        """Check the commit out; True when git carried changes along."""
        if problems := working.check_move():
            raise RepositoryError.from_findings("The checkout cannot be moved.", problems)
        self._say(f"Checking out {self.resolved.commit[:12]}")
        done = working.git.run(
            "checkout", "--detach", "--no-overwrite-ignore", "--progress",
            self.resolved.commit, "--",
            timeout_s=self.resolved.limits.transfer_s, on_progress=self.on_progress,
        )  # fmt: skip
        if now_at := _NOW_AT.search(done.error_text):
            self._verify_head(now_at[1])
        if working.branch is None and "you are leaving" in done.error_text:
            self._keep_commits(working)
        return bool(done.stdout.strip())

    def _verify_head(self, head: str) -> None:
        """Refuse the hash of something that is not a commit itself but leads to one."""
        if self.resolved.commit.startswith(head):
            return
        raise RepositoryError(
            f"The hash {self.resolved.commit[:12]} is that of an annotated tag, not of a commit.",
            code="repository-not-a-commit",
            where=f"repository_commit_hash: {self.resolved.ref!r}",
            fix=f"Give the tag's name, or the commit it stands for: {head}.",
        )

    def _keep_commits(self, working: WorkingTree) -> None:
        """Give commits a branch that would have been left without a name."""
        name = f"openscope-kept-{working.head[:12]}"
        working.git.run("branch", "--force", name, working.head)
        kept = Finding(
            "warning",
            "repository-commits-kept",
            f"The checkout held commits on no branch; they are kept on the branch {name}.",
            where=str(working.path),
            fix="Push the branch, or delete it when it is not needed.",
        )
        self.findings = (*self.findings, kept)

    def _fetch_into(self, working: WorkingTree) -> None:
        self._say("Fetching into the checkout")
        name = self.resolved.ref.removeprefix("refs/tags/")
        tags = [name] if name in self._cache_tags() else []
        self._run(
            working.git._replace(transports=("file",)),
            "fetch", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--progress",
            "--end-of-options", str(self.resolved.git_dir), self.resolved.commit,
            f"+refs/heads/*:refs/remotes/{working.remote}/*",
            *(f"refs/tags/{tag}:refs/tags/{tag}" for tag in tags),
        )  # fmt: skip

    def _cache_tags(self) -> list[str]:
        if self.resolved.branch is not None:
            return []
        return self.resolved.git.run("tag", "--list").text.splitlines()

    def _remember_branch(self, working: WorkingTree) -> None:
        """Record where the server said the branch is, for a later run without a network."""
        if self.resolved.branch_moved:
            name = f"refs/remotes/{working.remote}/{self.resolved.branch}"
            working.git.run("update-ref", name, self.resolved.commit)

    def _lacks_submodules(self, working: WorkingTree) -> bool:
        if not (working.path / ".gitmodules").is_file():
            return False
        status = working.git.run("submodule", "status", "--recursive").stdout
        return any(line.startswith(b"-") for line in status.splitlines())

    def _submodules_followed(self, working: WorkingTree) -> bool:
        """As `_update_submodules`; when that does not come to its end, the checkout goes back."""
        try:
            return self._update_submodules(working.git)
        except (RepositoryError, KeyboardInterrupt):
            git, before = working.git, working.branch or working.head
            if working.head and working.head != self.resolved.commit:
                git.run("checkout", "--no-overwrite-ignore", before, "--", expected=(0, 1, 128))
                git.run("submodule", "update", "--recursive", "--no-fetch", expected=(0, 1, 128))
            raise

    def _update_submodules(self, git: Git) -> bool:
        """Bring submodules to their recorded commits; False when there are none."""
        if not (git.folder / ".gitmodules").is_file():
            return False
        self._say("Bringing submodules to their commits")
        network = ("https", "http", "ssh", "git")
        # A repository from a server must not read this machine's disks through a submodule.
        local = RepositoryUrl.parse(self.resolved.url).is_local
        allowed = () if self.resolved.offline else (*network, "file") if local else network
        environment = ssh_environment(git.folder.parent)
        try:
            self._run(
                git._replace(transports=allowed, environment=environment),
                "submodule", "update", "--init", "--recursive", "--checkout", "--progress",
            )  # fmt: skip
        except RepositoryError as error:
            raise _about_submodules(error) from error
        return True

    def _refuse_lfs_pointers(self, git: Git) -> None:
        may_hold = may_hold_lfs(git.folder, self.resolved.commit)
        if may_hold and (pointers := find_lfs_pointers(git, git.folder)):
            raise lfs_missing(pointers)

    def _refuse_edits(self, working: WorkingTree) -> None:
        found = working.check(allow_dirty=self.allow_dirty)
        errors = [finding for finding in found if finding.level == "error"]
        if errors:
            raise RepositoryError.from_findings("The checkout holds work in no commit", errors)

    def _checkout(self, working: WorkingTree) -> Checkout:
        resolved = self.resolved
        return Checkout(
            path=resolved.path,
            url=resolved.url,
            ref=resolved.ref,
            commit=resolved.commit,
            branch=resolved.branch,
            edited=working.edited,
            untracked=working.untracked,
            allow_dirty=self.allow_dirty,
            remote_asked=resolved.remote_asked,
            findings=(
                *resolved.notes,
                *self.findings,
                *working.check(allow_dirty=self.allow_dirty),
            ),
            git=working.git,
        )

    def _run(self, git: Git, *arguments: str) -> None:
        git.run(*arguments, timeout_s=self.resolved.limits.transfer_s, on_progress=self._say)

    def _say(self, what: str) -> None:
        if self.on_progress is not None:
            self.on_progress(what)


def _about_submodules(error: RepositoryError) -> RepositoryError:
    return RepositoryError(
        f"The submodules cannot be brought to their commits. {error.message}",
        code=error.code,
        where=error.where,
        fix=f"{error.fix} The addresses of submodules are in .gitmodules.",
    )


def save_state(checkout: Checkout, folder: Path) -> None:
    """Write down what code ran, exactly enough to have it again.

    `repository.json` always; with edits `repository.patch` too, and where `allow_dirty` was given
    also the untracked files in `repository_untracked/`. Check out the commit, `git apply --index`
    the patch and copy the untracked files over it to have the same tree.

    Args:
        checkout: the repository that is going to run.
        folder: an existing folder, usually the session's `experiment_metadata`.

    Raises:
        RepositoryError: something cannot be read or written.
    """
    with plain_os_errors(folder):
        record: dict[str, Any] = {
            "url": checkout.url,
            "ref": checkout.ref,
            "commit": checkout.commit,
            "branch": checkout.branch,
            "path": str(checkout.path),
            "dirty": checkout.dirty,
            "edited": [shown_name(name) for name in checkout.edited],
            "untracked": [shown_name(name) for name in checkout.untracked],
            "remote_asked": checkout.remote_asked,
        }
        if checkout.dirty:
            write_atomic(folder / "repository.patch", current_patch(checkout.git))
            record["patch"] = "repository.patch"
        if checkout.allow_dirty and checkout.untracked:
            files = _save_untracked(checkout, folder / "repository_untracked")
            record["untracked_files"] = files
            if lost := tuple(file["path"] for file in files if not file["saved"]):
                _log.warning("Files in no commit that are not saved with the session: %s.", lost)
        write_json(folder / "repository.json", record)


def current_patch(git: Git) -> bytes:
    """The edits of tracked files in a checkout, as a patch on the commit it is at."""
    return git.run(
        "diff", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff",
        "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/", "HEAD", "--",
    ).stdout  # fmt: skip


def _save_untracked(checkout: Checkout, folder: Path) -> list[dict[str, Any]]:
    """Copy what is small enough; say of everything whether it was."""
    records = []
    left = KEPT_TOTAL_BYTES
    for name in _untracked_files(checkout):
        source = checkout.path / name
        record: dict[str, Any] = {"path": shown_name(name)}
        if source.is_symlink():
            record |= {"link_to": shown_name(str(source.readlink())), "saved": False}
        elif source.is_file():
            size = source.stat().st_size
            saved = size <= min(KEPT_FILE_BYTES, left)
            if saved:
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
                left -= size
            record |= {"bytes": size, "saved": saved}
        else:
            record["saved"] = False  # a repository of its own inside this one
        records.append(record)
    return records


def _untracked_files(checkout: Checkout) -> Iterator[str]:
    listed = checkout.git.run("ls-files", "-z", "--others", "--exclude-standard")
    yield from (name for name in os.fsdecode(listed.stdout).split("\0") if name)
