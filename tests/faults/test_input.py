"""Programs, values and surroundings that cannot be used, and displays that break."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faults.running import Running
from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.base.options import RunOptions
from openscope_experimental_launcher.engines.command import check_batch

Begin = Callable[..., Running]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Experiment = Callable[..., Path]
Parameters = Callable[..., Path]


def assert_refused(done: subprocess.CompletedProcess[str], workplace: Path, *words: str) -> None:
    """One plain error with a fix, and no session folder."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for word in (*words, "fix:"):
        assert word in done.stderr, done.stderr
    assert not (workplace / "data").exists()


# -- 12: displays and hooks that raise -------------------------------------------------------------


class BrokenDisplay:
    """A display that fails at one of its moments."""

    def __init__(self, moment: str) -> None:
        self.moment = moment
        self._fail_at("open")

    def _fail_at(self, moment: str) -> None:
        if moment == self.moment:
            raise RuntimeError("the screen broke")

    def start(self) -> None:
        self._fail_at("start")

    def stop(self) -> None:
        self._fail_at("stop")

    def pause(self) -> None: ...

    def resume(self) -> None: ...


@pytest.mark.parametrize("moment", ["open", "start", "stop"])
def test_a_display_that_raises_does_not_reach_the_session(
    python_experiment: Experiment, workplace: Path, moment: str
) -> None:
    options = RunOptions(open_display=lambda *_: BrokenDisplay(moment), interactive=False)
    experiment = BaseExperiment(options)
    assert experiment.run(python_experiment("print('ran')")), experiment.outcome
    session = Running(workplace / "data", None)
    assert session.closed()["outcome"] == "completed"


@pytest.mark.parametrize("hook", ["setup_continuous_logging", "save_experiment_metadata"])
def test_a_labs_hook_that_raises_leaves_a_closed_session(
    python_experiment: Experiment, workplace: Path, hook: str
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the lab's server is away")

    experiment: Any = type("LabExperiment", (BaseExperiment,), {hook: broken})(
        RunOptions(interactive=False)
    )
    assert not experiment.run(python_experiment("print('ran')"))
    session = Running(workplace / "data", None)
    closed = session.closed()
    assert closed["outcome"] == "failed" and "the lab's server is away" in closed["reason"]
    assert session.events("acquisition.started") == []


# -- 21: programs that cannot be started -----------------------------------------------------------

_ELF_FOR_S390 = b"\x7fELF\x02\x02\x01" + bytes(9) + b"\x00\x02\x00\x16" + bytes(44)
_ELF_FOR_ARM = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x28\x00" + bytes(32)


def _program(folder: Path, content: bytes, mode: int) -> Path:
    file = folder / "program"
    file.write_bytes(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(
    ("content", "mode", "word"),
    [
        (None, 0, "not there"),
        (b"", None, "folder"),
        (b"#!/bin/sh\n", 0o644, "may not be executed"),
        (_ELF_FOR_ARM, 0o755, "another processor"),
        (_ELF_FOR_S390, 0o755, "another processor"),
        (b"MZ\x90\x00", 0o755, "Windows"),
        (b"no program at all\n", 0o755, "no program"),
        (b"#!/nowhere/python\n", 0o755, "/nowhere/python"),
    ],
)
def test_a_program_that_cannot_be_started(
    openscope: Openscope,
    write_parameters: Parameters,
    workplace: Path,
    content: bytes | None,
    mode: int | None,
    word: str,
) -> None:
    program = workplace / "program"
    if mode is None:
        program.mkdir()
    elif content is not None:
        _program(workplace, content, mode)
    file = write_parameters(launcher="command", command=[str(program)], subject_id="1", user_id="u")
    assert_refused(openscope("run", str(file), "--yes"), workplace, word)


def test_a_program_beside_the_parameter_file_is_found_from_anywhere(
    openscope: Openscope, write_parameters: Parameters, workplace: Path, tmp_path: Path
) -> None:
    _program(workplace, b"#!/bin/sh\nexit 0\n", 0o755)
    file = write_parameters(launcher="command", command=["./program"], subject_id="1", user_id="u")
    assert openscope("run", str(file), "--yes", cwd=tmp_path).returncode == 0


# -- 38: what a batch file would take for commands -------------------------------------------------


@pytest.mark.parametrize("argument", ["a&b", "%PATH%", 'say "hi"', "a>b", "a^b", "a\nb", "!x!"])
def test_a_batch_file_is_given_nothing_it_would_act_on(argument: str) -> None:
    for program in ("C:\\task.bat", "C:\\TASK.CMD", "C:\\task.cmd. "):
        (finding,) = check_batch([program, "harmless --x=1", argument], "D:\\data")
        assert finding.level == "error" and finding.code == "batch-argument"
    assert check_batch(["C:\\program.exe", argument], "D:\\data") == []


def test_a_batch_file_is_given_no_folder_it_would_act_on() -> None:
    slot = "\0output_session_folder\0"
    assert check_batch(["task.bat", slot], "D:\\data") == []
    assert len(check_batch(["task.bat", slot], "D:\\rats & mice")) == 1


# -- 36, 44: what the system cannot carry ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('"\\ud800"', "surrogate"),
        ('"a\\u0000b"', "NUL"),
        (f'"{"x" * 140_000}"', "bytes"),
    ],
    ids=["lone surrogate", "NUL", "too long"],
)
def test_a_value_that_no_command_line_carries(
    openscope: Openscope, workplace: Path, text: str, word: str
) -> None:
    file = workplace / "params.json"
    program = f'"launcher": "command", "command": ["{sys.executable}", "-c", "pass", {text}]'
    file.write_text(f'{{{program}, "subject_id": "1", "user_id": "u"}}')
    assert_refused(openscope("run", str(file), "--yes"), workplace, word)


@pytest.mark.parametrize("subject", ["x" * 300, "ü" * 130])
def test_a_name_that_no_file_system_carries(
    openscope: Openscope, write_parameters: Parameters, workplace: Path, subject: str
) -> None:
    file = write_parameters(
        launcher="command", command=[sys.executable], subject_id=subject, user_id="u"
    )
    assert_refused(openscope("run", str(file), "--yes"), workplace, "subject_id")


@pytest.mark.parametrize("part", ["x" * 300, "long/" * 900])
def test_an_output_folder_that_no_file_system_carries(
    openscope: Openscope, write_parameters: Parameters, workplace: Path, part: str
) -> None:
    file = write_parameters(
        launcher="command", command=[sys.executable], subject_id="1", user_id="u",
        OutputFolder=str(workplace / part),
    )  # fmt: skip
    done = openscope("run", str(file), "--yes")
    assert_refused(done, workplace, "output_root_folder")
    assert not (workplace / "long").exists()


# -- 41: secrets -----------------------------------------------------------------------------------


def test_a_secret_in_environment_url_and_arguments_is_masked_everywhere(
    begin: Begin, own_state: Path
) -> None:
    secret = "hunter2-" + "opensesame"
    session = begin(
        "print('ready', flush=True)\nimport time; time.sleep(1)",
        env={"LAB_API_TOKEN": secret, "AWS_SECRET_ACCESS_KEY": secret},
        script_parameters={"password": secret, "url": f"https://me:{secret}@example.org/"},
    )
    session.says("ready")
    run = Path(session.event("session.opened")["run_folder"])
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    for file in run.iterdir():
        if secret.encode() in file.read_bytes():
            # The guard must know the arguments; nobody else can read them.
            assert file.name == "spec.json" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert session.closed()["outcome"] == "completed"
    session.launcher.wait(60)
    places = [
        *session.folder.rglob("*"),
        *own_state.rglob("*"),
        session.data.parent / "launcher.txt",
    ]
    for path in places:
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


# -- 43: other locales -----------------------------------------------------------------------------


_UNKIND = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(params=["C", "POSIX", "ascii output", "latin-1 output", "latin-1"])
def locale(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables that set a locale without UTF-8."""
    if request.param in ("C", "POSIX"):
        return {"LC_ALL": request.param, **_UNKIND}
    if request.param.endswith(" output"):
        return {"PYTHONUTF8": "0", "PYTHONIOENCODING": request.param.split()[0]}
    name = tmp_path / "de_DE.ISO-8859-1"
    made = shutil.which("localedef") and subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(name)], capture_output=True
    )
    if not made or not (name / "LC_CTYPE").is_file():
        pytest.skip("no latin-1 locale can be made here")
    return {"LOCPATH": str(tmp_path), "LC_ALL": name.name, **_UNKIND}


def test_umlauts_in_any_locale(begin: Begin, locale: dict[str, str]) -> None:
    script = (
        "import os, pathlib, sys\n"
        "print('Größe → µm', sys.argv[1:], os.environ['OPENSCOPE_USER_ID'])\n"
        "pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'], 'Maß.txt').write_text('ü')\n"
    )
    session = begin(script, env=locale, script_parameters={"note": "Übung – ß"})
    assert session.closed()["outcome"] == "completed", session.output()
    assert session.launcher.wait(60) == 0
    assert session.output().startswith("Größe → µm ['--note', 'Übung – ß'] Frieda Müller\n")
    assert session.event("session.opened")["user_id"] == "Frieda Müller"
    assert (session.folder / "Maß.txt").read_text("utf-8") == "ü"
    manifest = (session.folder / "manifest.json").read_text("utf-8")
    assert '"Maß.txt"' in manifest
    assert b"Completed" in (session.data.parent / "launcher.txt").read_bytes()


# -- 46: nobody to ask -----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["subject_id", "user_id"])
def test_without_a_terminal_a_missing_value_is_never_made_up(
    openscope: Openscope, python_experiment: Experiment, workplace: Path, missing: str
) -> None:
    stale = workplace / "stim.cfg"
    stale.write_text("[Behavior]\nmouse_id = 999999\nuser_id = 'stale'\n")
    file = python_experiment("print('ran')", config_path=str(stale), **{missing: None})
    done = openscope("run", str(file), "--yes")
    option = "--" + missing.removesuffix("_id")
    assert_refused(done, workplace, missing, option)
    assert "test_" not in done.stdout + done.stderr
