"""The documented usage of `BaseExperiment`, in our own words, against real acquisitions."""

from __future__ import annotations

import json
import logging
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.base.experiment import (
    DEFAULT_CONFIG_PATH,
    DEFAULT_OUTPUT_DIR,
    DEFAULT_REPO_PATH,
    BaseExperiment,
)

Experiment = Callable[..., Path]

TASK = """
import os, pathlib
print("playing", flush=True)
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
(folder / "data.csv").write_text("trial\\n1\\n")
"""
BROKEN = "import sys\nprint('no camera', file=sys.stderr)\nraise RuntimeError('camera is away')\n"


def test_a_basic_run(python_experiment: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    logging.basicConfig(level=logging.INFO)
    experiment = BaseExperiment()
    assert experiment.run(str(python_experiment(TASK))) is True
    print(f"Session UUID: {experiment.session_uuid}")
    print(f"Subject ID: {experiment.subject_id}, user ID: {experiment.user_id}")
    assert experiment.start_time and experiment.stop_time
    print(f"Duration: {experiment.stop_time - experiment.start_time}")
    assert "Subject ID: 614173, user ID: Frieda Müller\nDuration: 0:00:0" in capsys.readouterr().out
    assert experiment.session_directory is not None
    assert Path(experiment.session_directory, "data.csv").is_file()


def test_manual_process_control(python_experiment: Experiment) -> None:
    experiment = BaseExperiment()
    try:
        experiment.load_parameters(str(python_experiment(TASK)))
        # Git is not touched: the code must be where the parameters put it.
        checkout = Path(str(experiment.git_manager.get_repository_path(experiment.params)))
        checkout.mkdir(parents=True)
        (checkout / "task.py").write_text(TASK)
        experiment.start_bonsai()
        assert experiment.bonsai_process is not None
        assert experiment.bonsai_process.pid > 0
        assert experiment.bonsai_process.returncode == 0
        assert experiment.stdout_data == "playing\n"
    finally:
        experiment.stop()
    experiment.stop()
    closed = Path(str(experiment.session_directory), "journal.jsonl").read_text().splitlines()[-1]
    assert json.loads(closed)["name"] == "session.closed"


def test_manual_control_without_an_output_folder_uses_the_state_folder(
    workplace: Path, write_parameters: Callable[..., Path], own_state: Path
) -> None:
    (workplace / "task.py").write_text("print('hello')")
    file = write_parameters(launcher="python", script_path="task.py", subject_id="1", user_id="u")
    experiment = BaseExperiment()
    experiment.load_parameters(file)
    experiment.start_bonsai()
    experiment.stop()
    assert experiment.stdout_data == "hello\n"
    assert experiment.session_directory is None
    assert not (workplace / "data").exists()


def test_parameter_access(python_experiment: Experiment) -> None:
    file = python_experiment(TASK, bonsai_parameters={"gain": 2})
    experiment = BaseExperiment()
    experiment.load_parameters(str(file))
    assert experiment.params["repository_url"].endswith("experiment")
    assert experiment.params["script_parameters"] == {"gain": 2}
    assert experiment.params["bonsai_path"] == experiment.params["script_path"] == "task.py"
    import hashlib

    assert experiment.params_checksum == hashlib.sha256(file.read_bytes()).hexdigest()


def test_session_metadata_from_attributes(python_experiment: Experiment) -> None:
    experiment = BaseExperiment()
    assert experiment.run(str(python_experiment(TASK)))
    assert experiment.start_time and experiment.stop_time
    told = {
        "uuid": experiment.session_uuid,
        "start": experiment.start_time.isoformat(),
        "end": experiment.stop_time.isoformat(),
        "seconds": (experiment.stop_time - experiment.start_time).total_seconds(),
        "directory": experiment.session_directory,
        "parameters": experiment.params_checksum,
        "workflow": experiment.script_checksum,
    }
    runtime = json.loads(
        Path(
            str(experiment.session_directory), "experiment_metadata/runtime_information.json"
        ).read_text(encoding="utf-8")
    )
    assert runtime["script_checksum"] == told["workflow"]
    assert runtime["session_uuid"] == told["uuid"] == Path(str(told["directory"])).name
    assert 0 <= float(str(told["seconds"])) < 30
    assert experiment.start_time.utcoffset() is not None


def robust_runner(params_file: str) -> tuple[bool, str, int | None]:
    """The documented robust runner: load, look, run, and tell what went wrong."""
    experiment = BaseExperiment()
    try:
        experiment.load_parameters(params_file)
        required = ["repository_url", "bonsai_path", "subject_id", "user_id"]
        missing = [key for key in required if not experiment.params.get(key)]
        if missing:
            raise ValueError(f"Missing required parameters: {missing}")
        if not experiment.run(params_file):
            errors = experiment.get_bonsai_errors()
            code = experiment.bonsai_process.returncode if experiment.bonsai_process else None
            return False, errors, code
        return True, "", 0
    except FileNotFoundError as error:
        return False, f"not found: {error}", None
    except ValueError as error:
        return False, f"invalid: {error}", None
    finally:
        experiment.stop()


def test_the_robust_runner(python_experiment: Experiment, workplace: Path) -> None:
    good = python_experiment(TASK)
    assert robust_runner(str(good)) == (True, "", 0)
    (workplace / "experiment").rename(workplace / "old")
    bad = python_experiment(BROKEN)
    ok, errors, code = robust_runner(str(bad))
    assert (ok, code) == (False, 1)
    assert "camera is away" in errors and "no camera" in errors
    assert robust_runner("not there.json")[1].startswith("not found:")
    broken = workplace / "broken.json"
    broken.write_text('{"a": 1,}')
    assert robust_runner(str(broken))[1].startswith("invalid:")


def test_platform_info_and_job(workplace: Path) -> None:
    experiment = BaseExperiment()
    info = experiment.platform_info
    assert info["python"] == platform.python_version()
    assert len(info["os"]) == 3 and len(info["hardware"]) == 2
    assert info["computer_name"] and info["rig_id"]
    assert bool(experiment.hJob) == (sys.platform == "win32")


def test_initial_memory_use_is_kept(python_experiment: Experiment) -> None:
    experiment = BaseExperiment()
    experiment.run(str(python_experiment(TASK)))
    assert hasattr(experiment, "_percent_used")
    assert experiment._percent_used is not None and 0 < experiment._percent_used < 100


class CustomExperiment(BaseExperiment):
    """Validates a setting of its own, and writes a file of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.custom_output_path: str | None = None

    def load_parameters(self, param_file: Any) -> None:
        super().load_parameters(param_file)
        if not isinstance(self.params.get("custom_setting", ""), str):
            raise ValueError("custom_setting must be a string")

    def post_experiment_processing(self) -> bool:
        success = super().post_experiment_processing()
        if success:
            path = Path(str(self.session_directory), f"{self.session_uuid}_custom.json")
            custom = {"custom": self.params.get("custom_setting", "default")}
            path.write_text(json.dumps(custom), encoding="utf-8")
            self.custom_output_path = str(path)
        return success


def test_a_custom_experiment(python_experiment: Experiment) -> None:
    experiment = CustomExperiment()
    assert experiment.run(str(python_experiment(TASK, custom_setting="mine")))
    assert experiment.custom_output_path is not None
    assert json.loads(Path(experiment.custom_output_path).read_text()) == {"custom": "mine"}
    manifest = json.loads(Path(str(experiment.session_directory), "manifest.json").read_text())
    assert f"{experiment.session_uuid}_custom.json" in manifest["files"]


def test_a_custom_validation_error_is_plain(python_experiment: Experiment) -> None:
    experiment = CustomExperiment()
    assert experiment.run(str(python_experiment(TASK, custom_setting=3))) is False
    assert experiment.outcome.failure is not None and not experiment.outcome.failure.bug
    assert experiment.outcome.reason == "custom_setting must be a string"
    assert experiment.outcome.exit_code == 1


@pytest.mark.parametrize("how", ["raises", "returns False"])
def test_a_failing_hook_leaves_the_data_and_the_result(
    python_experiment: Experiment, how: str
) -> None:
    class Failing(BaseExperiment):
        def post_experiment_processing(self) -> bool:
            if how == "raises":
                raise KeyError("no column")
            return False

    experiment = Failing()
    assert experiment.run(str(python_experiment(TASK))) is True
    folder = Path(str(experiment.session_directory))
    assert (folder / "data.csv").is_file()
    findings = [
        event["data"]["code"]
        for event in map(json.loads, (folder / "journal.jsonl").read_text().splitlines())
        if event["name"] == "finding.reported"
    ]
    assert "post-processing-failed" in findings


def test_replaced_helpers_are_used(python_experiment: Experiment) -> None:
    waited = []

    class Patient:
        kill_threshold = 50.0

        def monitor_process(self, process: Any, initial: float, kill_callback: Any = None) -> None:
            waited.append((process.wait(), initial, kill_callback))

    experiment = BaseExperiment()
    experiment.process_monitor = Patient()  # type: ignore[assignment]
    assert experiment.run(str(python_experiment(TASK)))
    assert len(waited) == 1 and waited[0][0] == 0


def test_answers_are_kept_between_loads(python_experiment: Experiment) -> None:
    class Asking(BaseExperiment):
        asked = 0

        def collect_runtime_information(self) -> dict[str, Any]:
            answers = super().collect_runtime_information()
            if "weight_g" not in self.params:
                Asking.asked += 1
                answers["weight_g"] = 21.5
            return answers

    experiment = Asking()
    file = python_experiment(TASK)
    experiment.load_parameters(file)
    assert experiment.params["weight_g"] == 21.5
    assert experiment.run(file)
    assert Asking.asked == 1
    saved = Path(str(experiment.session_directory), "experiment_metadata/processed_parameters.json")
    assert json.loads(saved.read_text(encoding="utf-8"))["weight_g"] == 21.5


def test_main_and_its_parser(python_experiment: Experiment, workplace: Path) -> None:
    file = python_experiment(TASK)
    assert BaseExperiment.main("A rig", [str(file), "--subject", "999"]) == 0
    assert [folder.name[:4] for folder in (workplace / "data").iterdir()] == ["999_"]
    assert BaseExperiment.main("A rig", [str(workplace / "none.json")]) == 1
    parsed = BaseExperiment.create_argument_parser("A rig").parse_args([str(file)])
    assert parsed.param_file == str(file)


def test_constants() -> None:
    assert DEFAULT_CONFIG_PATH == "C:/ProgramData/AIBS_MPE/camstim/config/stim.cfg"
    assert DEFAULT_OUTPUT_DIR == "data"
    assert sys.platform != "win32" or DEFAULT_REPO_PATH == "C:/BonsaiTemp"


def test_a_constructor_has_no_side_effects(workplace: Path, own_state: Path) -> None:
    import signal

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    BaseExperiment()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert list(workplace.iterdir()) == [] and not own_state.exists()


def test_nobody_to_ask_is_an_error_and_no_made_up_subject(
    write_parameters: Callable[..., Path], workplace: Path
) -> None:
    experiment = BaseExperiment()
    assert experiment.run(write_parameters(launcher="command", command=["true"])) is False
    assert "no terminal" in experiment.outcome.reason
    assert not (workplace / "data").exists()
