"""Sessions of the engine `matlab`, with stand-ins for what only a rig has."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from matlab.conftest import only_session, outcome
from openscope_experimental_launcher.engines.matlab.values import code_of

Experiment = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
posix = pytest.mark.skipif(sys.platform == "win32", reason="the program is a POSIX script")


def test_a_function_in_a_shared_engine(
    matlabs: Path, matlab_experiment: Experiment, openscope: Run, workplace: Path
) -> None:
    file = matlab_experiment(
        matlab_entrypoint_args=[3, 'it\'s "ü"\n', [1, 2.5], [[1, 2], [3, 4]], ["a", True], []],
        matlab_entrypoint_kwargs={"Notes": "{output_session_folder}/notes", "Flags": [True, False]},
        script_parameters={"Gain": -2},
    )
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    session = only_session(workplace)
    given = json.loads((session / "arguments.json").read_text(encoding="utf-8"))
    assert given == [
        {"char": str(session)},
        {"double": 3.0},
        {"char": 'it\'s "ü"\n'},
        {"double": [1.0, 2.5]},
        {"double": [[1.0, 2.0], [3.0, 4.0]]},
        {"cell": [{"char": "a"}, {"logical": True}]},
        {"double": []},
        {"char": "Notes"},
        {"char": str(session / "notes")},
        {"char": "Flags"},
        {"logical": [True, False]},
        {"char": "Gain"},
        {"double": -2.0},
    ]
    assert (session / "logs/stdout.log").read_text("utf-8") == "trial 1 of 2\nÜbung\n"
    assert "the mouse sleeps" in (session / "logs/stderr.log").read_text("utf-8")
    assert outcome(session) == ("completed", "")
    assert (matlabs / "Rig").exists(), "the engine stays"
    runtime = json.loads((session / "experiment_metadata/runtime_information.json").read_bytes())
    assert runtime["script_checksum"]


@pytest.mark.parametrize(
    "names",
    [
        {"matlab_entrypoint": "run_session", "script_path": "matlab"},
        {"matlab_function": "lab.run_session", "script_path": "matlab/run_session.m"},
        {"matlab_entrypoint": "matlab\\+lab\\run_session.m"},
        {"matlab_entrypoint": None, "script_path": "matlab/run_session.m"},
    ],
    ids=str,
)
def test_ways_to_name_the_function(
    matlabs: Path,
    matlab_experiment: Experiment,
    openscope: Run,
    workplace: Path,
    names: dict[str, Any],
) -> None:
    values = names if "matlab_entrypoint" in names else {**names, "matlab_entrypoint": None}
    done = openscope("run", str(matlab_experiment(**values)), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (only_session(workplace) / "arguments.json").is_file()


@pytest.mark.parametrize(
    "function, code, reason",
    [
        ("fail", "matlab-error", "MATLAB stopped: Error using fail (line 3) The camera is away."),
        ("vanish", "matlab-lost", "MATLAB has gone: The MATLAB session has ended."),
        ("interrupted", "matlab-error", "MATLAB stopped: The function was interrupted in MATLAB."),
    ],
)
def test_a_function_that_fails(
    matlabs: Path,
    matlab_experiment: Experiment,
    openscope: Run,
    workplace: Path,
    function: str,
    code: str,
    reason: str,
) -> None:
    done = openscope("run", str(matlab_experiment(function)), "--yes")
    assert done.returncode == 1
    session = only_session(workplace)
    assert outcome(session) == ("failed", reason)
    assert f'"code":"{code}"' in (session / "journal.jsonl").read_text(encoding="utf-8")
    assert "Traceback" not in (session / "logs/stderr.log").read_text(encoding="utf-8")


def test_an_engine_that_is_not_shared(
    matlabs: Path, matlab_experiment: Experiment, openscope: Run, workplace: Path
) -> None:
    file = matlab_experiment(matlab_engine_name="Other", matlab_engine_connect_timeout_sec=0.5)
    checked = openscope("check", str(file))
    assert "No MATLAB shares an engine named Other yet; shared are: Rig." in checked.stdout
    assert "matlab.engine.shareEngine('Other')" in checked.stdout
    assert checked.returncode == 0, "it may be shared later"
    assert openscope("run", str(file), "--yes").returncode == 1
    assert "shared are: Rig" in outcome(only_session(workplace))[1]


def test_an_engine_that_is_shared_later(
    matlabs: Path, matlab_experiment: Experiment, openscope: Run, workplace: Path
) -> None:
    (matlabs / "Rig").unlink()
    file = matlab_experiment()
    with subprocess.Popen(
        [sys.executable, "-c", f"import time; time.sleep(3); open({str(matlabs / 'Rig')!r}, 'w')"]
    ):
        done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout


def test_the_engine_ends_when_it_is_not_to_be_kept(
    matlabs: Path, matlab_experiment: Experiment, openscope: Run
) -> None:
    file = matlab_experiment("fail", matlab_keep_engine_alive=False)
    assert openscope("run", str(file), "--yes").returncode == 1
    assert not (matlabs / "Rig").exists()


def stop_when_it_hangs(file: Path, workplace: Path) -> tuple[int, float]:
    """Run a session, press Ctrl-C when its function hangs; its exit code, and how long it took."""
    launcher = subprocess.Popen(
        [sys.executable, "-m", "openscope_experimental_launcher", "run", str(file), "--yes"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not any("hang" in p.read_text() for p in workplace.glob("data/*/logs/stdout.log")):
        assert time.monotonic() < until
        time.sleep(0.05)
    time.sleep(0.3)
    began = time.monotonic()
    launcher.send_signal(signal.SIGINT)
    return launcher.wait(60), time.monotonic() - began


@posix
def test_a_stop_cancels_the_function(
    matlabs: Path, matlab_experiment: Experiment, workplace: Path
) -> None:
    # The function needs longer to save than the grace, but not than MATLAB is granted.
    file = matlab_experiment("hang", stop_grace_s=0.01)
    code, took_s = stop_when_it_hangs(file, workplace)
    session = only_session(workplace)
    assert code == 130
    assert outcome(session)[0] == "aborted"
    assert (session / "saved.txt").read_text() == "saved"
    assert took_s < 5


@posix
def test_a_function_that_is_not_cancelled_in_time(
    matlabs: Path, matlab_experiment: Experiment, workplace: Path
) -> None:
    file = matlab_experiment("deaf", matlab_cancel_timeout_sec=0.5)
    code, took_s = stop_when_it_hangs(file, workplace)
    session = only_session(workplace)
    assert code == 130 and took_s < 5
    assert "it may still run there" in (session / "journal.jsonl").read_text(encoding="utf-8")


def test_a_package_that_is_missing_or_broken(
    matlabs: Path, matlab_experiment: Experiment, openscope: Run
) -> None:
    file = matlab_experiment()
    others = os.environ["PYTHONPATH"].partition(os.pathsep)[2]
    for broken in ({"STANDIN_BROKEN": "1"}, {"PYTHONPATH": others}):
        checked = openscope("check", str(file), env=broken)
        assert checked.returncode == 1
        assert "cannot load the package matlabengine" in checked.stdout
        assert "python_exe_path" in checked.stdout
        assert "Traceback" not in checked.stdout + checked.stderr


def test_checks_of_the_function(
    matlabs: Path, matlab_experiment: Experiment, openscope: Run
) -> None:
    file = matlab_experiment()

    def check(*changes: str) -> str:
        options = [option for change in changes for option in ("--set", change)]
        return openscope("check", str(file), *options, "--rehearse").stdout

    assert "The function run_session is there." in check()
    missing = check("matlab_entrypoint=matlab/run_sesion.m")
    assert "not in the repository" in missing and "run_session.m" in missing
    assert "must be on MATLAB's own path" in check("matlab_entrypoint=slap2")
    assert "cannot be the name" in check("matlab_entrypoint=2x")
    assert "needs a function" in check("matlab_entrypoint=")
    assert "cannot be given null" in check("script_parameters.x=null")


def test_a_rehearsal_needs_no_matlab(
    matlab_experiment: Experiment, openscope: Run, workplace: Path
) -> None:
    file = matlab_experiment(rehearsal_duration_s=0.2, OutputFolder="data")
    done = openscope("run", str(file), "--rehearse", "--yes")
    assert done.returncode == 0, done.stdout
    alone = openscope("run", str(file), "--rehearse", "--yes", "--set", "matlab_engine_name=")
    assert alone.returncode == 0, alone.stdout
    said = [p.read_text("utf-8") for p in sorted((workplace / "rehearsal").rglob("stdout.log"))]
    assert any("--engine" in text for text in said)
    assert any("-batch" in text for text in said)


def test_secrets_are_masked_everywhere(
    matlabs: Path, matlab_experiment: Experiment, openscope: Run, workplace: Path
) -> None:
    file = matlab_experiment(script_parameters={"api_token": "two words"})
    assert openscope("run", str(file), "--yes").returncode == 0
    session = only_session(workplace)
    assert "two words" in (session / "arguments.json").read_text()
    for kept in session.rglob("*"):
        if kept.is_file() and kept.name not in ("arguments.json",):
            assert b"two words" not in kept.read_bytes(), kept
    assert "two words" not in openscope("plan", str(file), "--json").stdout


# -- matlab -batch ---------------------------------------------------------------------------------

BATCH = """
import os, re, sys
option, code = sys.argv[1:]
assert option == "-batch"
print(os.getcwd())
if "fail" in code:
    sys.stderr.write("Error using fail (line 3)\\nThe camera is away.\\n")
    sys.exit(1)
open(os.path.join(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "code.txt"), "w").write(code)
"""


@posix
def test_a_matlab_of_its_own(
    program: Callable[[str], Path], matlab_experiment: Experiment, openscope: Run, workplace: Path
) -> None:
    program(BATCH)
    file = matlab_experiment(
        matlab_engine_name=None,
        matlab_entrypoint_args=[1, "ü"],
        script_parameters={"Gain": 2, "Out": "{output_session_folder}/x"},
    )
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    session = only_session(workplace)
    code = (session / "code.txt").read_text()
    assert code.isascii()
    here, below = code_of(str(workplace)), code_of(str(workplace / "matlab"))
    assert code.startswith(f"cd({here}); addpath({below}, {here}); ")
    assert code.endswith(
        "run_session(getenv('OPENSCOPE_SESSION_DIRECTORY'), 1, char(252), 'Gain', 2, 'Out', "
        "[getenv('OPENSCOPE_SESSION_DIRECTORY') '/x']);"
    )
    assert (session / "logs/stdout.log").read_text("utf-8").strip() == str(workplace)


@posix
def test_a_matlab_of_its_own_that_fails(
    program: Callable[[str], Path], matlab_experiment: Experiment, openscope: Run, workplace: Path
) -> None:
    program(BATCH)
    file = matlab_experiment("fail", matlab_engine_name=None)
    assert openscope("run", str(file), "--yes").returncode == 1
    reason = "MATLAB stopped: Error using fail (line 3) The camera is away."
    assert outcome(only_session(workplace)) == ("failed", reason)


def test_a_matlab_that_is_not_there(matlab_experiment: Experiment, openscope: Run) -> None:
    file = matlab_experiment(matlab_engine_name=None, matlab_exe_path="/no/matlab")
    checked = openscope("check", str(file))
    assert checked.returncode == 1
    assert "matlab_exe_path: " in checked.stdout


@posix
@pytest.mark.skipif(shutil.which("octave-cli") is None, reason="needs Octave")
def test_octave_runs_the_code_of_a_session(
    program: Callable[[str], Path],
    make_repository: Callable[..., tuple[Path, str]],
    matlab_experiment: Experiment,
    openscope: Run,
    workplace: Path,
    tmp_path: Path,
) -> None:
    octave = shutil.which("octave-cli")
    program(f"import os, sys; os.execv({octave!r}, ['octave', '--norc', '--eval', sys.argv[2]])")
    function = """
function record(folder, number, varargin)
  file = fopen(fullfile(folder, 'record.json'), 'w');
  fputs(file, jsonencode({number, varargin{:}, pwd()}));
  fclose(file);
  if numel(varargin) > 2, error('camera:away', 'The camera is away.'); end
end
"""
    repository, commit = make_repository({"code/record.m": function}, name="it's ours")
    code = {
        "matlab_engine_name": None,
        "repository_url": str(repository),
        "repository_commit_hash": commit,
        "matlab_entrypoint": "code/record.m",
        "matlab_entrypoint_args": [2.5],
        # Octave's characters are bytes, so that it takes no umlauts in the code.
        "local_repository_path": str(tmp_path / "check outs"),
    }
    file = matlab_experiment(**code, script_parameters={"Label": 'it\'s "two"\nlines'})
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    session = only_session(workplace)
    seen = json.loads((session / "record.json").read_text(encoding="utf-8"))
    assert seen[:3] == [2.5, "Label", 'it\'s "two"\nlines']
    assert Path(seen[3]).name == "it's ours"
    failing = openscope("run", str(file), "--yes", "--set", "script_parameters.More=1")
    assert failing.returncode == 1
    assert "The camera is away." in failing.stdout
