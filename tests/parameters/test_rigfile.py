"""The rig file: where it is looked for, what it gives, what it may not decide."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.base.options import RunOptions
from openscope_experimental_launcher.errors import ParameterError, ParameterFileNotFoundError
from openscope_experimental_launcher.parameters import rigfile
from openscope_experimental_launcher.parameters.layers import Loaded, load, offers
from openscope_experimental_launcher.parameters.rigfile import (
    RigFile,
    find_rig_file,
    read_rig_file,
)

Load = Callable[..., Loaded]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="a system without drives")

RIG = """
rig_id = "rig 3"
stop_grace_s = 20.0
output_root_folder = 'D:\\sessions'
COM_port = "COM4"
light_level = 3
calibrated = 2025-03-01
subject_id = "999"

[script_parameters]
Gain = 2.5
"""


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A rig file that the environment names."""
    file = tmp_path / "Über rig.toml"
    file.write_text(RIG, encoding="utf-8")
    monkeypatch.setenv("OPENSCOPE_RIG_CONFIG", str(file))
    return file


@pytest.fixture
def no_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The default place, moved to where this test may write."""
    place = tmp_path / "default" / "rig_config.toml"
    monkeypatch.setattr(rigfile, "DEFAULT_RIG_CONFIG", str(place))
    return place


class TestWhere:
    def test_none_is_needed(self, no_default: Path) -> None:
        assert find_rig_file({}) == RigFile(None, "", {})

    def test_the_default_place(self, no_default: Path) -> None:
        no_default.parent.mkdir()
        no_default.write_text('rig_id = "a"')
        assert find_rig_file({}) == RigFile(no_default, "default place", {"rig_id": "a"})

    def test_the_environment_comes_before_it(self, no_default: Path, rig: Path) -> None:
        no_default.parent.mkdir()
        no_default.write_text('rig_id = "a"')
        found = find_rig_file({})
        assert (found.path, found.named_by) == (rig, "OPENSCOPE_RIG_CONFIG")

    def test_the_parameters_come_first(self, rig: Path, tmp_path: Path) -> None:
        named = tmp_path / "named.toml"
        named.write_text('rig_id = "b"')
        found = find_rig_file({"rig_config_path": str(named)})
        assert (found.path, found.named_by, found.values) == (
            named,
            "rig_config_path",
            {"rig_id": "b"},
        )

    @pytest.mark.parametrize("by", ["OPENSCOPE_RIG_CONFIG", "rig_config_path"])
    def test_one_that_is_named_must_be_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
    ) -> None:
        gone = str(tmp_path / "gone.toml")
        monkeypatch.setenv("OPENSCOPE_RIG_CONFIG", gone)
        with pytest.raises(ParameterFileNotFoundError) as caught:
            find_rig_file({by: gone})
        assert caught.value.code == "rig-file-missing"
        assert caught.value.where.startswith(by)
        assert "openscope rig init" in caught.value.fix

    @posix
    def test_a_drive_is_not_looked_for_in_the_current_folder(
        self, no_default: Path, workplace: Path
    ) -> None:
        here = workplace / "C:" / "RigConfig"
        here.mkdir(parents=True)
        (here / "rig.toml").write_text('rig_id = "wrong"')
        assert find_rig_file({"rig_config_path": "C:/RigConfig/rig.toml"}).path is None

    @posix
    def test_a_rehearsal_maps_the_drive_or_does_without(
        self, no_default: Path, workplace: Path
    ) -> None:
        asked = {"rig_config_path": "C:\\RigConfig\\rig.toml"}
        without = find_rig_file(asked, rehearsal=True)
        assert (without.path, without.findings[0].code) == (None, "rehearsal-rig-file")
        mapped = workplace / "rehearsal" / "C" / "RigConfig" / "rig.toml"
        assert str(mapped) in without.findings[0].fix
        mapped.parent.mkdir(parents=True)
        mapped.write_text('rig_id = "desk"')
        found = find_rig_file(asked, rehearsal=True)
        assert (found.path, found.values, found.findings) == (mapped, {"rig_id": "desk"}, ())


class TestWhatItGives:
    def test_it_lies_below_the_parameter_file_and_above_stim_cfg(
        self, load_params: Load, rig: Path
    ) -> None:
        loaded = load_params(
            {"stop_grace_s": 5.0},
            rig=find_rig_file({}),
            config={"OpenScope": {"rig_id": "old", "stop_grace_s": 1.0, "modality": "x"}},
        )
        assert loaded.parameters.rig_id == "rig 3"
        assert loaded.parameters.stop_grace_s == 5.0
        assert loaded.origins["rig_id"] == "rig file"
        assert loaded.origins["stop_grace_s"] == "parameter file"
        assert loaded.origins["modality"] == "stim.cfg"
        assert loaded.parameters.script_parameters == {"Gain": 2.5}

    def test_rig_values_stand_in_texts_and_a_file_may_override_them(
        self, load_params: Load, rig: Path
    ) -> None:
        content = {"command": ["{rig_param:COM_port} {rig_param:light_level}"]}
        given: dict[str, Any] = {"rig": find_rig_file({})}
        assert load_params(content, **given).parameters.command == ["COM4 3"]
        over = load_params({**content, "COM_port": "COM9"}, **given)
        assert over.parameters.command == ["COM9 3"]

    def test_a_rig_value_that_nobody_gives_names_those_that_are(
        self, refused: Callable[..., ParameterError], rig: Path
    ) -> None:
        error = refused({"command": ["{rig_param:COM_prt}"]}, rig=find_rig_file({}))
        assert error.code == "placeholder-unknown"
        assert "Did you mean 'COM_port'?" in error.message
        assert "{light_level}" in error.fix
        assert "rig file" in error.fix

    def test_a_value_that_only_other_files_refer_to_is_no_warning(
        self, load_params: Load, rig: Path
    ) -> None:
        assert load_params({}, rig=find_rig_file({})).warnings == ()

    def test_a_mistyped_parameter_is(self, load_params: Load, tmp_path: Path) -> None:
        rig = RigFile(tmp_path / "r.toml", "", {"stop_grase_s": 5.0})
        (warning,) = load_params({}, rig=rig).warnings
        assert "Did you mean 'stop_grace_s'?" in warning.message
        assert "r.toml" in warning.where

    def test_what_is_wrong_in_it_is_named_with_its_place(
        self, refused: Callable[..., ParameterError], tmp_path: Path
    ) -> None:
        rig = RigFile(tmp_path / "r.toml", "", {"stop_grace_s": "long"})
        assert refused({}, rig=rig).where.startswith(str(tmp_path / "r.toml"))

    def test_the_subject_in_it_is_only_offered(self, load_params: Load, rig: Path) -> None:
        found = find_rig_file({})
        loaded = load_params({}, rig=found)
        assert loaded.parameters.subject_id is None
        assert "subject_id" not in loaded.values
        stim_cfg = {"OpenScope": {"subject_id": "old", "user_id": "kim"}}
        assert offers(stim_cfg, found.values) == {"subject_id": "999", "user_id": "kim"}

    def test_an_experiment_finds_it(self, rig: Path, workplace: Path) -> None:
        experiment = BaseExperiment(RunOptions(defaults=True))
        experiment.load_parameters(None)
        assert experiment.origins["rig_id"] == "rig file"
        assert experiment.platform_info["rig_id"] == "rig 3"
        assert experiment.params["COM_port"] == "COM4"
        assert experiment.subject_id == "test_subject"

    def test_it_may_say_where_stim_cfg_is(self, workplace: Path, rig: Path) -> None:
        (workplace / "stim.cfg").write_text("[OpenScope]\nmodality = 'ecephys'\n")
        rig.write_text(f"config_path = '{workplace / 'stim.cfg'}'\n", encoding="utf-8")
        experiment = BaseExperiment(RunOptions(defaults=True))
        experiment.load_parameters(None)
        assert experiment.params["modality"] == "ecephys"


class TestBroken:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b'rig_id = "a"\nrig_id = "b"\n', "line 2"),
            (b'path = "C:\\data"', "no valid TOML"),
            (b"rig_id = a", "line 1"),
            (b"\xff\xfe", "not UTF-8"),
            (b"x = " + b"[" * 50_000, "no valid TOML"),
            (b"x = " + b"9" * 10_000, "no valid TOML"),
        ],
    )
    def test_one_clear_error(self, tmp_path: Path, content: bytes, words: str) -> None:
        file = tmp_path / "rig.toml"
        file.write_bytes(content)
        with pytest.raises(ParameterError) as caught:
            read_rig_file(file)
        assert caught.value.code == "rig-file-broken"
        assert words in caught.value.message
        assert str(file) in caught.value.where

    def test_notepad_leaves_a_mark_at_the_beginning(self, tmp_path: Path) -> None:
        file = tmp_path / "rig.toml"
        file.write_bytes(b'\xef\xbb\xbfrig_id = "a"\r\n')
        assert read_rig_file(file) == {"rig_id": "a"}

    def test_what_json_cannot_hold(
        self, refused: Callable[..., ParameterError], tmp_path: Path
    ) -> None:
        file = tmp_path / "rig.toml"
        file.write_text("gain = nan\n[x]\nat = 07:32:00\nlist = [2025-03-01T07:32:00Z]\n")
        values = read_rig_file(file)
        assert values["x"] == {"at": "07:32:00", "list": ["2025-03-01T07:32:00+00:00"]}
        assert refused({}, rig=RigFile(file, "", values)).code == "parameter-not-json"


class TestTheCommand:
    def test_init_writes_a_file_that_can_be_read_and_never_over_another(
        self, openscope: Openscope, workplace: Path
    ) -> None:
        file = workplace / "neu" / "rig.toml"
        done = openscope("rig", "init", str(file))
        assert done.returncode == 0, done.stderr
        written = file.read_bytes()
        assert set(read_rig_file(file)) == {"rig_id"}
        # What is commented out is TOML too, and every known key in it is one.
        lines = [line.removeprefix("# ") for line in written.decode().splitlines()]
        (file.parent / "all.toml").write_text(
            "\n".join(line for line in lines if " = " in line), encoding="utf-8"
        )
        everything = read_rig_file(file.parent / "all.toml")
        assert everything["stimulus_port"] == "COM3"
        assert load(None, rig=RigFile(file, "", everything)).warnings == ()
        again = openscope("rig", "init", str(file))
        assert (again.returncode, "not touched" in again.stderr) == (1, True)
        assert file.read_bytes() == written

    def test_init_writes_where_it_will_be_looked_for(
        self, openscope: Openscope, workplace: Path
    ) -> None:
        env = {"OPENSCOPE_RIG_CONFIG": str(workplace / "rig.toml")}
        assert openscope("rig", "init", env=env).returncode == 0
        shown = openscope("rig", "show", env=env)
        assert "(from: OPENSCOPE_RIG_CONFIG)" in shown.stdout
        assert "rig_id" in shown.stdout

    def test_show_says_what_a_parameter_file_lays_over_it(
        self, openscope: Openscope, rig: Path, workplace: Path
    ) -> None:
        (workplace / "p.json").write_text(json.dumps({"COM_port": "COM9"}))
        shown = openscope("rig", "show", "p.json").stdout
        rows = {line.split()[0]: line for line in shown.splitlines()[2:]}
        assert "COM9" in rows["COM_port"] and "parameter file, over 'COM4'" in rows["COM_port"]
        assert rows["stop_grace_s"].endswith("rig file")
        assert rows["subject_id"].endswith("only offered")

    def test_plan_shows_the_layer(
        self, openscope: Openscope, rig: Path, workplace: Path, write_parameters: Any
    ) -> None:
        (workplace / "task.py").write_text("")
        file = write_parameters(
            launcher="python", script_path="task.py", output_root_folder="data", subject_id="1"
        )
        shown = openscope("plan", str(file), "--user", "kim")
        assert shown.returncode == 0, shown.stderr
        (row,) = [line for line in shown.stdout.splitlines() if line.startswith("stop_grace_s")]
        assert row.split() == ["stop_grace_s", "20.0", "rig", "file"]
