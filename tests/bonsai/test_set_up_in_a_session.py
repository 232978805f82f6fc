"""The setup script as a part of a session: its output live, its time limited, then verified."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import git
from openscope_experimental_launcher.engines.bonsai.launch import PLAYER_MODULE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")

PROGRAM = f'#!/bin/sh\nexec "{sys.executable}" -P -m {PLAYER_MODULE} "$@"\n'
INSTALL = "mkdir -p ../.bonsai; cp program ../.bonsai/Bonsai.exe; chmod +x ../.bonsai/Bonsai.exe\n"
WORKFLOW = (Path(__file__).parent / "workflows" / "minimal.bonsai").read_text("utf-8-sig")


@pytest.fixture
def experiment(make_repository, write_parameters, workplace) -> Callable[..., Path]:
    """A pinned workflow whose repository installs Bonsai by `bonsai/setup.sh`."""

    def make(setup: str, **values: Any) -> Path:
        files = {
            "minimal.bonsai": WORKFLOW,
            "bonsai/setup.sh": setup,
            "bonsai/program": PROGRAM,
            ".gitignore": ".bonsai/\n",
        }
        repository, commit = make_repository(files)
        return write_parameters(
            **{
                "repository_url": str(repository),
                "repository_commit_hash": commit,
                "local_repository_path": str(workplace / "checkouts"),
                "script_path": "minimal.bonsai",
                "bonsai_setup_script": "bonsai/setup.sh",
                "subject_id": "614173",
                "user_id": "ana",
                "OutputFolder": str(workplace / "data"),
                **values,
            }
        )

    return make


def test_it_installs_and_its_output_is_seen_as_it_comes(experiment, openscope, workplace) -> None:
    file = experiment("echo 'Fetching Bonsai'\necho 'a word aside' >&2\n" + INSTALL)
    checked = openscope("check", str(file))
    assert checked.returncode == 0, checked.stdout
    assert "bonsai/setup.sh will install it" in checked.stdout
    done = openscope("run", str(file), "--yes", env={"OPENSCOPE_PLAYER_DURATION_S": "0.1"})
    assert done.returncode == 0, done.stdout + done.stderr
    for line in ("| Fetching Bonsai", "| a word aside"):
        assert line in done.stdout
        assert done.stdout.index(line) < done.stdout.index("stage: acquisition")
    again = openscope("run", str(file), "--yes", env={"OPENSCOPE_PLAYER_DURATION_S": "0.1"})
    assert "Fetching" not in again.stdout, "nothing was missing"
    assert again.returncode == 0


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ("echo No network >&2; exit 3\n", "failed with exit code 3: No network"),
        ("echo done\n", "ran without an error, but"),
        ("printf 'Licence? [y/n] '; sleep 60\n", "was stopped after 1 s; its last words: Licence?"),
    ],
    ids=["fails", "useless", "hangs"],
)
def test_a_set_up_that_does_not_work_stops_the_session(
    experiment, openscope, workplace, own_state, setup, said
) -> None:
    file = experiment(setup, bonsai_setup_timeout_s=1)
    start = time.monotonic()
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 1
    assert said in done.stderr
    assert "bonsai_setup_timeout_s" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert time.monotonic() - start < 20
    assert not (workplace / "data").exists()


def test_what_is_still_missing_afterwards_is_in_the_journal(
    experiment, openscope, workplace
) -> None:
    config = (
        '<PackageConfiguration><Packages><Package id="Bonsai.Vision" version="2.8.0"/></Packages>'
        "</PackageConfiguration>"
    )
    file = experiment(INSTALL + f"echo '{config}' > ../.bonsai/Bonsai.config\n")
    openscope("run", str(file), "--yes", env={"OPENSCOPE_PLAYER_DURATION_S": "0.1"})
    (session,) = (workplace / "data").iterdir()
    events = [json.loads(line) for line in (session / "journal.jsonl").read_bytes().splitlines()]
    codes = [e["data"]["code"] for e in events if e["name"] == "finding.reported"]
    assert "bonsai-package-missing" in codes


def test_a_rehearsal_installs_nothing(experiment, openscope, workplace) -> None:
    file = experiment("touch ../ran\n")
    done = openscope("run", str(file), "--yes", "--rehearse", "--set", "rehearsal_duration_s=0.1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(workplace.rglob("ran"))
    assert git(workplace / "checkouts" / "experiment", "status", "--short") == ""
