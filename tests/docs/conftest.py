"""A small experiment that the examples of the pages run on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from docs.pages import git

SCRIPT = """\
import os
import sys
from pathlib import Path

folder = Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
(folder / "stimulus_table.csv").write_text("trial\\n1\\n2\\n")
print(sys.argv[1:])
"""


@pytest.fixture
def private_environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which the launcher keeps everything below `tmp_path`."""
    private = {
        "OPENSCOPE_STATE_DIRECTORY": str(tmp_path / "state"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_DATA_HOME": str(tmp_path / "share"),
        "LOCALAPPDATA": str(tmp_path / "local"),
    }
    return {**os.environ, **private}


@pytest.fixture
def experiment_folder(tmp_path: Path) -> Path:
    """A folder with `params.json`, which pins a commit of a real repository."""
    repository = tmp_path / "oddball"
    repository.mkdir()
    (repository / "oddball.py").write_text(SCRIPT, encoding="utf-8")
    git("init", "--quiet", "--initial-branch=main", ".", folder=repository)
    git("add", ".", folder=repository)
    author = ("-c", "user.name=Lab", "-c", "user.email=lab@localhost")
    git(*author, "commit", "--quiet", "--message=The experiment", folder=repository)
    folder = tmp_path / "place"
    folder.mkdir()
    values = {
        "subject_id": "614173",
        "user_id": "ana",
        "launcher": "python",
        "repository_url": str(repository),
        "repository_commit_hash": git("rev-parse", "HEAD", folder=repository),
        "local_repository_path": str(tmp_path / "checkouts"),
        "script_path": "oddball.py",
        "script_parameters": {"trials": 2},
        "OutputFolder": str(folder / "data"),
    }
    (folder / "params.json").write_text(json.dumps(values), encoding="utf-8")
    return folder
