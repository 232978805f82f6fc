"""Which code of the launcher runs is read from files, as git and pip leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from conftest import git
from openscope_experimental_launcher.metadata.launcher_code import launcher_code


def test_a_checkout_tells_its_commit(
    make_repository: Callable[..., tuple[Path, str]], tmp_path: Path
) -> None:
    repository, commit = make_repository({"src/launcher/__init__.py": ""})
    package = repository / "src" / "launcher"
    assert launcher_code("1.0", package) == {"version": "1.0", "commit": commit}
    git(repository, "remote", "add", "other", "https://example.org/other.git")
    git(repository, "remote", "add", "origin", "https://me:secret@example.org/x.git")
    git(repository, "pack-refs", "--all")
    told = launcher_code("1.0", package)
    assert told == {"version": "1.0", "commit": commit, "url": "https://***@example.org/x.git"}
    tree = tmp_path / "tree"
    git(repository, "worktree", "add", "--quiet", "-b", "feature/x", str(tree))
    assert launcher_code("1.0", tree / "src" / "launcher")["commit"] == commit
    git(repository, "checkout", "--quiet", "--detach")
    assert launcher_code("1.0", package)["commit"] == commit


def test_what_was_installed_from_a_repository_tells_where_from(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "launcher"
    package.mkdir(parents=True)
    assert launcher_code("1.0", package) == {"version": "1.0"}
    info = package.parent / "launcher-1.0.dist-info"
    info.mkdir()
    vcs = {"vcs": "git", "commit_id": "ab" * 20}
    origin = {"url": "https://example.org/x.git", "vcs_info": vcs}
    (info / "direct_url.json").write_text(json.dumps(origin))
    assert launcher_code("1.0", package) == {
        "version": "1.0",
        "commit": "ab" * 20,
        "url": "https://example.org/x.git",
    }
