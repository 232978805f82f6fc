"""The documented helper."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from openscope_experimental_launcher.repository import DEFAULT_REPO_PATH
from openscope_experimental_launcher.utils.git_manager import GitManager


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user cache"))


def params(lab, **others):
    return {
        "repository_url": lab.url,
        "repository_commit_hash": "main",
        "local_repository_path": str(lab.path.parent),
        **others,
    }


def test_it_brings_the_repository_to_its_commit(lab):
    manager = GitManager()
    assert manager.get_repository_path(params(lab)) == str(lab.path)
    assert manager.setup_repository(params(lab)) is True
    assert lab.checked_out() == lab.head
    first = lab.head
    lab.commit({"other": "x"})
    assert manager.setup_repository(params(lab, repository_commit_hash="")) is True
    assert lab.checked_out() == lab.head
    assert manager.setup_repository(params(lab, repository_commit_hash=first)) is True
    assert lab.checked_out() == first


def test_without_a_repository_there_is_nothing_to_do():
    assert GitManager().setup_repository({}) is True
    assert GitManager().get_repository_path({"repository_url": None}) is None


def test_a_failure_is_false_and_a_plain_word_in_the_log(lab, caplog):
    manager = GitManager()
    assert manager.setup_repository(params(lab, repository_url=lab.url + "x")) is False
    assert "There is no git repository at this address" in caplog.text
    assert "fix:" in caplog.text
    assert manager.setup_repository(params(lab, repository_url="ext::sh -c x")) is False


def test_edits_make_it_false_and_stay(lab, caplog):
    manager = GitManager()
    manager.setup_repository(params(lab))
    (lab.path / "untracked").write_text("x")
    with caplog.at_level(logging.WARNING):
        assert manager.setup_repository(params(lab)) is True
    assert "untracked" in caplog.text
    (lab.path / "flow.bonsai").write_text("<mine/>")
    assert manager.setup_repository(params(lab)) is False
    assert (lab.path / "flow.bonsai").read_text() == "<mine/>"


def test_the_default_place(lab):
    path = GitManager().get_repository_path({"repository_url": lab.url})
    assert path is not None and path.startswith(DEFAULT_REPO_PATH)
    if sys.platform == "win32":
        assert DEFAULT_REPO_PATH == "C:/BonsaiTemp"


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, openscope_experimental_launcher.utils.git_manager; "
        "print({'platformdirs', 'pydantic', 'rich', 'psutil', 'typer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
