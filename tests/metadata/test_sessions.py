"""Standard metadata at the end of real sessions, and later."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aind_data_schema.core.acquisition import Acquisition
from aind_data_schema.core.data_description import DataDescription
from aind_data_schema.core.processing import Processing

from metadata.conftest import COMPLETE, sealed_with, wait_for

Openscope = Callable[..., "subprocess.CompletedProcess[str]"]

# What is made afterwards leaves the processor to everybody else.
pytestmark = pytest.mark.timeout(300)

SCRIPT = """
import os, pathlib, sys, time
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
(folder / "stimulus_table.csv").write_text("start_time,stop_time,stim_name\\n0.1,0.2,gratings\\n")
print("ready", flush=True)
time.sleep({seconds})
{end}
"""
RECORDS = {"acquisition.json", "data_description.json", "processing.json"}


def script(seconds: float = 0.5, end: str = "") -> str:
    return SCRIPT.format(seconds=seconds, end=end)


@pytest.fixture
def with_metadata(python_experiment: Callable[..., Path]) -> Callable[..., Path]:
    """A pinned Python experiment whose sessions get standard metadata."""
    return lambda text, **values: python_experiment(text, **{"session_metadata": True, **values})


def only_session(workplace: Path) -> Path:
    (folder,) = (workplace / "data").iterdir()
    return folder


def verified(openscope: Openscope, folder: Path) -> bool:
    return openscope("verify", str(folder)).returncode == 0


def test_a_session_that_ended_gets_its_records_in_one_sealing(
    openscope: Openscope, with_metadata: Callable[..., Path], workplace: Path
) -> None:
    file = with_metadata(script(), session_report=True, **COMPLETE)
    assert openscope("run", str(file), "--yes").returncode == 0
    folder = only_session(workplace)
    wait_for(lambda: sealed_with(folder, "report.html"))
    files = json.loads((folder / "manifest.json").read_bytes())["files"]
    assert files.keys() >= RECORDS  # sealed with the report
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
    assert [event["name"] for event in events].count("manifest.sealed") == 2
    assert verified(openscope, folder)
    Acquisition.model_validate_json((folder / "acquisition.json").read_bytes())
    DataDescription.model_validate_json((folder / "data_description.json").read_bytes())
    Processing.model_validate_json((folder / "processing.json").read_bytes())
    done = openscope("validate", str(folder), "--json")
    (told,) = json.loads(done.stdout).values()
    assert (done.returncode, told["valid"]) == (0, True), done.stdout
    assert [part["name"] for part in told["parts"]] == [
        "name",
        "files",
        "schemas",
        "manifest",
        "journal",
    ]
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "acquisition.json, data_description.json, processing.json" in report
    assert "not listed" not in report
    recorded = json.loads((folder / "acquisition.json").read_bytes())
    (epoch,) = recorded["stimulus_epochs"]
    assert epoch["stimulus_name"] == "gratings"
    code, launcher = recorded["data_streams"][0]["code"]
    assert code["run_script"] == "task.py"
    assert launcher["language_version"] == ".".join(map(str, sys.version_info[:3]))


def test_they_are_completed_later_and_sealed_anew(
    openscope: Openscope, with_metadata: Callable[..., Path], workplace: Path
) -> None:
    file = with_metadata(script(end="raise ValueError('no camera')"), modality="behavior")
    assert openscope("run", str(file), "--yes").returncode == 1
    folder = only_session(workplace)
    wait_for(lambda: sealed_with(folder, "acquisition.json"))
    assert "no camera" in json.loads((folder / "acquisition.json").read_bytes())["notes"]
    first = openscope("metadata", folder.name)
    assert first.returncode == 1
    assert "data_description.json lacks institution" in first.stdout
    assert "--set institution=AIND" in first.stdout
    assert openscope("validate", str(folder)).returncode == 1
    given = ["institution=AIND", "funding_source=NINDS", "investigators=Ana Berg"]
    given += ["project_name=OpenScope", "stimulus_modalities=Visual", "mouse_platform_name=disc"]
    sets = [word for value in given for word in ("--set", value)]
    later = openscope("metadata", str(folder), *sets, "--json")
    assert later.returncode == 0, later.stdout + later.stderr
    (told,) = json.loads(later.stdout).values()
    assert (set(told["files"]), told["missing"]) == (RECORDS, [])
    assert verified(openscope, folder)
    assert openscope("validate", str(folder)).returncode == 0
    # What was given is kept with the session; damage to other files is not sealed over.
    (folder / "stimulus_table.csv").write_bytes(b"turned")
    assert openscope("metadata", str(folder)).returncode == 1  # the table cannot be read
    assert not verified(openscope, folder)
    described = json.loads((folder / "data_description.json").read_bytes())
    assert described["institution"]["abbreviation"] == "AIND"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_session_whose_launcher_was_killed_gets_its_records(
    openscope: Openscope, with_metadata: Callable[..., Path], workplace: Path
) -> None:
    file = with_metadata(script(seconds=3), **COMPLETE)
    command = [sys.executable, "-m", "openscope_experimental_launcher", "run", str(file), "--yes"]
    launcher = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    data = workplace / "data"
    wait_for(lambda: any(b"ready" in log.read_bytes() for log in data.glob("*/logs/stdout.log")))
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    folder = only_session(workplace)
    wait_for(lambda: sealed_with(folder, "acquisition.json"))
    assert json.loads((folder / "acquisition.json").read_bytes())["data_streams"]
    assert openscope("validate", str(folder)).returncode == 0


def test_the_launcher_itself_does_not_import_the_library(
    with_metadata: Callable[..., Path], workplace: Path
) -> None:
    file = with_metadata(script(), post_acquisition_pipeline=["session_creator"])
    program = (
        "import sys\n"
        "from openscope_experimental_launcher import BaseExperiment\n"
        f"assert BaseExperiment().run({str(file)!r})\n"
        "sys.exit(any(name.startswith('aind_data_schema') for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0
    wait_for(lambda: sealed_with(only_session(workplace), "acquisition.json"))


def test_neither_is_made_when_the_parameters_say_so(
    openscope: Openscope, python_experiment: Callable[..., Path], own_state: Path
) -> None:
    assert openscope("run", str(python_experiment(script())), "--yes").returncode == 0
    assert not (own_state / "afterwards.log").exists()


def test_the_step_makes_them_on_a_closed_session(
    openscope: Openscope, python_experiment: Callable[..., Path], workplace: Path
) -> None:
    entry = {"module_path": "session_creator", "module_parameters": {"project_name": "Of the step"}}
    file = python_experiment(script(), post_acquisition_pipeline=[entry], **COMPLETE)
    assert openscope("run", str(file), "--yes").returncode == 0
    folder = only_session(workplace)
    assert not (folder / "acquisition.json").exists()
    done = openscope("step", "session_creator", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert verified(openscope, folder)
    described = json.loads((folder / "data_description.json").read_bytes())
    assert described["project_name"] == "Of the step"
    # It and the verb make the same.
    assert openscope("metadata", str(folder)).returncode == 0
    assert verified(openscope, folder)


def test_what_cannot_be_asked_for_is_said(
    openscope: Openscope, past: Callable[..., Any], complete: Callable[..., Path]
) -> None:
    unknown = openscope("metadata", str(complete()), "--set", "projct_name=x")
    assert unknown.returncode == 1
    assert "Did you mean 'project_name'?" in unknown.stderr
    open_one = past(subject_id="7").started().written()
    never_closed = openscope("metadata", str(open_one))
    assert never_closed.returncode == 1
    assert "openscope recover" in never_closed.stderr
    assert "Traceback" not in never_closed.stderr + unknown.stderr


def test_without_the_library_everything_else_goes_on(
    openscope: Openscope,
    with_metadata: Callable[..., Path],
    workplace: Path,
    python_without_extra: Path,
) -> None:
    def without(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(python_without_extra), "-m", "openscope_experimental_launcher", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", check=False, timeout=100
        )

    pipeline = ["session_creator"]
    file = with_metadata(script(), session_report=True, post_acquisition_pipeline=pipeline)
    checked = without("check", str(file))
    assert checked.returncode == 0
    how = 'python -m pip install "openscope-experimental-launcher[aind]"'
    assert how in checked.stdout
    assert without("run", str(file), "--yes").returncode == 0
    folder = only_session(workplace)
    wait_for(lambda: sealed_with(folder, "report.html"))
    assert not RECORDS & {path.name for path in folder.iterdir()}
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "openscope-experimental-launcher[aind]" in report
    asked = without("metadata", str(folder))
    assert (asked.returncode, how in asked.stderr) == (1, True)
    validated = without("validate", str(folder))
    assert validated.returncode == 0
    assert "were not checked" in validated.stdout
    # With it, what the step left to be done later is done.
    assert openscope("catch-up").returncode == 0
    assert sealed_with(folder, "acquisition.json")
    assert verified(openscope, folder)
