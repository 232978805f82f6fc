"""Paths: expanded first, then given this system's separators, and only where they are paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher import __version__
from openscope_experimental_launcher.errors import ParameterError
from openscope_experimental_launcher.parameters.layers import Loaded
from openscope_experimental_launcher.parameters.paths import (
    on_missing_drive,
    rehearsal_path,
    with_own_separators,
)
from openscope_experimental_launcher.parameters.placeholders import SLOT_FOLDER, SLOT_ROOT

Load = Callable[..., Loaded]
posix = pytest.mark.skipif(sys.platform == "win32", reason="a system without drives")
SEP = os.sep
WORKFLOW = Path(__file__).parents[1] / "bonsai" / "workflows" / "minimal.bonsai"


@pytest.fixture
def expanded(load_params: Load) -> Callable[..., Any]:
    def expand(text: Any, rehearsal: bool = False, **more: Any) -> Any:
        content = {"output_root_folder": "data", "text": text, **more}
        loaded = load_params(content, rehearsal=rehearsal)
        return loaded.parameters.others["text"]

    return expand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{output_session_folder}\\notes\\x.txt", f"{SLOT_FOLDER}{SEP}notes{SEP}x.txt"),
        ("{output_session_folder}/notes/x.txt", f"{SLOT_FOLDER}{SEP}notes{SEP}x.txt"),
        ("{output_root_folder}\\a/b", f"data{SEP}a{SEP}b"),
        ("{OutputFolder}\\a", f"data{SEP}a"),
        ("{local_repository_path}\\a", f"repos{SEP}here{SEP}a"),
        ("{rig_param:output_root_folder}\\a", f"data{SEP}a"),
        ("{notes_folder}\\a", f"{SLOT_FOLDER}{SEP}notes{SEP}a"),
        ("{further}\\a", f"{SLOT_FOLDER}{SEP}notes{SEP}deep{SEP}a"),
    ],
)
def test_a_value_that_begins_with_a_path_is_one(
    expanded: Callable[..., Any], text: str, expected: str
) -> None:
    more = {
        "local_repository_path": "repos\\here",
        "notes_folder": "{output_session_folder}\\notes",
        "further": "{notes_folder}\\deep",
    }
    assert expanded(text, **more) == expected
    assert expanded({"a": [text]}, **more) == {"a": [expected]}


@pytest.mark.parametrize(
    "text",
    [
        "8_direction\n",
        "8_direction\\n",
        "C:\\data\\x",
        "a/b\\c",
        "\\d+/\\w",
        "http://x/y\\z",
        "x{output_session_folder}\\notes",
        " {output_root_folder}\\a/b",
        "{gain}\\a/b",
        "{{output_root_folder}}\\a/b",
    ],
)
def test_no_other_text_is_touched(expanded: Callable[..., Any], text: str) -> None:
    filled = (
        text.replace("{output_session_folder}", SLOT_FOLDER)
        .replace("{gain}", "2")
        .replace("{{output_root_folder}}", "{output_root_folder}")
    )
    if not text.startswith("{{"):
        filled = filled.replace("{output_root_folder}", "data")
    assert expanded(text, gain=2) == filled


@pytest.mark.parametrize("key", ["script_path", "bonsai_exe_path", "bonsai_setup_script"])
def test_a_field_that_is_a_path_gets_its_separators(load_params: Load, key: str) -> None:
    loaded = load_params({key: "code\\stimulus/x.bonsai"})
    assert getattr(loaded.parameters, key) == f"code{SEP}stimulus{SEP}x.bonsai"
    assert loaded.values[key] == "code\\stimulus/x.bonsai"


@posix
@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("C:\\data", True),
        ("d:/data", True),
        ("\\\\server\\share\\x", True),
        ("//server/share/x", True),
        ("/data", False),
        ("data\\x", False),
        ("\0output_session_folder\0/x", False),
        ("", False),
    ],
)
def test_drives_and_shares_are_known(path: str, missing: bool) -> None:
    assert on_missing_drive(path) is missing


def test_on_windows_every_drive_may_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert not on_missing_drive("C:/data")
    assert with_own_separators("C:/a\\b") == "C:\\a\\b"


@posix
class TestDrives:
    def test_they_are_left_as_written_for_the_checks_to_refuse(self, load_params: Load) -> None:
        loaded = load_params({"output_root_folder": "D:\\data", "local_repository_path": "C:/r"})
        assert loaded.parameters.output_root_folder == "D:\\data"
        assert loaded.parameters.local_repository_path == "C:/r"

    def test_a_rehearsal_maps_them(self, load_params: Load, workplace: Path) -> None:
        loaded = load_params(
            {
                "output_root_folder": "D:\\data",
                "local_repository_path": "C:/Temp",
                "centralized_log_directory": "\\\\allen\\logs\\x",
                "script_path": "code\\x.bonsai",
                "command": ["{output_root_folder}\\x", "E:/stays"],
            },
            rehearsal=True,
        ).parameters
        below = workplace / "rehearsal"
        assert loaded.output_root_folder == str(below / "D" / "data")
        assert loaded.local_repository_path == str(below / "C" / "Temp")
        assert loaded.centralized_log_directory == str(below / "allen" / "logs" / "x")
        assert loaded.script_path == "code/x.bonsai"
        assert loaded.command == [str(below / "D" / "data" / "x"), "E:/stays"]

    def test_an_interpreter_that_is_elsewhere_is_replaced_in_a_rehearsal(
        self, load_params: Load
    ) -> None:
        content = {"python_exe_path": "C:/Python311/python.exe", "python_venv_path": "D:/env"}
        loaded = load_params(content, rehearsal=True)
        assert loaded.parameters.python_exe_path is None
        assert loaded.parameters.python_venv_path is None
        assert [w.code for w in loaded.warnings] == ["rehearsal-interpreter"] * 2

    @pytest.mark.parametrize(
        "values",
        [
            {"launcher": "python", "python_exe_path": "C:\\Python311\\python.exe"},
            {"launcher": "python", "python_venv_path": "D:/environments/stim"},
            {"launcher": "bonsai", "bonsai_exe_path": "C:/Bonsai/Bonsai.exe"},
            {"launcher": "command", "command": ["//server/tools/run.exe"]},
        ],
    )
    def test_a_program_on_one_is_refused_once_and_as_it_was_written(
        self, openscope: Any, write_parameters: Any, workplace: Path, values: dict[str, Any]
    ) -> None:
        (workplace / "task").write_bytes(WORKFLOW.read_bytes())
        checked = openscope("check", str(write_parameters(script_path="task", **values)))
        (key, named) = list(values.items())[1]
        written = named[0] if isinstance(named, list) else named
        assert checked.returncode == 1
        assert checked.stdout.count("✗") == 1, checked.stdout
        assert f"where: {key}: {written}\n" in checked.stdout

    def test_the_checks_name_each_of_them(
        self, openscope: Any, write_parameters: Any, workplace: Path
    ) -> None:
        (workplace / "task.py").write_text("")
        file = write_parameters(
            launcher="python",
            script_path="task.py",
            output_root_folder="D:\\data",
            centralized_log_directory="//server/share",
            config_path="C:/stim.cfg",
            rig_config_path="C:/rig.toml",
        )
        checked = openscope("check", str(file))
        assert checked.returncode == 1
        for where in (
            "output_root_folder: D:\\data",
            "centralized_log_directory: //server/share",
            "config_path: C:/stim.cfg",
            "rig_config_path: C:/rig.toml",
        ):
            assert where in checked.stdout
        assert "this system has none" in checked.stdout
        run = openscope("run", str(file), "--yes", "--defaults")
        assert run.returncode == 1
        assert {entry.name for entry in workplace.iterdir()} == {"task.py", "params.json"}
        rehearsed = openscope("run", str(file), "--yes", "--defaults", "--rehearse")
        assert rehearsed.returncode == 0, rehearsed.stdout + rehearsed.stderr
        (session,) = (workplace / "rehearsal" / "D" / "data").iterdir()
        assert (session / "manifest.json").is_file()


def test_an_output_folder_of_a_rehearsal_is_always_below_it(
    load_params: Load, workplace: Path
) -> None:
    content = {"output_root_folder": str(workplace / "real"), "subject_id": "m"}
    loaded = load_params({**content, "command": ["{output_root_folder}"]}, rehearsal=True)
    mapped = str(rehearsal_path(str(workplace / "real")))
    assert loaded.parameters.output_root_folder == mapped
    assert loaded.parameters.command == [mapped]
    none = load_params({"command": ["{output_root_folder}"]}, rehearsal=True)
    assert none.parameters.command == [SLOT_ROOT]


class TestLauncherVersion:
    @pytest.mark.parametrize(
        "wanted", [">=1.0", f"=={__version__}", __version__, "~=1.0", ">=0.9,<2", "!=0.3", " >=1 "]
    )
    def test_one_that_fits(self, load_params: Load, wanted: str) -> None:
        assert load_params({"launcher_version": wanted}).parameters.launcher_version

    @pytest.mark.parametrize("wanted", [">=99", "0.3.1", "<1", "==1.0.0.post1"])
    def test_one_that_does_not(self, refused: Callable[..., ParameterError], wanted: str) -> None:
        error = refused({"launcher_version": wanted})
        assert error.code == "launcher-version"
        assert f"this is {__version__}" in error.message
        assert error.where.startswith("params.json, launcher_version")

    @pytest.mark.parametrize("wanted", ["latest", ">=", "1.x", ">=1;x", "=1"])
    def test_what_is_no_version(self, refused: Callable[..., ParameterError], wanted: str) -> None:
        assert refused({"launcher_version": wanted}).code == "launcher-version-invalid"

    def test_without_it_nothing_is_imported(self) -> None:
        import subprocess

        code = (
            "import sys; from openscope_experimental_launcher.parameters.layers import load; "
            "load(None); print('packaging' in sys.modules, 'tomllib' in sys.modules)"
        )
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert said.stdout.split() == ["False", "False"]
