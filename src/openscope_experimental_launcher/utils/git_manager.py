"""`GitManager`: the experiment's repository under its documented name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import RepositoryError
from ..repository import (
    DEFAULT_REPO_PATH,
    Checkout,
    Resolved,
    default_cache_root,
    find_place,
    prepare,
    repository_path,
    resolve,
)
from ..repository.git import Progress

_log = logging.getLogger(__name__)


class GitManager:
    """Brings the repository that a parameter file names to its commit.

    Subclasses may replace a method, and `BaseExperiment.git_manager` may be replaced by one.

    Args:
        allow_dirty: go on with edits of tracked files in the checkout.
        offline: ask no server; a branch is where it was last fetched.
        on_progress: told what is being done, from any thread.

    Attributes:
        checkout: the repository after a successful `setup_repository`, else None.
        error: why the last `setup_repository` returned False, else None.
    """

    def __init__(
        self,
        *,
        allow_dirty: bool = False,
        offline: bool = False,
        on_progress: Progress = _log.info,
    ) -> None:
        self.allow_dirty = allow_dirty
        self.offline = offline
        self.on_progress = on_progress
        self.checkout: Checkout | None = None
        self.error: RepositoryError | None = None
        self._resolved: tuple[_Asked, Resolved] | None = None

    def resolve(self, params: Mapping[str, Any]) -> Resolved | None:
        """Find the commit that the parameters ask for, without touching the checkout.

        Args:
            params: as for `setup_repository`.

        Returns:
            The commit; None when the parameters name no repository.

        Raises:
            RepositoryError: in plain words.
        """
        if not params.get("repository_url"):
            return None
        asked = _asked(params)
        place = find_place(asked.url, asked.local_root)
        found = resolve(
            asked.url,
            asked.ref,
            place.path,
            settings=place.settings,
            cache_root=default_cache_root(),
            offline=self.offline,
            on_progress=self.on_progress,
        )
        self._resolved = (asked, found)
        return found

    def setup_repository(self, params: Mapping[str, Any]) -> bool:
        """Bring the checkout to the commit that the parameters ask for.

        Args:
            params: `repository_url`, `repository_commit_hash` (default `main`) and
                `local_repository_path` (default `DEFAULT_REPO_PATH`) are read.

        Returns:
            True when it is there, or when no repository is named; False after logging in plain
            words what is wrong. Local edits are never lost: they make it False.
        """
        self.checkout, self.error = None, None
        try:
            found = self._already_resolved(params) or self.resolve(params)
            self._resolved = None
            if found is None:
                return True
            self.checkout = prepare(
                found, allow_dirty=self.allow_dirty, on_progress=self.on_progress
            )
        except RepositoryError as error:
            self.error = error
            _log.error(error.render())
            return False
        for finding in self.checkout.findings:
            _log.log(logging.INFO if finding.level == "ok" else logging.WARNING, finding.render())
        return True

    def get_repository_path(self, params: Mapping[str, Any]) -> str | None:
        """The checkout's folder; None when the parameters name no repository.

        Raises:
            RepositoryError: the address cannot be used.
        """
        if not params.get("repository_url"):
            return None
        asked = _asked(params)
        return str(repository_path(asked.url, asked.local_root))

    def _already_resolved(self, params: Mapping[str, Any]) -> Resolved | None:
        """What `resolve` found for the same question; it is good once, since branches move."""
        known, self._resolved = self._resolved, None
        if known is None or not params.get("repository_url"):
            return None
        return known[1] if known[0] == _asked(params) else None


class _Asked(NamedTuple):
    url: str
    ref: str
    local_root: str


def _asked(params: Mapping[str, Any]) -> _Asked:
    return _Asked(
        str(params["repository_url"]),
        str(params.get("repository_commit_hash") or "main"),
        str(params.get("local_repository_path") or DEFAULT_REPO_PATH),
    )
