"""Parameter files as labs have them load, check and rehearse unchanged.

Only the address of their repository is another: one that is here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bonsai.conftest import mapping, typed, workflow_xml
from metadata.conftest import sealed_with, wait_for
from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.base.options import RunOptions
from openscope_experimental_launcher.session.record import read_record

FILES = sorted((Path(__file__).parent / "files").glob("*.json"))
RIG = """
rig_id = "behavior 3"
data_drive = 'E:'
stimulus_port = 'COM3'
start_orientation = 45
"""
MAKE_TABLE = """
import pathlib
def make_table(folder, trials=1, seed=0):
    rows = "".join(f"{trial},{seed}\\n" for trial in range(trials))
    pathlib.Path(folder, "table.csv").write_text("trial,seed\\n" + rows)
"""
SUMMARY = """
import json, pathlib
def run_post_acquisition(param_file):
    values = json.loads(pathlib.Path(param_file).read_text())
    folder = pathlib.Path(values["output_session_folder"])
    (folder / "summary.txt").write_text(values["subject_id"])
    return 0
"""
NEEDS_ITS_PROBLEM = {
    "a_labs_own_steps": {"step-unknown"},
    "texts_with_braces": {"placeholder-unknown"},
    "central_logs": {"placeholder-unknown"},
    "comments_and_blanks": {"placeholder-unknown"},
    "matlab_shared_engine": {"matlab-entrypoint-elsewhere"},
    "two_photon_with_steps": {"placeholder-unknown"},
}
"""The warnings that files give rise to, beside keys of their own and what a rehearsal replaces."""


@pytest.fixture
def lab(make_repository: Any, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The repository of the files, and the rig's file; returns the repository's address."""
    nodes = [
        mapping("Value", "Orientation"),
        typed("IntProperty", "0"),
        *(mapping("Value", name) for name in ("Subject", "TablePath", "BlockName")),
        *(typed("StringProperty", "x") for _ in range(3)),
    ]
    edges = ((0, 1), (2, 5), (3, 6), (4, 7))
    repository, _ = make_repository(
        {
            "workflows/oddball.bonsai": workflow_xml(*nodes, edges=edges).decode("utf-8"),
            "bonsai/setup.cmd": "echo set up\n",
            "code/tasks/flashes.py": "print('flashes')\n",
            "code/stimuli/make_table.py": MAKE_TABLE,
            "code/matlab/run_gratings.m": "function run_gratings(folder, varargin)\nend\n",
            "code/after/summary.py": SUMMARY,
        }
    )
    rig = workplace / "rig.toml"
    rig.write_text(RIG, encoding="utf-8")
    monkeypatch.setenv("OPENSCOPE_RIG_CONFIG", str(rig))
    checkouts = str(workplace.parent / "checkouts")
    monkeypatch.setattr(
        "openscope_experimental_launcher.utils.git_manager.DEFAULT_REPO_PATH", checkouts
    )
    return str(repository)


def overrides(file: Path, repository: str) -> dict[str, Any]:
    given = {
        "repository_url": repository,
        "rehearsal_duration_s": 0.1,
        # They would be at work on what a test looks at; one test of each asks for them.
        "session_report": False,
        "session_metadata": False,
    }
    if "repository_url" not in json.loads(file.read_bytes().decode("utf-8-sig")):
        del given["repository_url"]
    return given


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_loads_and_rehearses(file: Path, lab: str, workplace: Path) -> None:
    options = RunOptions(
        overrides=overrides(file, lab), rehearse=True, defaults=True, interactive=False
    )
    experiment = BaseExperiment(options)
    assert experiment.run(file), experiment.outcome
    session = Path(str(experiment.session_directory))
    assert session.is_relative_to(workplace / "rehearsal")
    record = read_record(session / "journal.jsonl")
    assert record.closed is not None
    assert record.closed["outcome"] == "completed"
    outcomes = {step["step"]: step["outcome"] for step in record.steps}
    assert set(outcomes.values()) <= {"ok", "skipped"}, outcomes
    warned = {finding["code"] for finding in record.findings if finding["level"] == "warning"}
    usual = {"parameter-unknown", "repository-none", "step-warning", "bonsai-cannot-be-asked"}
    rehearsals = {code for code in warned if code.startswith("rehearsal-")}
    assert warned - usual - rehearsals == NEEDS_ITS_PROBLEM.get(file.stem, set())
    # Nothing of what belongs to the rig was made beside the rehearsal's own folder.
    made = {path.name for path in workplace.iterdir()}
    assert made == {"experiment", "rig.toml", "rehearsal"}


def test_what_the_files_ask_for_was_done(lab: str, workplace: Path) -> None:
    file = next(file for file in FILES if file.stem == "two_photon_with_steps")
    options = RunOptions(overrides=overrides(file, lab), rehearse=True, interactive=False)
    experiment = BaseExperiment(options)
    assert experiment.run(file), experiment.outcome
    session = Path(str(experiment.session_directory))
    assert session.parent == workplace / "rehearsal" / "E" / "sessions"
    assert (session / "table.csv").read_text().count("\n") == 13
    for place in ("store/openscope/801234", "F/backup"):
        copy = workplace / "rehearsal" / place / session.name
        assert (copy / "table.csv").read_bytes() == (session / "table.csv").read_bytes()


@pytest.mark.timeout(300)
def test_its_standard_metadata_are_those_of_a_rehearsal(lab: str, workplace: Path) -> None:
    file = next(file for file in FILES if file.stem == "two_photon_with_steps")
    given = {**overrides(file, lab), "session_metadata": True}
    experiment = BaseExperiment(RunOptions(overrides=given, rehearse=True, interactive=False))
    assert experiment.run(file), experiment.outcome
    session = Path(str(experiment.session_directory))
    wait_for(lambda: sealed_with(session, "acquisition.json"))
    told = json.loads((session / "acquisition.json").read_bytes())
    assert "REHEARSAL" in told["notes"]
    assert told["acquisition_type"] == "two photon day 3"
    assert told["protocol_id"] == ["2450", "2451"]
    streams = {s["object_type"]: s for s in told["data_streams"]}
    assert streams["External data stream"]["modalities"][0]["abbreviation"] == "pophys"
    assert streams["Data stream"]["code"][0]["run_script"] == "workflows/oddball.bonsai"
    assert streams["Data stream"]["code"][0]["core_dependency"]["name"] == "Bonsai"
    described = json.loads((session / "data_description.json").read_bytes())
    assert described["data_level"] == "simulated"


def test_all_are_checked_in_one_table(
    openscope: Callable[..., subprocess.CompletedProcess[str]], lab: str
) -> None:
    folder = str(FILES[0].parent)
    done = openscope("check", folder, "--rehearse", "--set", f"repository_url={lab}")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    for file in FILES:
        assert any(f" {file.name} " in line for line in lines)
    assert lines[-1].startswith(f"{len(FILES)} files: all can run")
    if sys.platform == "win32":
        return
    refused = openscope("check", folder, "--set", f"repository_url={lab}")
    assert refused.returncode == 1
    first = next(line for line in refused.stdout.splitlines() if "first_generation.json" in line)
    assert first.startswith("✗")
    assert "Traceback" not in refused.stdout + refused.stderr


def test_a_broken_file_does_not_hide_the_others(
    openscope: Callable[..., subprocess.CompletedProcess[str]], workplace: Path
) -> None:
    folder = workplace / "files"
    folder.mkdir()
    (folder / "good.json").write_text('{"launcher": "base"}')
    (folder / "broken.JSON").write_text("{,}")
    (folder / "wrong.json").write_text('{"stop_grace_s": "x", "kill_threshold": "y"}')
    (folder / "no.repository.json").write_text(
        '{"launcher": "base", "repository_url": "https://127.0.0.1:9/x"}'
    )
    (folder / "notes.txt").write_text("")
    done = openscope("check", str(folder))
    assert done.returncode == 1
    assert done.stdout.count("✗") == 3
    assert "line 1" in done.stdout
    assert "stop_grace_s must be a number" in done.stdout
    assert "kill_threshold must be a number" in done.stdout
    assert "4 files: 3 cannot run yet, 1 with warnings." in done.stdout
    (folder / "empty").mkdir()
    empty = openscope("check", str(folder / "empty"))
    assert (empty.returncode, "no parameter files" in empty.stderr) == (1, True)
    (folder / "empty" / "rig 2").mkdir()
    (folder / "good.json").rename(folder / "empty" / "rig 2" / "good.json")
    assert f"as {folder / 'empty' / 'rig 2'}" in openscope("check", str(folder / "empty")).stderr
