"""From a branch, tag or hash to exactly one commit. The checkout is looked at and left alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import Finding, RepositoryError
from ..structs import msgspec
from .addresses import RepositoryUrl, is_full_hash, may_be_hash, validate_ref
from .cache import Cache, plain_os_errors
from .git import Git, Limits, Progress
from .objects import Named, Tree, commits_beginning, list_tree, look_up
from .working import Settings, WorkingTree, open_working_tree

_NEAR = 5
_NEAR_HASH = 0.8  # two hashes that have nothing to do with one another are at about 0.3
_ABBREVIATION = 7  # digits to which git itself shortens hashes
_UNREACHED = {
    "repository-unreachable",
    "git-timeout",
    "repository-tls",
    "repository-no-access",
    "repository-not-found",  # a share or a disk that is not there
    "repository-empty",
}


class Resolved(NamedTuple):
    """The commit that was asked for, and where its objects are.

    Attributes:
        url: the repository's address, without credentials.
        ref: what was asked for.
        commit: the full hash it stands for.
        branch: the branch that was asked for, when it was one.
        path: folder of the checkout, which need not exist yet.
        git_dir: where the commit's objects can be read: the checkout, or the launcher's cache.
        source: `checkout` (the objects are there), `cache` (fetched some time before) or
            `fetched` (just now, into the cache).
        remote_asked: whether the server was asked.
        branch_moved: whether the server's branch is elsewhere than the checkout last heard.
        offline: whether it must not be asked.
        working: the checkout as it was found; None when there is none yet.
        tree: the commit's files; None when the checkout is at the commit already.
        limits: how long git may take.
        notes: findings about how the commit was found.
    """

    url: str
    ref: str
    commit: str
    branch: str | None
    path: Path
    git_dir: Path
    source: Literal["checkout", "cache", "fetched"]
    remote_asked: bool
    branch_moved: bool
    offline: bool
    notes: tuple[Finding, ...] = ()
    working: WorkingTree | None = None
    tree: Tree | None = None
    limits: Limits = Limits()

    @property
    def at_commit(self) -> bool:
        """Whether the checkout is at the commit already."""
        return self.working is not None and self.working.head == self.commit

    @property
    def git(self) -> Git:
        """Git where the commit's objects are."""
        if self.source == "checkout" and self.working is not None:
            return self.working.git
        return Git(self.git_dir, bare=True, transports=())

    def check(self, *, allow_dirty: bool = False) -> list[Finding]:
        """Findings before the session: how the commit was found, and work that is in no commit.

        Args:
            allow_dirty: edits of tracked files are to run, and be saved with the session.
        """
        if self.working is None:
            return [*self.notes]
        move = [] if self.at_commit else self.working.check_move()
        return [*self.notes, *move, *self.working.check(allow_dirty=allow_dirty)]


def resolve(
    url: str,
    ref: str,
    path: Path,
    *,
    cache_root: Path,
    settings: Settings | None = None,
    offline: bool = False,
    on_progress: Progress | None = None,
    limits: Limits | None = None,
) -> Resolved:
    """Find the commit that `ref` stands for, and make sure that its objects can be read.

    A hash or tag that is here already is taken without asking anybody. A branch is asked for,
    because it may have moved. What is missing is fetched into a cache of the launcher's, never
    into the checkout.

    Args:
        url: the repository's address.
        ref: a full or short hash, a tag, a branch or `HEAD`; `refs/heads/x` and `refs/tags/x` say
            which is meant when there are both.
        path: folder of the checkout (see `find_place`).
        cache_root: folder for the launcher's own copies of repositories.
        settings: what git said of the checkout when it was looked for.
        offline: ask nobody; a branch is where it was last fetched.
        on_progress: told what is being done, from any thread.
        limits: how long git may take.

    Raises:
        RepositoryError: in plain words. Nothing was changed.
    """
    address = RepositoryUrl.parse(url)
    validate_ref(ref)
    with plain_os_errors(path):
        working = open_working_tree(path, address, settings)
        limits = limits or Limits()
        cache = Cache(address, cache_root, limits, on_progress, git_is_new_enough=bool(working))
        return _Resolution(address, ref, path, offline, cache, working, limits).resolved()


class _Resolution(msgspec.Struct, eq=False, dict=True):
    """One question, and the places where it can be answered."""

    url: RepositoryUrl
    ref: str
    path: Path
    offline: bool
    cache: Cache
    working: WorkingTree | None
    limits: Limits
    asked: bool = False

    def resolved(self) -> Resolved:
        if is_full_hash(self.ref):
            return self._at(self.ref.lower())
        pinned = self._pinned_here()
        if pinned:
            return self._at(pinned)
        if self.offline:
            return self._last_fetched()
        return self._as_the_server_says()

    @property
    def _name(self) -> str:
        return self.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")

    @cached_property
    def _in_checkout(self) -> Named:
        if self.working is None or not self.working.head:
            return Named()
        return look_up(
            self.working.git, self._name, branches=f"refs/remotes/{self.working.remote}/"
        )

    @property
    def _in_cache(self) -> Named:
        if not self.cache.exists:
            return Named()
        if self.ref == "HEAD":  # not the branch of that name
            head = self.cache.git.run("cat-file", "--batch-check", input_text="HEAD^{commit}\n")
            words = head.text.split(" ")
            return Named(branch=words[0] if words[-1] != "missing" else "")
        return look_up(self.cache.git, self._name, branches="refs/heads/")

    def _pinned_here(self) -> str:
        """The commit of a tag or short hash that is here; empty when it is none or not here."""
        if self.ref == "HEAD" or self.ref.startswith("refs/heads/"):
            return ""
        here = self._pinned(self._in_checkout)
        known_branch = self._in_checkout.branch and not may_be_hash(self.ref)
        return here or ("" if known_branch else self._pinned(self._in_cache))

    def _pinned(self, named: Named) -> str:
        meanings = {"a tag": named.tag}
        if not self.ref.startswith("refs/"):
            meanings["a branch"] = named.branch
        is_ref = bool(named.tag or named.branch)
        # A branch 2024 is no hash; deadbeef may well be meant as one.
        if may_be_hash(self.ref) and (len(self.ref) >= _ABBREVIATION or not is_ref):
            meanings["the beginning of a commit hash"] = named.commit
            if named.ambiguous and not is_ref:
                raise self._ambiguous_hash()
        found = {meaning: commit for meaning, commit in meanings.items() if commit}
        if len(set(found.values())) > 1:
            raise self._ambiguous(found)
        return named.tag or ("" if named.branch else next(iter(found.values()), ""))

    def _last_fetched(self) -> Resolved:
        commit = self._branch_here()
        if not commit or self.ref.startswith("refs/tags/"):
            raise RepositoryError(
                f"'{self.ref}' was never fetched, and the server must not be asked.",
                code="repository-never-fetched",
                where=self.url.public,
                fix="Run once without --offline, with a network.",
            )
        note = Finding(
            "warning",
            "repository-branch-offline",
            f"The branch {self._name} runs at the commit last fetched, {commit[:12]}; "
            "the server was not asked whether it moved.",
            where=self.url.public,
            fix="Run without --offline when there is a network, or pin a commit hash.",
        )
        return self._at(commit, branch=self._name, notes=(note,))

    def _branch_here(self) -> str:
        """The commit of the branch when it was last fetched, into the checkout or the cache."""
        local, cached = self._in_checkout.branch, self._in_cache.branch
        if self.working is None or not local or not cached:
            return local or cached
        # What the cache has and the checkout has not was fetched later, by a check.
        return local if list_tree(self.working.git, cached) is not None else cached

    def _as_the_server_says(self) -> Resolved:
        try:
            refs = self.cache.remote_refs
        except RepositoryError as error:
            commit = self._branch_here()
            if error.code not in _UNREACHED or not commit:
                raise
            raise self._way_out(error, commit) from error
        self.asked = True
        if self.ref == "HEAD":
            if not refs.head:
                raise self._unknown([])
            return self._at(refs.head, branch=refs.head_branch or None)
        branch = "" if self.ref.startswith("refs/tags/") else refs.branches.get(self._name, "")
        tag = "" if self.ref.startswith("refs/heads/") else refs.tags.get(self._name, "")
        if branch and tag and branch != tag:
            raise self._ambiguous({"a tag": tag, "a branch": branch})
        if tag:
            self.cache.fetch()  # so that the tag is known here, and the next run asks nobody
            return self._at(tag)
        if branch:
            return self._at(branch, branch=self._name)
        if may_be_hash(self.ref):
            self.cache.fetch()
            if commit := self._pinned(self._in_cache):
                return self._at(commit, fetched=True)
        raise self._unknown([*refs.branches, *refs.tags])

    def _at(
        self,
        commit: str,
        *,
        branch: str | None = None,
        notes: tuple[Finding, ...] = (),
        fetched: bool = False,
    ) -> Resolved:
        """The answer, once the commit's objects are in reach."""
        source: Literal["checkout", "cache", "fetched"] = "fetched" if fetched else "cache"
        tree: Tree | None = None
        if self.working is not None and self.working.head != commit:
            tree = list_tree(self.working.git, commit)
        if self.working is not None and (tree is not None or self.working.head == commit):
            source = "checkout"
        elif self.cache.exists:
            tree = list_tree(self.cache.git, commit)
        if tree is None and source != "checkout":
            tree, source = self._fetched(commit), "fetched"
        words = self._words(commit, source)
        found = Finding("ok", "repository-resolved", words, where=str(self.path))
        return Resolved(
            url=self.url.public,
            ref=self.ref,
            commit=commit,
            branch=branch,
            path=self.path,
            git_dir=self.path / ".git" if source == "checkout" else self.cache.folder,
            source=source,
            remote_asked=self.asked or source == "fetched",
            branch_moved=self.asked and branch is not None and self._in_checkout.branch != commit,
            offline=self.offline,
            notes=notes or (found,),
            working=self.working,
            tree=tree,
            limits=self.limits,
        )

    def _fetched(self, commit: str) -> Tree:
        if self.offline:
            raise RepositoryError(
                f"The commit {commit[:12]} is not here, and the server must not be asked.",
                code="repository-never-fetched",
                where=self.url.public,
                fix="Run once without --offline, with a network.",
            )
        try:
            self.cache.fetch(commit)
        except RepositoryError as error:
            near = self._near_commits() if error.code == "repository-commit-missing" else []
            if not near:
                raise
            raise RepositoryError(
                f"{error.message} Near: {', '.join(near)}.",
                code=error.code,
                where=error.where,
                fix=error.fix,
            ) from error
        tree = list_tree(self.cache.git, commit)
        if tree is None:
            raise self._unknown([])
        return tree

    def _words(self, commit: str, source: str) -> str:
        what = f"{self.url.name} at {commit[:12]}"
        if self.ref.lower() != commit:
            what += f" ({self.ref})"
        place = {
            "checkout": "is here",
            "cache": "was fetched before",
            "fetched": "was fetched",
        }[source]
        asked = "" if self.asked or source == "fetched" else "; the server was not asked"
        return f"{what} {place}{asked}."

    def _unknown(self, names: list[str]) -> RepositoryError:
        from difflib import get_close_matches

        names = sorted(set(names))
        near = self._near_commits()
        near += get_close_matches(self._name, names, n=_NEAR, cutoff=0.5)
        known = near or names[:_NEAR]
        hint = f" It has: {', '.join(known)}." if known else ""
        if near:
            hint = f" Near: {', '.join(near)}."
        return RepositoryError(
            f"The repository has no branch, tag or commit '{self.ref}'.{hint}",
            code="repository-ref-unknown",
            where=self.url.public,
            fix="Check repository_commit_hash, and that it was pushed.",
        )

    def _near_commits(self) -> list[str]:
        """Commits that a mistyped hash may have meant."""
        if not may_be_hash(self.ref) or not self.cache.exists:
            return []
        commits = self.cache.git.run("rev-list", "--all").text.splitlines()
        whole = {commit[: len(self.ref)]: commit for commit in commits}
        from difflib import get_close_matches

        near = get_close_matches(self.ref.lower(), whole, n=_NEAR, cutoff=_NEAR_HASH)
        return [whole[beginning] for beginning in near]

    def _ambiguous(self, meanings: dict[str, str]) -> RepositoryError:
        said = ", ".join(f"{meaning} ({commit[:12]})" for meaning, commit in meanings.items())
        return RepositoryError(
            f"'{self.ref}' is ambiguous: {said}.",
            code="repository-ref-ambiguous",
            where=self.url.public,
            fix=f"Give the full commit hash, refs/tags/{self._name} or refs/heads/{self._name}.",
        )

    def _ambiguous_hash(self) -> RepositoryError:
        git = self.working.git if self.working and self._in_checkout.ambiguous else self.cache.git
        candidates = ", ".join(h[:16] for h in commits_beginning(git, self.ref)[:_NEAR])
        return RepositoryError(
            f"Several commits begin with '{self.ref}': {candidates}.",
            code="repository-ref-ambiguous",
            where=self.url.public,
            fix="Give the full commit hash.",
        )

    def _way_out(self, error: RepositoryError, commit: str) -> RepositoryError:
        return RepositoryError(
            error.message,
            code=error.code,
            where=error.where,
            fix=f"{error.fix} Or run {self._name} as it was last fetched, at {commit[:12]}, "
            "with --offline.",
        )
