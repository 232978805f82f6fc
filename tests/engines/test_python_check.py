"""What a check finds about a Python script, by real interpreters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.engines import FolderSource
from openscope_experimental_launcher.engines.imports import imports_of
from openscope_experimental_launcher.engines.python import PythonEngine
from openscope_experimental_launcher.errors import Finding
from openscope_experimental_launcher.parameters.model import Parameters

Checked = Callable[..., list[Finding]]


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """The findings about `task.py` and the files beside it, without the ok ones."""

    def check(script: str, *, rehearsal: bool = False, **given: Any) -> list[Finding]:
        files = {"task.py": script, **given.pop("files", {})}
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        parameters = Parameters(launcher="python", script_path="task.py", **given)
        source, engine = FolderSource(tmp_path), PythonEngine()
        launch = engine.prepare(parameters, source, "/session", rehearsal=rehearsal)
        return [f for f in engine.check(parameters, source, launch) if f.level != "ok"]

    return check


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in findings]


def test_a_script_that_can_start(checked: Checked) -> None:
    script = "import json, os.path\nfrom pathlib import Path\nimport pydantic.fields\nprint('ü')\n"
    assert checked(script) == []


def test_a_missing_module_is_an_error_with_its_line(checked: Checked) -> None:
    (finding,) = checked("import json\n\nimport no_such_a\nfrom no_such_b.c import d\n")
    assert told([finding]) == [("error", "script-import-missing")]
    assert "no_such_a, no_such_b" in finding.message
    assert "task.py, line 3: no_such_a; task.py, line 4: no_such_b" in finding.where
    assert sys.executable in finding.message


@pytest.mark.parametrize(
    "script",
    [
        "def main():\n    import no_such\n",
        "import os\nif os.name == 'odd':\n    import no_such\n",
        "import sys\nsys.path.insert(0, 'lib')\nimport no_such\n",
        "try:\n    pass\nexcept OSError:\n    import no_such\n",
        "match 1:\n    case 2:\n        import no_such\n",
    ],
)
def test_one_that_may_not_be_needed_is_a_warning(checked: Checked, script: str) -> None:
    assert told(checked(script)) == [("warning", "script-import-missing")]


@pytest.mark.parametrize(
    "script",
    [
        "try:\n    import no_such\nexcept ImportError:\n    no_such = None\n",
        "try:\n    import no_such\nexcept (ModuleNotFoundError, OSError):\n    pass\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import no_such\n",
        "from __future__ import annotations\n",
        "text = 'import no_such'\n",
    ],
)
def test_one_whose_absence_is_seen_to_is_none(checked: Checked, script: str) -> None:
    assert checked(script) == []


def test_modules_beside_the_script_are_followed(checked: Checked) -> None:
    files = {
        "helper.py": "import stimuli.gratings\nimport task\n",
        "stimuli/__init__.py": "",
        "stimuli/gratings.py": "import no_such\n",
        "plain/part.py": "",
    }
    script = "import helper\nfrom plain import part\nimport plain.part\n"
    (finding,) = checked(script, files=files)
    assert told([finding]) == [("error", "script-import-missing")]
    assert finding.where == "gratings.py, line 1: no_such"


def test_a_module_that_is_reached_perhaps_is_a_warning(checked: Checked) -> None:
    script = "def main():\n    import helper\n"
    assert told(checked(script, files={"helper.py": "import no_such\n"})) == [
        ("warning", "script-import-missing")
    ]


def test_the_experiments_own_interpreter_is_asked(checked: Checked, tmp_path: Path) -> None:
    environment = tmp_path / "venv with space"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (finding,) = checked("import pydantic\n", python_venv_path=str(environment))
    assert "pydantic" in finding.message
    assert str(environment) in finding.message
    (site,) = environment.glob("[Ll]ib/**/site-packages")
    (site / "pydantic.py").touch()
    assert checked("import pydantic\n", python_venv_path=str(environment)) == []
    isolated = {"python_venv_path": str(environment), "python_arguments": ["-S", "-u"]}
    assert told(checked("import pydantic\n", **isolated)) == [("error", "script-import-missing")]


def test_the_syntax_is_judged_by_that_interpreter(checked: Checked) -> None:
    (finding,) = checked("import json\nprint 'hello'\n")
    assert told([finding]) == [("error", "script-syntax")]
    assert "task.py, line 2" in finding.where
    assert "Python 3." in finding.message


def test_nothing_of_the_script_is_run(checked: Checked, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = f"import helper\nopen({str(trace)!r}, 'w')\n"
    assert checked(script, files={"helper.py": f"open({str(trace)!r}, 'w')\n"}) == []
    assert not trace.exists()
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")
@pytest.mark.parametrize("body", ["echo broken >&2; exit 3", "echo no json"])
def test_an_interpreter_that_is_none_is_a_warning(
    checked: Checked, tmp_path: Path, body: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    findings = checked("import json\n", python_exe_path=str(program))
    assert told(findings) == [("warning", "script-not-checked")]


def test_an_interpreter_that_is_not_there_is_an_error(checked: Checked) -> None:
    assert told(checked("import no_such\n", python_exe_path="/no/python")) == [
        ("error", "program-missing")
    ]


def test_a_rehearsal_asks_no_interpreter(checked: Checked) -> None:
    assert checked("import no_such\n", rehearsal=True, python_exe_path="/no/python") == []
    assert told(checked("print 'x'\n", rehearsal=True)) == [("warning", "script-syntax")]


def test_scripts_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    for content in (b"\xff\xfe", b"import \0", b"(" * 100_000, b"def f(:\n"):
        (tmp_path / "task.py").write_bytes(content)
        assert imports_of(tmp_path / "task.py", FolderSource(tmp_path)) == []


def test_many_modules_end(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"m{number}.py").write_text(f"import m{number + 1}\nimport m0\n")
    assert imports_of(tmp_path / "m0.py", FolderSource(tmp_path)) == []


def test_a_command_that_cannot_be_run_is_found(
    write_parameters: Callable[..., Path], openscope: Callable[..., Any], workplace: Path
) -> None:
    (workplace / "tool").write_text("x")
    common = {"launcher": "command", "subject_id": "1", "user_id": "a", "OutputFolder": "data"}
    for program, said in (
        ("no-such-program", "The program is not there"),
        (str(workplace), "The program is a folder"),
        ("./tool", "may not be executed"),
    ):
        file = write_parameters(**common, command=[program])
        done = openscope("check", str(file))
        assert said in done.stdout
        assert done.returncode == 1
