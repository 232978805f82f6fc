"""Pipelines as they stand in parameter files, and what is said about the ones that cannot run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.engines import FolderSource
from openscope_experimental_launcher.errors import Finding, ParameterError, StepError
from openscope_experimental_launcher.steps import get_step, step_names
from openscope_experimental_launcher.steps.pipeline import check_steps, plan_steps

NEEDY = """
from typing import Literal
from pydantic import ConfigDict

class NeedyParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")
    threshold: int
    mode: Literal["fast", "safe"] = "safe"

class Needy(Plain):
    name = "needy"
    parameters_model = NeedyParameters
    def run(self, context):
        return StepResult(True, "")
"""


def check(lab: Any, phase: str, *entries: Any, **values: Any) -> list[Finding]:
    key = {"before": "pre_acquisition_pipeline", "after": "post_acquisition_pipeline"}[phase]
    parameters = lab.parameters(**{key: list(entries)}, **values)
    return check_steps(parameters, FolderSource(lab.repository))


def test_a_plain_name_and_an_object_mean_the_same(lab: Any) -> None:
    plain, _ = lab.plan("disk_space_check")
    as_object, _ = lab.plan({"module_path": "disk_space_check"})
    assert plain == as_object
    assert plain[0].kind == "step"
    assert plain[0].on_failure == "continue"
    assert plain[0].timeout_s == 600


def test_everything_an_entry_can_say(lab: Any) -> None:
    (step,), _ = lab.plan(
        {
            "module_type": "script_module",
            "module_path": "code\\prepare.py",
            "module_parameters": {"function": "go", "function_args": {"n": 2}, "gain": 3},
            "on_failure": "abort",
            "timeout_s": 2.5,
        },
        phase="before",
    )
    assert (step.kind, step.name) == ("script", "code/prepare.py")
    assert (step.function, step.arguments, step.parameters) == ("go", {"n": 2}, {"gain": 3})
    assert (step.on_failure, step.timeout_s) == ("abort", 2.5)
    assert step.where == "pre_acquisition_pipeline[0]"


def test_the_sessions_limit_is_every_steps(lab: Any) -> None:
    (step,), _ = lab.plan("disk_space_check", step_timeout_s=7)
    assert step.timeout_s == 7


@pytest.mark.parametrize(
    ("entry", "where", "words"),
    [
        ({"module_path": "x", "on_failure": "stop"}, '.on_failure: "stop"', "'abort'"),
        ({"module_type": "exe", "module_path": "x"}, '.module_type: "exe"', "'script_module'"),
        ({"on_failure": "abort"}, ".module_path", "must name its step"),
        ({"module_path": " "}, ".module_path", "must name its step"),
        ({"module_path": "x", "module_parameters": []}, ".module_parameters", "an object"),
        ({"module_path": "x", "timeout_s": 0}, ".timeout_s: 0", "more than 0"),
        ({"module_path": "x", "timeout_s": "9"}, ".timeout_s", "a number"),
        (
            {
                "module_type": "script_module",
                "module_path": "x.py",
                "module_parameters": {"function_args": 5},
            },
            ".module_parameters.function_args: 5",
            "a list or an object",
        ),
        (
            {"module_type": "script_module", "module_path": "../x.py"},
            ".module_path",
            "of the repository",
        ),
        (
            {"module_type": "script_module", "module_path": "C:\\x.py"},
            ".module_path",
            "of the repository",
        ),
        (
            {"module_type": "script_module", "module_path": "/x.py"},
            ".module_path",
            "of the repository",
        ),
    ],
)
def test_a_wrong_entry_is_named_with_its_place(
    lab: Any, entry: dict[str, Any], where: str, words: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        lab.plan("disk_space_check", "disk_space_check", entry, phase="before")
    (finding,) = caught.value.findings
    assert finding.where.startswith(f"pre_acquisition_pipeline[2]{where}")
    assert words in finding.message
    assert finding.fix


def test_all_faults_of_all_entries_at_once(lab: Any) -> None:
    wrong = {"module_path": "", "on_failure": "stop"}
    with pytest.raises(ParameterError) as caught:
        lab.plan(wrong, wrong)
    assert len(caught.value.findings) == 4


def test_a_mistyped_key_of_an_entry_is_warned_of(lab: Any) -> None:
    (warning,) = check(lab, "before", {"module_path": "disk_space_check", "on_failre": "abort"})
    assert (warning.level, warning.where) == ("warning", "pre_acquisition_pipeline[0].on_failre")
    assert "Did you mean 'on_failure'?" in warning.message


def test_no_steps_need_no_words(lab: Any) -> None:
    assert check(lab, "before") == []


def test_an_unknown_step_before_is_an_error_that_names_it(lab: Any) -> None:
    (finding,) = check(lab, "before", "disk_space_chek")
    assert (finding.level, finding.code) == ("error", "step-unknown")
    assert "Did you mean 'disk_space_check'?" in finding.message
    assert finding.where == 'pre_acquisition_pipeline[0]: "disk_space_chek"'
    assert "Install the package" in finding.fix


def test_an_unknown_step_after_is_a_warning(lab: Any) -> None:
    (warning,) = check(lab, "after", "our_labs_own")
    assert (warning.level, warning.code) == ("warning", "step-unknown")
    assert "skipped" in warning.message


def test_steps_that_are_all_there_are_said_to_be(lab: Any) -> None:
    (ok,) = check(lab, "before", "disk_space_check")
    assert (ok.level, ok.code) == ("ok", "steps-ready")
    assert "disk_space_check" in ok.message


def test_an_unknown_module_is_seen_without_importing_it(lab: Any, install: Any) -> None:
    install("raise SystemExit(9)")
    (missing,) = check(lab, "before", "no_such_package.steps.weigh")
    assert (missing.level, missing.code) == ("error", "step-unknown")
    assert "no_such_package" in missing.message
    (found,) = check(lab, "before", "labsteps.inner")
    assert found.level == "ok"


def test_parameters_come_from_the_file_and_over_them_from_the_entry(lab: Any, install: Any) -> None:
    install(NEEDY, needy="Needy")
    assert check(lab, "before", "needy", threshold=3)[0].level == "ok"
    (finding,) = check(lab, "before", "needy", threshold="many")
    assert finding.where == 'threshold: "many"'
    entry = {"module_path": "needy", "module_parameters": {"threshold": 4}}
    assert check(lab, "before", entry, threshold="many")[0].level == "ok"


@pytest.mark.parametrize(
    ("own", "where", "words"),
    [
        ({}, "threshold", "threshold must be given"),
        ({"threshold": "x"}, '[0].module_parameters.threshold: "x"', "a whole number"),
        ({"threshold": 1, "mode": "x"}, '[0].module_parameters.mode: "x"', "'fast' or 'safe'"),
        ({"threshold": 1, "mod": 1}, "[0].module_parameters.mod", "Did you mean 'mode'?"),
    ],
)
def test_parameters_a_step_refuses(
    lab: Any, install: Any, own: dict[str, Any], where: str, words: str
) -> None:
    install(NEEDY, needy="Needy")
    entry = {"module_path": "needy", "module_parameters": own}
    (finding,) = check(lab, "after", entry)
    assert finding.level == "error"
    assert finding.where.endswith(where)
    assert words in finding.message
    assert finding.fix


def test_an_unknown_parameter_of_an_open_step_is_a_warning(lab: Any) -> None:
    entry = {"module_path": "disk_space_check", "module_parameters": {"required_fre_gb": 5}}
    (warning,) = check(lab, "before", entry)
    assert warning.level == "warning"
    assert "required_free_gb" in warning.message


def test_a_script_that_is_not_in_the_repository(lab: Any) -> None:
    (lab.repository / "weigh.py").write_text("")
    (finding,) = check(lab, "after", {"module_type": "script_module", "module_path": "wiegh.py"})
    assert (finding.level, finding.code) == ("error", "step-script-missing")
    assert "weigh.py" in finding.fix


FUNCTIONS = """
import json
from shutil import copy as keep
try:
    from fast import weigh_all
except ImportError:
    def weigh_all(): raise SystemExit("this must not run")
if json:
    class Scale: pass
weigh = lambda: None
async def later(): pass
def run_post_acquisition(param_file): return 0
raise SystemExit("nor this")
"""


@pytest.mark.parametrize("name", ["weigh", "weigh_all", "Scale", "keep", "later", ""])
def test_a_function_that_a_file_has(lab: Any, name: str) -> None:
    (lab.repository / "scale.py").write_text(FUNCTIONS)
    entry = {"module_type": "script_module", "module_path": "scale.py", "function": name}
    (found,) = check(lab, "after", entry)
    assert (found.level, found.code) == ("ok", "steps-ready")


@pytest.mark.parametrize(
    ("phase", "name", "near"), [("after", "wiegh", "weigh"), ("before", "", ""), ("after", "x", "")]
)
def test_a_function_that_a_file_lacks(lab: Any, phase: str, name: str, near: str) -> None:
    (lab.repository / "scale.py").write_text(FUNCTIONS)
    entry = {"module_type": "script_module", "module_path": "scale.py", "function": name}
    (finding,) = check(lab, phase, entry)
    assert (finding.level, finding.code) == ("error", "step-function-missing")
    assert (name or "run_pre_acquisition or run") in finding.message
    assert near in finding.message


@pytest.mark.parametrize("script", ["from scales import *", "def __getattr__(n): ...", "def (:"])
def test_a_file_whose_functions_cannot_be_known(lab: Any, script: str) -> None:
    (lab.repository / "scale.py").write_text(script)
    entry = {"module_type": "script_module", "module_path": "scale.py", "function": "weigh"}
    assert [found.level for found in check(lab, "before", entry)] == ["ok"]


def test_a_script_needs_the_experiments_interpreter(lab: Any) -> None:
    (lab.repository / "weigh.py").write_text("def run(): ...")
    script = {"module_type": "script_module", "module_path": "weigh.py"}
    (finding,) = check(lab, "after", script, python_exe_path="/nowhere/python")
    assert (finding.code, finding.level) == ("program-missing", "error")
    assert "python_exe_path" in finding.where


def test_steps_are_found_by_entry_point() -> None:
    assert "disk_space_check" in step_names()
    assert get_step("disk_space_check").name == "disk_space_check"


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_module",
        "raise ValueError('on import')",
        "raise SystemExit(7)",
        "x = (",
        "class Broken: pass",
        "class Broken:\n    def __init__(self): raise RuntimeError('no')",
        "class Broken(Plain):\n    name = 'broken'",
    ],
)
def test_a_broken_package_is_a_plain_error(lab: Any, install: Any, source: str) -> None:
    install(source, broken="Broken")
    with pytest.raises(StepError) as caught:
        get_step("broken")
    assert caught.value.code == "step-broken"
    assert "labsteps" in caught.value.where
    (finding,) = check(lab, "after", "broken")
    assert finding.level == "error"


def test_reading_a_pipeline_needs_no_step_to_be_loaded(lab: Any, install: Any) -> None:
    install("raise SystemExit(7)", broken="Broken")
    parameters = lab.parameters(pre_acquisition_pipeline=["broken"])
    assert plan_steps("before", parameters)[0].name == "broken"
    assert plan_steps("after", parameters) == ()


def test_the_protocol_is_cheap_to_import(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, openscope_experimental_launcher.steps; "
        "print([m for m in ('pydantic', 'psutil', 'rich', 'typer') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
