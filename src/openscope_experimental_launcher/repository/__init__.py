"""The experiment's repository: exactly the commit that was asked for, and nobody's work lost.

`resolve` finds the commit and looks, `GitSource` reads the commit's files, `prepare` brings the
checkout there, `save_state` writes down what ran.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .addresses import RepositoryUrl, validate_ref, validate_url
from .cache import Cache
from .checkout import Checkout, current_patch, prepare, save_state
from .git import Git, Limits
from .resolve import Resolved, resolve
from .source import GitSource
from .working import WorkingTree, find_place, repository_path

if sys.platform == "win32":
    DEFAULT_REPO_PATH = "C:/BonsaiTemp"
else:
    # As platformdirs says, which would have to be imported for it.
    DEFAULT_REPO_PATH = str(
        Path(os.environ.get("XDG_DATA_HOME") or Path("~/.local/share").expanduser())
        / "openscope"
        / "repositories"
    )

__all__ = [
    "DEFAULT_REPO_PATH",
    "Cache",
    "Checkout",
    "Git",
    "GitSource",
    "Limits",
    "RepositoryUrl",
    "Resolved",
    "WorkingTree",
    "current_patch",
    "default_cache_root",
    "find_place",
    "prepare",
    "repository_path",
    "resolve",
    "save_state",
    "validate_ref",
    "validate_url",
]


def default_cache_root() -> Path:
    """Folder of the launcher's own copies of repositories, for this user."""
    if sys.platform == "linux":  # as platformdirs says, without its import
        base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        return Path(base) / "openscope" / "repositories"
    from platformdirs import user_cache_path

    return user_cache_path("openscope", appauthor=False) / "repositories"
