"""Asking a repository's server, and the launcher's own copy of what it has.

The network is only ever spoken to from here, in folders that hold nothing but our own settings:
no setting of a checkout can change how a server is reached.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from ..errors import RepositoryError
from ..locks import ProcessLock
from ..structs import msgspec
from .addresses import RepositoryUrl
from .git import Git, Limits, Progress, require_supported_git, ssh_environment

_POLL_S = 0.2
_RENAME_TRIES = 40
_BROKEN = {"git-failed", "repository-not-found", "repository-transfer-damaged"}


class RemoteRefs(NamedTuple):
    """What a server says it has.

    Attributes:
        branches: name -> full hash.
        tags: name -> full hash of the tagged commit.
        head: full hash of HEAD; empty when there is none.
        head_branch: name of the branch that HEAD is; empty when it is none.
    """

    branches: Mapping[str, str]
    tags: Mapping[str, str]
    head: str = ""
    head_branch: str = ""


class Cache(msgspec.Struct, eq=False, dict=True):
    """A bare repository of the launcher's, one for each address.

    Args:
        url: the address.
        root: folder of all caches; made when it is needed.
        limits: how long git may take.
        on_progress: told what is being done.
        git_is_new_enough: whether that is known already.
    """

    url: RepositoryUrl
    root: Path
    limits: Limits = Limits()
    on_progress: Progress | None = None
    git_is_new_enough: bool = False

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        return self.root / f"{self._key}.git"

    @property
    def git(self) -> Git:
        """Git in this repository, without a way to others."""
        return Git(self.folder, bare=True, transports=())

    @property
    def exists(self) -> bool:
        """Whether anything was ever fetched."""
        return self.folder.is_dir()

    @property
    def _key(self) -> str:
        digest = hashlib.sha256("\0".join(self.url.key).encode("utf-8", "surrogateescape"))
        return f"{self.url.name}-{digest.hexdigest()[:12]}"

    @cached_property
    def remote_refs(self) -> RemoteRefs:
        """The server's branches and tags; asked once.

        Raises:
            RepositoryError: it cannot be asked, in plain words.
        """
        if not self.git_is_new_enough:
            require_supported_git()
        self.root.mkdir(parents=True, exist_ok=True)
        self._say(f"Asking {self.url.public}")
        answer = self._networking(self.root).run(
            "ls-remote", "--quiet", "--symref", "--end-of-options", self.url.text,
            "HEAD", "refs/heads/*", "refs/tags/*",
            timeout_s=self.limits.answer_s, where=self.url.public,
        )  # fmt: skip
        refs = _parse_refs(os.fsdecode(answer.stdout))
        if refs.head or refs.branches or refs.tags:
            return refs
        raise RepositoryError(
            "The server lists no branch and no tag: the repository is empty, or something else "
            "answers in its place, such as the login page of a network.",
            code="repository-empty",
            where=self.url.public,
            fix="Open the address in a browser. Log in to the network, or push the experiment.",
        )

    def fetch(self, commit: str = "") -> None:
        """Get everything the server has; safe to interrupt at any moment.

        Args:
            commit: full hash of a commit that is wanted even when no branch or tag leads to it.

        Raises:
            RepositoryError: in plain words. What was here before is still here.
        """
        refs = self.remote_refs  # a server that does not answer is found out in seconds
        lock = self.root / f"{self._key}.lock"
        with locked(lock, self.limits.transfer_s, self.on_progress):
            sweep(self.root, f"{self._key}.*.tmp")
            self._say(f"Fetching {self.url.public}")
            if not self._update(commit):
                self._build(refs, commit)

    def _update(self, commit: str) -> bool:
        """Fetch into what is here; False when there is nothing sound to fetch into."""
        if not self.exists:
            return False
        try:
            self._fetch_into(self.folder, commit)
        except RepositoryError as error:
            if error.code not in _BROKEN:
                raise
            # A power cut can leave git's lock files behind or spoil objects. It is only a copy.
            return False
        return True

    def _build(self, refs: RemoteRefs, commit: str) -> None:
        new = self.root / f"{self._key}.{os.getpid()}.tmp"
        known = commit or refs.head or next(iter(refs.branches.values()), "")
        hashes = "sha256" if len(known) == 64 else "sha1"
        with removed_on_error(new):
            Git(self.root).run(
                "init", "--quiet", "--bare", "--template=", f"--object-format={hashes}", str(new)
            )
            if refs.head_branch:
                Git(new, bare=True).run("symbolic-ref", "HEAD", f"refs/heads/{refs.head_branch}")
            self._fetch_into(new, commit)
            if self.exists:
                remove_tree(self.folder)
            publish(new, self.folder)

    def _fetch_into(self, folder: Path, commit: str) -> None:
        self._fetch(folder, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        git = Git(folder, bare=True)
        if commit and git.run("cat-file", "-e", commit, expected=(0, 1, 128)).code:
            self._fetch(folder, f"+{commit}:refs/pinned/{commit}")

    def _fetch(self, folder: Path, *refspecs: str) -> None:
        self._networking(folder, bare=True).run(
            "fetch", "--prune", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
            "--progress", "--end-of-options", self.url.text, *refspecs,
            timeout_s=self.limits.transfer_s, on_progress=self._say, where=self.url.public,
        )  # fmt: skip

    def _networking(self, folder: Path, *, bare: bool = False) -> Git:
        environment = ssh_environment(self.root) if self.url.transport == "ssh" else {}
        return Git(folder, bare=bare, environment=environment)

    def _say(self, what: str) -> None:
        if self.on_progress is not None:
            self.on_progress(what)


def _parse_refs(listed: str) -> RemoteRefs:
    branches: dict[str, str] = {}
    tags: dict[str, str] = {}
    head = head_branch = ""
    for line in listed.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: refs/heads/") and name == "HEAD":
            head_branch = value.removeprefix("ref: refs/heads/")
        elif name == "HEAD":
            head = value
        elif name.startswith("refs/heads/"):
            branches[name.removeprefix("refs/heads/")] = value
        elif name.startswith("refs/tags/"):
            # An annotated tag is listed twice; the second time, with ^{}, with its commit.
            tags[name.removeprefix("refs/tags/").removesuffix("^{}")] = value
    return RemoteRefs(branches, tags, head, head_branch)


@contextmanager
def locked(path: Path, timeout_s: float, on_progress: Progress | None) -> Iterator[None]:
    """Hold the lock `path`, waiting for another launcher that has it.

    Raises:
        RepositoryError: it was not free within `timeout_s` seconds.
    """
    lock = ProcessLock(path)
    deadline = time.monotonic() + timeout_s
    told = False
    while not lock.acquire(holder={"pid": os.getpid()}):
        if time.monotonic() > deadline:
            raise RepositoryError(
                f"Another launcher works on this repository (process {lock.holder().get('pid')}).",
                code="repository-busy",
                where=str(path),
                fix="Wait until it has finished.",
            )
        if on_progress is not None and not told:
            on_progress(f"Waiting for another launcher (process {lock.holder().get('pid')})")
            told = True
        time.sleep(_POLL_S)
    try:
        yield
    finally:
        lock.release()


def sweep(folder: Path, pattern: str) -> None:
    """Remove what interrupted work left. To be called with its lock held, so that none is alive."""
    for leftover in folder.glob(pattern):
        remove_tree(leftover)


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours, read-only files included."""

    def try_again(remove: Callable[[str], object], path: str, _: object) -> None:
        Path(path).chmod(stat.S_IRWXU)  # git's objects are read-only, which stops Windows
        remove(path)

    if sys.version_info >= (3, 12):
        shutil.rmtree(folder, onexc=try_again)
    else:
        shutil.rmtree(folder, onerror=try_again)


@contextmanager
def removed_on_error(folder: Path) -> Iterator[None]:
    """Leave nothing of `folder` behind when the work in it fails or is interrupted."""
    try:
        yield
    except BaseException:
        if folder.is_dir():
            remove_tree(folder)
        raise


@contextmanager
def plain_os_errors(folder: Path) -> Iterator[None]:
    """Say in plain words that a folder cannot be read or written.

    Raises:
        RepositoryError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise RepositoryError(
            f"The repository's files cannot be read or written: {error.strerror or error}.",
            code="repository-folder-unusable",
            where=str(error.filename or folder),
            fix="Check the folder's permissions and the disk.",
        ) from error


def publish(new: Path, target: Path) -> None:
    """Give a finished folder its name. `target` must not exist, or be an empty folder."""
    if target.is_dir():
        target.rmdir()  # fails, rightly, when something is in it
    for attempt in range(_RENAME_TRIES):
        try:
            new.rename(target)
            return
        except PermissionError:
            # On Windows a virus scanner may hold one of the new files for a moment.
            if sys.platform != "win32" or attempt == _RENAME_TRIES - 1:
                raise
            time.sleep(0.05)
