"""Layers: which value wins, under which spelling, and where it came from."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.errors import ParameterError, ParameterFileNotFoundError
from openscope_experimental_launcher.parameters.layers import (
    Loaded,
    given,
    load,
    offers,
    parse_set,
)
from openscope_experimental_launcher.parameters.model import PASSED_ON, SPELLINGS, Parameters

Load = Callable[..., Loaded]
Refused = Callable[..., ParameterError]


def test_each_layer_lies_over_the_ones_before(load_params: Load) -> None:
    keys = ("modality", "session_type", "rig_id", "description", "launcher_version")
    layers = ["config", "file", "answers", "overrides"]
    values = {
        layer: dict.fromkeys(keys[: len(keys) - 1 - number], layer)
        for number, layer in enumerate(layers)
    }
    loaded = load_params(
        values["file"],
        config={"OpenScope": values["config"]},
        answers=values["answers"],
        overrides=values["overrides"],
    )
    assert [getattr(loaded.parameters, key) for key in keys] == [*reversed(layers), None]
    assert [loaded.origins[key] for key in keys] == [
        "command line",
        "prompt",
        "parameter file",
        "stim.cfg",
        "default",
    ]


def test_without_a_file() -> None:
    loaded = load(None)
    assert loaded.parameters == Parameters()
    assert (loaded.file, loaded.raw, loaded.values, loaded.warnings) == (None, None, {}, ())
    assert loaded.checksum == hashlib.sha256(b"").hexdigest()
    assert set(loaded.origins.values()) == {"default"}


def test_the_exact_bytes_and_their_checksum(params_file: Callable[[Any], Path]) -> None:
    raw = b'\xef\xbb\xbf{ "subject_id":\r\n "m" }\n\n'
    path = params_file(raw)
    loaded = load(path)
    assert (loaded.file, loaded.raw) == (path, raw)
    assert loaded.checksum == hashlib.sha256(raw).hexdigest()
    assert path.read_bytes() == raw


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParameterFileNotFoundError):
        load(tmp_path / "none.json")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.json")


class TestSpellings:
    @pytest.mark.parametrize("other", sorted(SPELLINGS))
    def test_both_are_understood_and_both_are_given_back(
        self, load_params: Load, other: str
    ) -> None:
        key = SPELLINGS[other]
        value: Any = {"x": 1} if key == "script_parameters" else "x"
        value = ["x"] if key == "python_arguments" else value
        for spelling in (other, key):
            loaded = load_params({spelling: value})
            assert getattr(loaded.parameters, key) == value
            assert loaded.values == {key: value, other: value}
            assert loaded.origins[key] == "parameter file"
            assert other not in loaded.origins
            assert loaded.warnings == ()

    def test_the_same_value_twice_is_fine(self, load_params: Load) -> None:
        loaded = load_params({"bonsai_path": "a.bonsai", "script_path": "a.bonsai"})
        assert loaded.parameters.script_path == "a.bonsai"

    def test_a_null_gives_way(self, load_params: Load) -> None:
        for content in (
            {"bonsai_path": None, "script_path": "a"},
            {"bonsai_path": "a", "script_path": None},
        ):
            assert load_params(content).parameters.script_path == "a"

    def test_different_values_are_an_error(self, refused: Refused) -> None:
        error = refused({"OutputFolder": "D:/a", "output_root_folder": "D:/b"})
        assert error.code == "parameter-two-spellings"
        assert "OutputFolder" in error.message
        assert "output_root_folder" in error.message
        assert '"D:/a"' in error.where
        assert '"D:/b"' in error.where

    def test_a_higher_layer_wins_in_the_other_spelling(self, load_params: Load) -> None:
        loaded = load_params({"OutputFolder": "D:/a"}, overrides={"output_root_folder": "D:/b"})
        assert loaded.parameters.output_root_folder == str(Path("D:/b"))
        assert loaded.values == {"OutputFolder": "D:/b", "output_root_folder": "D:/b"}
        loaded = load_params({"script_path": "a"}, overrides={"bonsai_path": "b"})
        assert loaded.parameters.script_path == "b"


class TestNull:
    def test_it_means_not_given(self, load_params: Load) -> None:
        loaded = load_params({"stop_grace_s": None, "script_parameters": None, "launcher": None})
        assert loaded.parameters == Parameters()
        assert loaded.values["stop_grace_s"] is None

    def test_it_is_passed_on_under_other_keys(self, load_params: Load) -> None:
        assert load_params({"mine": None}).parameters.others == {"mine": None}

    def test_it_hides_what_lies_below(self, load_params: Load) -> None:
        loaded = load_params({"max_duration_s": 5}, overrides={"max_duration_s": None})
        assert loaded.parameters.max_duration_s is None
        assert loaded.origins["max_duration_s"] == "command line"


class TestObjects:
    def test_the_command_line_adds_to_them(self, load_params: Load) -> None:
        loaded = load_params(
            {"bonsai_parameters": {"Gain": 1, "Name": "x"}, "expect": {"v": {"within_s": 5}}},
            overrides={
                "script_parameters": {"Gain": 2.5},
                "expect": {"v": {"on_missing": "stop"}, "w": {}},
            },
        )
        assert loaded.parameters.script_parameters == {"Gain": 2.5, "Name": "x"}
        assert loaded.parameters.expect["v"].within_s == 5
        assert loaded.parameters.expect["v"].on_missing == "stop"
        assert set(loaded.parameters.expect) == {"v", "w"}
        assert loaded.values["bonsai_parameters"] == {"Gain": 2.5, "Name": "x"}
        assert loaded.origins["script_parameters"] == "parameter file + command line"

    def test_the_file_replaces_those_of_the_configuration(self, load_params: Load) -> None:
        loaded = load_params(
            {"script_parameters": {"b": 2}}, config={"OpenScope": {"script_parameters": {"a": 1}}}
        )
        assert loaded.parameters.script_parameters == {"b": 2}
        assert loaded.origins["script_parameters"] == "parameter file"

    def test_nothing_given_is_changed(self, load_params: Load) -> None:
        overrides = {"script_parameters": {"Gain": 2}}
        config = {"OpenScope": {"script_parameters": {"a": 1}}}
        loaded = load_params({}, overrides=overrides, config=config)
        assert loaded.parameters.script_parameters == {"a": 1, "Gain": 2}
        assert overrides == {"script_parameters": {"Gain": 2}}
        assert config == {"OpenScope": {"script_parameters": {"a": 1}}}


class TestUnknownKeys:
    @pytest.mark.parametrize(
        ("key", "meant"),
        [
            ("subject", "subject_id"),
            ("subjct_id", "subject_id"),
            ("outputfolder", "OutputFolder"),
            ("SUBJECT_ID", "subject_id"),
            ("bonsai_parameter", "bonsai_parameters"),
            ("session_sync_prt", "session_sync_port"),
            ("zzz", None),
        ],
    )
    def test_they_are_kept_with_a_warning(
        self, load_params: Load, key: str, meant: str | None
    ) -> None:
        loaded = load_params({key: [1, {"x": 2}]})
        (warning,) = loaded.warnings
        assert (warning.level, warning.code) == ("warning", "parameter-unknown")
        assert key in warning.message
        assert warning.where == "params.json"
        if meant:
            assert f"Did you mean '{meant}'" in warning.message
        else:
            assert "Did you mean" not in warning.message
        assert loaded.values[key] == [1, {"x": 2}]
        assert loaded.parameters.others[key] == [1, {"x": 2}]
        assert loaded.origins[key] == "parameter file"

    def test_known_keys_give_no_warning(self, load_params: Load) -> None:
        keys = [*PASSED_ON, "protocol_id", "modality", "description", "session_type", "config_path"]
        assert load_params(dict.fromkeys(keys, "x")).warnings == ()

    def test_keys_that_placeholders_use_give_no_warning(self, load_params: Load) -> None:
        content = {"port": "COM3", "gain": 2, "command": ["{rig_param:port}", "{gain}"]}
        assert load_params(content).warnings == ()

    def test_a_typing_mistake_on_the_command_line(self, load_params: Load) -> None:
        loaded = load_params({}, overrides=parse_set(["stop_grace=3"]))
        (warning,) = loaded.warnings
        assert "'stop_grace_s'" in warning.message
        assert warning.where == "command line"

    def test_a_schema_is_accepted_and_never_fetched(self, load_params: Load) -> None:
        loaded = load_params({"$schema": "http://127.0.0.1:9/never.json"})
        assert loaded.warnings == ()
        assert loaded.values["$schema"] == "http://127.0.0.1:9/never.json"


class TestConfiguration:
    def test_what_is_taken_from_it(self, load_params: Load) -> None:
        config = {
            "Behavior": {"rig_id": "box1", "mouse_id": "m1", "stop_grace_s": 99},
            "OpenScope": {"stop_grace_s": 4, "OutputFolder": "E:/a", "command": ("a", ("b",)[0])},
        }
        loaded = load_params({}, config=config)
        assert loaded.parameters.rig_id == "box1"
        assert loaded.parameters.stop_grace_s == 4
        assert loaded.parameters.output_root_folder == str(Path("E:/a"))
        assert loaded.parameters.command == ["a", "b"]
        assert loaded.origins["rig_id"] == loaded.origins["stop_grace_s"] == "stim.cfg"
        assert loaded.parameters.subject_id is None

    def test_the_section_for_the_launcher_knows_the_rig_best(self, load_params: Load) -> None:
        config = {"A": {"rig_id": "old"}, "OpenScope": {"rig_id": "new"}}
        assert load_params({}, config=config).parameters.rig_id == "new"

    @pytest.mark.parametrize("key", ["subject_id", "mouse_id", "user_id"])
    @pytest.mark.parametrize("section", ["OpenScope", "openscope", "Behavior"])
    def test_a_stale_file_never_names_the_animal(
        self, load_params: Load, key: str, section: str
    ) -> None:
        loaded = load_params({}, config={section: {key: "m0ld"}})
        assert loaded.parameters.subject_id is None
        assert loaded.parameters.user_id is None
        assert "m0ld" not in str(loaded)

    @pytest.mark.parametrize("value", [b"x", {1, 2}, 1j, ..., float("nan"), {1: 2}, 10**400])
    def test_values_that_no_parameter_file_could_hold(self, refused: Refused, value: Any) -> None:
        error = refused({}, config={"OpenScope": {"script_parameters": {"x": [value]}}})
        assert error.code == "parameter-not-json"
        assert error.where.startswith("stim.cfg, script_parameters.x[0]")

    @pytest.mark.parametrize(
        "overrides",
        [{"a\0b": 1}, {"\ud800": 1}, {"x": [{"\0": 1}]}, {"script_parameters": {"\0": 1}}],
    )
    def test_keys_that_nothing_can_carry(self, refused: Refused, overrides: dict[str, Any]) -> None:
        error = refused({}, overrides=overrides)
        assert error.code == "parameter-text"
        assert error.where.isprintable()

    def test_faults_name_the_layer(self, refused: Refused) -> None:
        error = refused(
            {"stop_grace_s": -1},
            config={"OpenScope": {"kill_threshold": 0}},
            answers={"subject_id": "a/b"},
            overrides={"on_hang": "x", "command": "ls\udc80"},
        )
        places = sorted(finding.where.partition(",")[0] for finding in error.findings)
        assert places == ["answer", "command line", "command line", "params.json", "stim.cfg"]


class TestOffers:
    def test_they_come_from_any_section(self) -> None:
        config = {"Behavior": {"mouse_id": 614173}, "SweepStim": {"userid": "kim", "mouseid": "t"}}
        assert offers(config) == {"subject_id": "614173", "user_id": "kim"}

    def test_the_section_for_the_launcher_comes_first(self) -> None:
        config = {"Behavior": {"mouse_id": "a"}, "OpenScope": {"subject_id": "b"}}
        assert offers(config) == {"subject_id": "b"}

    def test_what_no_session_could_have_is_not_offered(self) -> None:
        config = {"A": {"mouse_id": "a/b", "user_id": ""}, "B": {"mouse_id": None, "user_id": True}}
        assert offers(config) == {}
        assert offers({**config, "C": {"mouse_id": "ok"}}) == {"subject_id": "ok"}
        assert offers({}) == {}


class TestSet:
    @pytest.mark.parametrize(
        ("assignments", "expected"),
        [
            ([], {}),
            (["stop_grace_s=2"], {"stop_grace_s": 2}),
            (["kill_threshold=12.5"], {"kill_threshold": 12.5}),
            (["sound_on_end=true"], {"sound_on_end": True}),
            (["max_duration_s=null"], {"max_duration_s": None}),
            (['command=["a", "b"]'], {"command": ["a", "b"]}),
            (["subject_id=00123"], {"subject_id": "00123"}),
            (["subject_id=614173"], {"subject_id": "614173"}),
            (["mouse_id=1e3"], {"subject_id": "1e3"}),
            (["repository_commit_hash=1234567"], {"repository_commit_hash": "1234567"}),
            (["description=true"], {"description": "true"}),
            (["output_root_folder=D:/a=b"], {"output_root_folder": "D:/a=b"}),
            (["protocol_id=3"], {"protocol_id": 3}),
            (["protocol_id=x"], {"protocol_id": "x"}),
            (["my_key=007"], {"my_key": "007"}),
            (["my_key=NaN"], {"my_key": "NaN"}),
            (["my_key= a b "], {"my_key": " a b "}),
            (["my_key="], {"my_key": ""}),
            (["script_parameters.Gain=2.5"], {"script_parameters": {"Gain": 2.5}}),
            (["script_parameters.G.P=x"], {"script_parameters": {"G.P": "x"}}),
            (["script_parameters.S="], {"script_parameters": {"S": ""}}),
            (
                ["bonsai_parameters.A=1", "script_parameters.B=2"],
                {"script_parameters": {"A": 1, "B": 2}},
            ),
            (['expect.video.avi={"within_s": 5}'], {"expect": {"video.avi": {"within_s": 5}}}),
            (["matlab_entrypoint_kwargs.n=1"], {"matlab_entrypoint_kwargs": {"n": 1}}),
            (["stop_grace_s=1", "stop_grace_s=2"], {"stop_grace_s": 2}),
        ],
    )
    def test_what_is_read(self, assignments: list[str], expected: dict[str, Any]) -> None:
        assert parse_set(assignments) == expected

    @pytest.mark.parametrize(
        "assignment", ["stop_grace_s", "=3", "", ".x=1", "script_parameters.=1", "subject_id.x=1"]
    )
    def test_what_is_none(self, assignment: str) -> None:
        with pytest.raises(ParameterError) as caught:
            parse_set(["launcher=python", assignment])
        assert caught.value.code == "set-invalid"
        assert caught.value.fix

    @pytest.mark.parametrize("assignment", ["=3", "script_parameters.=3", "subject_id.x=1"])
    def test_it_is_shown_whole(self, assignment: str) -> None:
        with pytest.raises(ParameterError) as caught:
            parse_set([assignment])
        assert f'--set "{assignment}" ' in caught.value.message

    def test_but_a_secret_is_not(self) -> None:
        with pytest.raises(ParameterError) as caught:
            parse_set(["subject_id.password=hunter2"])
        assert "hunter2" not in str(caught.value)

    def test_all_at_once(self) -> None:
        with pytest.raises(ParameterError) as caught:
            parse_set(["a", "b=1", "=c"])
        assert len(caught.value.findings) == 2

    def test_the_whole_way(self, load_params: Load) -> None:
        overrides = parse_set(["mouse_id=00123", "script_parameters.Gain=2.5", "stop_grace_s=1"])
        loaded = load_params(
            {"subject_id": "x", "script_parameters": {"A": 1}}, overrides=overrides
        )
        assert loaded.parameters.subject_id == "00123"
        assert loaded.parameters.script_parameters == {"A": 1, "Gain": 2.5}
        assert loaded.parameters.stop_grace_s == 1


class TestGiven:
    def test_what_is_needed_before_loading(self, params_file: Callable[[Any], Path]) -> None:
        path = params_file({"config_path": "a.cfg", "stop_grace_s": "bad", "bonsai_path": "x"})
        assert given(path, {"config_path": "b.cfg"}) == {
            "config_path": "b.cfg",
            "stop_grace_s": "bad",
            "bonsai_path": "x",
            "script_path": "x",
        }
        assert given(None) == {}

    def test_a_file_that_cannot_be_read(self, params_file: Callable[[Any], Path]) -> None:
        with pytest.raises(ParameterError):
            given(params_file(b"{"))


def test_paths_are_taken_from_scripts(load_params: Load, tmp_path: Path) -> None:
    loaded = load_params({}, overrides={"output_root_folder": tmp_path})
    assert loaded.parameters.output_root_folder == os.fspath(tmp_path)


def test_nothing_heavy_is_imported_on_the_way_to_the_acquisition() -> None:
    package = "openscope_experimental_launcher"
    code = (
        f"import sys, {package}.parameters.prompts, {package}.utils.config_loader as c\n"
        f"from {package}.parameters.layers import load\n"
        "load(None); c.ConfigLoader().load_config({})\n"
        "heavy = {'rich', 'psutil', 'typer', 'jinja2', 'configparser', 'subprocess'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
