"""The forms in which parameter files write an entry of a pipeline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.engines import FolderSource
from openscope_experimental_launcher.errors import Finding, ParameterError
from openscope_experimental_launcher.steps.pipeline import check_steps
from openscope_experimental_launcher.steps.runner import run_steps

posix = pytest.mark.skipif(sys.platform == "win32", reason="a system without drives")


def check(lab: Any, phase: str, *entries: Any, **values: Any) -> list[Finding]:
    rehearsal = values.pop("rehearsal", False)
    key = {"before": "pre_acquisition_pipeline", "after": "post_acquisition_pipeline"}[phase]
    parameters = lab.parameters(**{key: list(entries)}, **values)
    return check_steps(parameters, FolderSource(lab.repository), rehearsal=rehearsal)


OLDER = {"repo_relative_path": "code\\make.py", "function": "go", "kwargs": {"n": 2}}


@pytest.mark.parametrize(
    "entry",
    [
        {"module_type": "repo_module", **OLDER},
        {"type": "repo_module", **OLDER},
        OLDER,
        {"repo_module": OLDER},
        {"module_type": "repo_module", "module_parameters": OLDER},
        {"module_path": "repo_module", "module_parameters": OLDER},
        {"module_type": "script_module", "module_path": "code/make.py", "function": "go",
         "kwargs": {"n": 2}},
        {"module_type": "script_module", "module_path": "code/make.py",
         "module_parameters": {"function": "go", "function_args": {"n": 2}}},
    ],
)  # fmt: skip
def test_a_file_of_the_repository_in_every_form(lab: Any, entry: dict[str, Any]) -> None:
    (lab.repository / "code").mkdir()
    (lab.repository / "code" / "make.py").write_text("def go(n): ...")
    (step,), _ = lab.plan({**entry, "on_failure": "abort"}, phase="before")
    assert (step.kind, step.name) == ("script", "code/make.py")
    assert (step.function, step.arguments, step.on_failure) == ("go", {"n": 2}, "abort")
    assert step.parameters == {}
    assert [finding.level for finding in check(lab, "before", entry)] == ["ok"]


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ({"module_type": "repo_module", **OLDER, "kwargs": 5}, "[0].kwargs: 5"),
        ({"repo_module": {**OLDER, "function": 5}}, "[0].repo_module.function: 5"),
        (
            {"module_type": "repo_module", "module_parameters": {**OLDER, "kwargs": "x"}},
            '[0].module_parameters.kwargs: "x"',
        ),
        ({**OLDER, "repo_relative_path": "../x.py"}, "[0].module_path"),
        ({"module_type": "repo_module", "function": "go"}, "[0].module_path"),
    ],
)
def test_a_fault_is_named_where_it_was_written(lab: Any, entry: dict[str, Any], where: str) -> None:
    with pytest.raises(ParameterError) as caught:
        lab.plan(entry)
    assert where in caught.value.where


@pytest.mark.parametrize("package", ["pre_acquisition", "post_acquisition"])
def test_a_step_by_its_place_in_the_older_package(lab: Any, package: str) -> None:
    named = f"openscope_experimental_launcher.{package}.disk_space_check"
    (step,), _ = lab.plan(named)
    assert (step.kind, step.name) == ("step", "disk_space_check")


def test_an_older_module_without_a_package(lab: Any, install: Any) -> None:
    install("def run_pre_acquisition(param_file): return 0")
    (Path(sys.path[0]) / "weigh_the_mouse.py").write_text("from labsteps import *\n")
    steps, session = lab.plan("weigh_the_mouse", phase="before")
    assert steps[0].kind == "module"
    assert [finding.level for finding in check(lab, "before", "weigh_the_mouse")] == ["ok"]
    (event,) = run_steps(steps, session, lab.journal)
    assert (event.outcome, event.message) == ("ok", "")


def test_a_step_after_it_that_is_not_installed_will_be_skipped(lab: Any) -> None:
    (warning,) = check(lab, "after", "session_creater")
    assert (warning.level, warning.code) == ("warning", "step-unknown")
    assert "Did you mean 'session_creator'?" in warning.message
    assert "recorded as skipped" in warning.message


def test_a_step_for_the_sealed_session_belongs_after_it(lab: Any, tmp_path: Path) -> None:
    archive = {"network_dir": str(tmp_path / "n"), "copy_to_backup": False}
    (finding,) = check(lab, "before", "session_archiver", **archive)
    assert (finding.level, finding.code) == ("error", "step-wrong-pipeline")
    assert "post_acquisition_pipeline" in finding.fix


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, "archive-folder-missing"),
        ({"network_dir": "/n"}, "archive-folder-missing"),
        ({"network_dir": "n", "copy_to_backup": False}, "archive-folder-relative"),
        ({"network_dir": 5, "copy_to_backup": False}, "step-parameter-invalid"),
        (
            {"network_dir": "/n", "copy_to_backup": False, "checksum_algo": "crc"},
            "checksum-unknown",
        ),
    ],
)
def test_an_archive_that_could_not_be_made_is_refused_before(
    lab: Any, values: dict[str, Any], code: str
) -> None:
    (finding,) = check(lab, "after", "session_archiver", **values)
    assert (finding.level, finding.code) == ("error", code)
    assert finding.message and finding.fix


@posix
def test_a_drive_in_a_steps_parameter_is_refused_but_in_a_rehearsal(lab: Any) -> None:
    values = {"network_dir": "\\\\server\\share", "backup_dir": "E:/backup"}
    findings = check(lab, "after", "session_archiver", **values)
    assert [finding.code for finding in findings] == ["path-on-drive"] * 2
    assert findings[0].where == "network_dir: \\\\server\\share"
    (ok,) = check(lab, "after", "session_archiver", rehearsal=True, **values)
    assert ok.level == "ok"


def test_a_null_is_not_given(lab: Any) -> None:
    entry = {"module_path": "disk_space_check", "module_parameters": {"required_free_gb": None}}
    assert check(lab, "before", entry, required_free_gb=5)[0].level == "ok"


def test_a_step_that_is_left_out_after_a_failure(lab: Any, install: Any) -> None:
    install(
        """
        class Tidy(Plain):
            name = "tidy"
            run_after_failure = False
            def run(self, context):
                return StepResult(True, context.outcome)
        """,
        tidy="Tidy",
    )
    quiet = {"module_path": "disk_space_check", "run_after_failure": False}
    steps, session = lab.plan(quiet, "tidy", "disk_space_check", required_free_gb=0)
    for outcome, expected in (("killed", ["skipped", "skipped", "ok"]), ("completed", ["ok"] * 3)):
        events = run_steps(steps, session._replace(outcome=outcome), lab.journal)
        assert [event.outcome for event in events] == expected
    assert events[1].message == "completed"
