"""Real git repositories in temporary folders, with nobody's own git settings."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from openscope_experimental_launcher.repository import Checkout, Resolved, prepare, resolve


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture(autouse=True)
def own_git_settings(tmp_path_factory, monkeypatch):
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(
        "[user]\nname = Tester\nemail = t@example.org\n[init]\ndefaultBranch = main\n"
    )
    for name in [name for name in os.environ if name.startswith(("GIT_", "SSH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home


@dataclass
class Lab:
    """A repository on a server, and a rig that uses it."""

    remote: Path
    path: Path
    cache: Path

    @property
    def url(self) -> str:
        return str(self.remote)

    def commit(self, files: dict[str, str | bytes], message: str = "work") -> str:
        """Commit to the branch that is checked out on the server."""
        for name, content in files.items():
            target = self.remote / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
            git(self.remote, "add", "--force", "--", name)
        git(self.remote, "commit", "--quiet", "--allow-empty", "-m", message)
        return self.head

    def server(self, *arguments: str) -> str:
        return git(self.remote, *arguments)

    def local(self, *arguments: str) -> str:
        return git(self.path, *arguments)

    @property
    def head(self) -> str:
        return self.server("rev-parse", "HEAD")

    def snapshot(self) -> dict[str, tuple[int, bytes]]:
        """Every file of the checkout, git's own included."""
        return {
            str(file.relative_to(self.path)): (file.stat().st_mtime_ns, file.read_bytes())
            for file in sorted(self.path.rglob("*"))
            if file.is_file()
        }

    def resolve(self, ref: str = "main", **options) -> Resolved:
        return resolve(
            options.pop("url", self.url), ref, self.path, cache_root=self.cache, **options
        )

    def run(self, ref: str = "main", *, allow_dirty: bool = False, **options) -> Checkout:
        return prepare(self.resolve(ref, **options), allow_dirty=allow_dirty)

    def plug_in(self) -> None:
        self.remote.with_name("unplugged").rename(self.remote)

    def unplug(self) -> None:
        self.remote.rename(self.remote.with_name("unplugged"))

    def checked_out(self) -> str:
        return self.local("rev-parse", "HEAD")


@pytest.fixture
def lab(tmp_path) -> Lab:
    """One commit on `main` with a workflow. Spaces and umlauts are in every path."""
    place = tmp_path / "Gerät 1"
    remote = place / "server files" / "oddball task.git"
    remote.mkdir(parents=True)
    git(remote, "init", "--quiet")
    lab = Lab(remote, place / "rig ü" / "oddball task", place / "cache dir")
    lab.commit({"flow.bonsai": "<one/>\n", "src/größe.py": "print(1)\n"})
    return lab


@dataclass
class GitCounter:
    log: Path

    @property
    def commands(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def reset(self) -> None:
        self.log.unlink(missing_ok=True)


@pytest.fixture
def git_calls(tmp_path, monkeypatch) -> GitCounter:
    """Every git that is started, by a git on the PATH that writes itself down first."""
    folder = tmp_path / "counting"
    folder.mkdir()
    log = folder / "calls"
    program = folder / "git"
    program.write_text(f'#!/bin/sh\necho "$*" >> "{log}"\nexec "{shutil.which("git")}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return GitCounter(log)
