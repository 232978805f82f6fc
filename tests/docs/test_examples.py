"""What the pages show works as it stands."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.pages import Block, blocks, install, pages, run_python
from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.base.options import RunOptions
from openscope_experimental_launcher.cli.app import VERBS, build_parser
from openscope_experimental_launcher.parameters.jsonfile import parse_object

_SCRIPTS = [block for block in blocks("python") if not block.file]
_INLINE = re.compile(r"`(openscope [^`\n]+)`")
_LINE = re.compile(r"^(?:\S.* && )?(?:uv run )?(openscope .*)$")


@pytest.mark.parametrize("block", _SCRIPTS, ids=str)
def test_python_example_runs(
    block: Block, experiment_folder: Path, private_environment: dict[str, str]
) -> None:
    if "manifest.json" in block.text:  # it verifies a session, so one must be there
        done = run_python(
            "-m", "openscope_experimental_launcher", "run", "params.json",
            folder=experiment_folder, environment=private_environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        (session,) = (experiment_folder / "data").iterdir()
        session.rename(experiment_folder / "session")
    script = experiment_folder / "example.py"
    script.write_text(block.text, encoding="utf-8")
    done = run_python(script.name, folder=experiment_folder, environment=private_environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "failed:" not in done.stdout


def test_the_examples_of_a_subclass_write_their_files(
    experiment_folder: Path, private_environment: dict[str, str]
) -> None:
    written = []
    for block in _SCRIPTS:
        if "post_experiment_processing" in block.text:
            script = experiment_folder / "example.py"
            script.write_text(block.text, encoding="utf-8")
            run_python(script.name, folder=experiment_folder, environment=private_environment)
    for session in sorted((experiment_folder / "data").iterdir()):
        written += [file.name.removeprefix(f"{session.name}_") for file in session.glob("*.json")]
    assert "summary.json" in written
    assert "custom.json" in written


def _commands() -> Iterator[str]:
    for page in pages():
        text = page.read_text(encoding="utf-8")
        yield from _INLINE.findall(text)
    for block in blocks("console", "powershell"):
        for line in block.text.splitlines():
            if shown := _LINE.match(line):
                yield re.split(r" [|>] ", shown[1])[0]


@pytest.mark.parametrize("line", sorted(set(_commands())))
def test_command_line_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    if words[0] == "VERB" or (len(words) == 1 and words[0] in VERBS):  # only spoken of
        return
    try:
        assert build_parser().parse_args(words).main
    except SystemExit as end:  # argparse after --help and --version
        assert not end.code


_JSON = blocks("json")
_NO_PARAMETERS = "not a parameter file"
_RIG_FILE = next(block.text for block in blocks("toml") if "stimulus_port" in block.text)


@pytest.mark.parametrize("block", [b for b in _JSON if b.remark != _NO_PARAMETERS], ids=str)
def test_json_example_loads_as_a_parameter_file(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(_RIG_FILE, encoding="utf-8")
    monkeypatch.setenv("OPENSCOPE_RIG_CONFIG", str(rig))
    file = tmp_path / "example.json"
    file.write_text(block.text, encoding="utf-8")
    experiment = BaseExperiment(RunOptions(defaults=True))
    experiment.load_parameters(file)
    assert not [finding.render() for finding in experiment.parameter_warnings]


@pytest.mark.parametrize("block", [b for b in _JSON if b.remark == _NO_PARAMETERS], ids=str)
def test_other_json_example_is_valid(block: Block) -> None:
    assert parse_object(block.text.encode(), str(block))


def _package(entry_points: str) -> dict[str, str]:
    """The files of the package in CONTRIBUTING.md that has entry points of this group."""
    named = [b for b in [*blocks("toml"), *blocks("python")] if b.page == "CONTRIBUTING.md"]
    project = next(b for b in named if b.language == "toml" and entry_points in b.text)
    module = re.search(r'= "(\w+):', project.text)
    assert module
    code = next(b for b in named if b.file == f"{module[1]}.py")
    return {project.file: project.text, code.file: code.text}


def test_the_engine_of_the_contributing_page_runs_a_session(
    tmp_path: Path, private_environment: dict[str, str]
) -> None:
    install(_package("openscope_experimental_launcher.engines"), tmp_path / "site")
    environment = {**private_environment, "PYTHONPATH": str(tmp_path / "site")}
    place = tmp_path / "place"
    (place / "tasks").mkdir(parents=True)
    (place / "tasks" / "oddball.py").write_text(
        "import pathlib, sys; pathlib.Path(sys.argv[2], 'trials.csv').write_text('1')",
        encoding="utf-8",
    )
    values = {"launcher": "module", "script_path": "tasks.oddball", "OutputFolder": "data"}
    (place / "oddball.json").write_text(json.dumps(values), encoding="utf-8")

    def openscope(*arguments: str) -> str:
        done = run_python(
            "-m", "openscope_experimental_launcher", *arguments,
            folder=place, environment=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "tasks.oddball is there." in openscope("check", "oddball.json")
    openscope("run", "oddball.json", "--defaults")
    (session,) = (place / "data").iterdir()
    assert (session / "trials.csv").read_text() == "1"
    assert "a rehearsal" in openscope("run", "oddball.json", "--defaults", "--rehearse")


_LOOK_AT_STEP = """\
import sys
from pathlib import Path

from openscope_experimental_launcher.steps import StepContext, get_step

step = get_step("table_check")
parameters = step.parameters_model.model_validate({"min_rows": 2})
folder = Path(sys.argv[1])
print(step.run(StepContext(folder, folder.name, "m", "u", "after", parameters, {}, None, False)))
"""


def test_the_step_of_the_contributing_page_counts_rows(
    tmp_path: Path, private_environment: dict[str, str]
) -> None:
    install(_package("openscope_experimental_launcher.steps"), tmp_path / "site")
    environment = {**private_environment, "PYTHONPATH": str(tmp_path / "site")}
    table = tmp_path / "stimulus_table.csv"
    for rows, ok in ((1, False), (2, True)):
        table.write_text("trial\n" + "1\n" * rows, encoding="utf-8")
        done = run_python(
            "-c", _LOOK_AT_STEP, str(tmp_path), folder=tmp_path, environment=environment
        )
        assert f"ok={ok}, message='stimulus_table.csv has {rows} rows.'" in done.stdout, done.stderr
