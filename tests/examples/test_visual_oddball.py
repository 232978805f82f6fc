"""The packaged example experiment, run as the launcher runs it."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest

EXAMPLE = Path(str(files("openscope_experimental_launcher") / "examples" / "visual_oddball"))
SCRIPT = EXAMPLE / "visual_oddball.py"
COLUMNS = """start_time stop_time stim_name stim_type stim_block stim_index trial_type
    Orientation Contrast Spatial_Freq Temporal_Freq"""


def begin(folder: Path, **parameters: object) -> subprocess.Popen[str]:
    arguments = [text for name, value in parameters.items() for text in (f"--{name}", str(value))]
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-I", str(SCRIPT), *arguments],
        env={**os.environ, "OPENSCOPE_SESSION_DIRECTORY": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        creationflags=subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
    )


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_writes_a_stimulus_table_and_the_running_wheel(tmp_path):
    child = begin(tmp_path, number_of_trials=12, trial_duration_s=0.05, seed=7)
    out, errors = child.communicate(timeout=30)
    assert (child.returncode, errors) == (0, "")
    assert out.splitlines()[0].startswith("visual oddball: 12 trials,")
    assert "trial  12 of 12: " in out
    assert out.splitlines()[-1] == "12 of 12 trials saved"
    table = rows(tmp_path, "stimulus_table.csv")
    assert list(table[0]) == COLUMNS.split()
    assert [int(row["stim_index"]) for row in table] == list(range(12))
    assert [int(row["stim_block"]) for row in table] == [0] * 10 + [1] * 2
    times = [float(row[name]) for row in table for name in ("start_time", "stop_time")]
    assert times == sorted(times)
    assert 0.58 < times[-1] < 2
    wheel = rows(tmp_path, "running_wheel.csv")
    assert len(wheel) >= 60 * 0.58
    assert float(wheel[1]["time"]) == pytest.approx(1 / 60, abs=1e-4)


def test_the_same_seed_shows_the_same_trials(tmp_path):
    def shown(name: str, seed: int) -> list[tuple[str, str]]:
        child = begin(
            tmp_path / name,
            number_of_trials=60,
            trial_duration_s=0.002,
            deviant_probability=0.4,
            seed=seed,
        )
        child.communicate(timeout=30)
        table = rows(tmp_path / name, "stimulus_table.csv")
        return [(row["trial_type"], row["Orientation"]) for row in table]

    first = shown("a", 3)
    assert first == shown("b", 3)
    assert first != shown("c", 4)
    kinds = [kind for kind, _ in first]
    assert kinds[0] == "standard"
    assert {"standard", "deviant"} == set(kinds)
    assert ("deviant", "deviant") not in pairwise(kinds)


def test_ends_its_trial_and_keeps_its_data_when_asked(tmp_path):
    child = begin(tmp_path, number_of_trials=100, trial_duration_s=0.2)
    until = time.monotonic() + 60
    while not (tmp_path / "stimulus_table.csv").exists() or not rows(
        tmp_path, "stimulus_table.csv"
    ):
        assert time.monotonic() < until
        time.sleep(0.02)
    child.send_signal(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGTERM)
    out, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (0, "")
    saved = len(rows(tmp_path, "stimulus_table.csv"))
    assert 1 <= saved < 20
    assert out.splitlines()[-1] == f"{saved} of 100 trials saved (asked to end early)"
    assert out.count(": standard") + out.count(": deviant") == saved
    assert rows(tmp_path, "running_wheel.csv")


def test_rows_are_on_the_disk_as_it_goes(tmp_path):
    child = begin(tmp_path, number_of_trials=100, trial_duration_s=0.1)
    until = time.monotonic() + 60
    table = tmp_path / "stimulus_table.csv"
    while not table.exists() or len(rows(tmp_path, "stimulus_table.csv")) < 3:
        assert time.monotonic() < until
        time.sleep(0.02)
    child.kill()
    child.communicate()
    assert len(rows(tmp_path, "stimulus_table.csv")) >= 3


@pytest.mark.parametrize(
    "wrong",
    [{"number_of_trials": 0}, {"deviant_probability": 2}, {"trial_duration_s": "nan"}],
)
def test_refuses_parameters_that_make_no_sense(tmp_path, wrong):
    child = begin(tmp_path, **wrong)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 2
    assert f"--{next(iter(wrong))} must be" in errors
    assert not list(tmp_path.iterdir())


def test_never_writes_over_data(tmp_path):
    (tmp_path / "stimulus_table.csv").write_text("precious")
    child = begin(tmp_path)
    child.communicate(timeout=60)
    assert child.returncode == 1
    assert (tmp_path / "stimulus_table.csv").read_text() == "precious"


def test_explains_itself():
    assert "OPENSCOPE_SESSION_DIRECTORY" in (EXAMPLE / "README.md").read_text(encoding="utf-8")
