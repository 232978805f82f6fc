"""Placeholders: plain keys, at any depth, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.errors import ParameterError
from openscope_experimental_launcher.parameters.layers import Loaded
from openscope_experimental_launcher.parameters.placeholders import (
    SLOT_FOLDER,
    SLOT_ROOT,
    SLOT_UUID,
    bind,
    show,
)

Load = Callable[..., Loaded]
Refused = Callable[..., ParameterError]


@pytest.fixture
def expanded(load_params: Load) -> Callable[..., Any]:
    """What becomes of a text in a file that also gives the usual things."""

    def expand(text: Any, **more: Any) -> Any:
        content = {
            "subject_id": 614173,
            "user_id": "kim",
            "output_root_folder": "D:/data",
            "port": "COM3",
            "gain": 2.5,
            "on": True,
            "text": text,
            **more,
        }
        return load_params(content).parameters.others["text"]

    return expand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{subject_id}", "614173"),
        ("m{subject_id}_{user_id}", "m614173_kim"),
        ("{mouse_id}", "614173"),
        ("{output_root_folder}/x", str(Path("D:/data/x"))),
        ("{OutputFolder}", str(Path("D:/data"))),
        ("{rig_param:port} {port}", "COM3 COM3"),
        ("{gain} {on} {kill_threshold}", "2.5 true 90.0"),
        ("{output_session_folder}\\notes\\x.txt", str(Path(f"{SLOT_FOLDER}/notes/x.txt"))),
        ("{session_uuid}", SLOT_UUID),
        ("{{subject_id}}", "{subject_id}"),
        ("{{", "{"),
        ("{{{subject_id}}}", "{614173}"),
        ("{{x}} {subject_id}", "{x} 614173"),
    ],
)
def test_plain_keys_are_replaced(expanded: Callable[..., Any], text: str, expected: str) -> None:
    assert expanded(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{a.__class__}",
        "{subject_id.__class__}",
        "{subject_id!r}",
        "{subject_id:>10}",
        "{subject_id[0]}",
        "{0}",
        "{}",
        "{ subject_id }",
        "{1,2}",
        "$SECRET %PATH% ~",
        '{"x": 1}',
        '{"a": {"b": {"c": 1}}}',
        "\\d{3,4}",
        "8_direction\n",
        "{rig_param:a.b}",
        "{rig_param:}",
        "{other:port}",
        "}}",
        "{",
    ],
)
def test_everything_else_is_left_alone(
    expanded: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SECRET", "leaked")
    assert expanded(text) == text


def test_any_depth(expanded: Callable[..., Any]) -> None:
    value = {"a": [{"b": "{subject_id}"}, 1, None, True], "{subject_id}": 2.5}
    assert expanded(value) == {"a": [{"b": "614173"}, 1, None, True], "{subject_id}": 2.5}


def test_keys_refer_to_keys(load_params: Load) -> None:
    parameters = load_params(
        {"subject_id": "m", "a": "<{b}>", "b": "[{c}]", "c": "{subject_id}{{x}}"}
    ).parameters
    assert parameters.others == {"a": "<[m{x}]>", "b": "[m{x}]", "c": "m{x}"}


def test_the_values_of_the_file_stay_as_written(load_params: Load) -> None:
    loaded = load_params({"subject_id": "m", "description": "of {subject_id}"})
    assert loaded.values["description"] == "of {subject_id}"
    assert loaded.parameters.description == "of m"


class TestNotKnownYet:
    def test_subject_and_user_stay_until_they_are_answered(self, load_params: Load) -> None:
        content = {"script_arguments": ["{subject_id}", "{user_id}"]}
        first = load_params(content)
        assert first.parameters.script_arguments == ["{subject_id}", "{user_id}"]
        assert first.warnings == ()
        second = load_params(content, answers={"subject_id": "m", "user_id": "kim"})
        assert second.parameters.script_arguments == ["m", "kim"]

    def test_an_output_folder_that_is_not_given_is_the_parent(self, load_params: Load) -> None:
        arguments = load_params({"command": ["{output_root_folder}"]}).parameters.command
        assert arguments == [SLOT_ROOT]
        assert bind(arguments, "/data/m_2025", "m_2025") == [str(Path("/data"))]

    @pytest.mark.parametrize("content", [{}, {"rig_id": ""}, {"rig_id": None}])
    def test_any_other_key_without_a_value_is_an_error(
        self, refused: Refused, content: dict[str, Any]
    ) -> None:
        error = refused({"command": ["{rig_id}"], **content})
        assert error.code == "placeholder-empty"
        assert "rig_id" in error.message

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("local_repository_path", "{session_uuid}"),
            ("output_root_folder", "D:/{session_uuid}"),
            ("output_root_folder", "{output_session_folder}/x"),
            ("repository_url", "{output_session_folder}"),
            ("local_repository_path", "{output_root_folder}/repo"),
            ("script_path", "{output_session_folder}/x.py"),
            ("bonsai_exe_path", "{session_uuid}"),
            ("matlab_entrypoint", "{session_uuid}"),
        ],
    )
    def test_what_is_needed_before_the_folder(self, refused: Refused, key: str, text: str) -> None:
        error = refused({key: text})
        assert error.code == "placeholder-too-early"
        assert key in error.where
        assert "\0" not in error.render()

    def test_an_early_key_may_use_what_is_known(self, load_params: Load) -> None:
        content = {"output_root_folder": "D:/x", "local_repository_path": "{OutputFolder}/r"}
        assert load_params(content).parameters.local_repository_path == str(Path("D:/x/r"))


class TestUnknown:
    def test_it_is_an_error_that_lists_the_known(self, refused: Refused) -> None:
        error = refused({"script_parameters": {"Path": ["{sesion_uuid}"]}})
        assert error.code == "placeholder-unknown"
        assert "Did you mean 'session_uuid'" in error.message
        assert error.where.startswith("params.json, script_parameters.Path[0]")
        for known in ("{subject_id}", "{output_session_folder}", "{rig_param:KEY}"):
            assert known in error.fix
        assert "{{sesion_uuid}}" in error.fix

    def test_the_environment_is_not_looked_at(self, refused: Refused) -> None:
        assert refused({"command": ["${HOME}"]}).code == "placeholder-unknown"

    def test_the_fix_works(self, load_params: Load) -> None:
        loaded = load_params({"script_parameters": {"Path": "{{sesion_uuid}}"}})
        assert loaded.parameters.script_parameters == {"Path": "{sesion_uuid}"}

    @pytest.mark.parametrize(
        "content",
        [{"description": "{x}"}, {"my": {"notes": ["{x}"]}, "q": "{my_key}", "my_key": 1}],
    )
    def test_it_is_a_warning_in_free_text(self, load_params: Load, content: Any) -> None:
        codes = [finding.code for finding in load_params(content).warnings]
        assert "placeholder-unknown" in codes

    def test_a_rig_value_that_nobody_gives(self, refused: Refused) -> None:
        error = refused({"command": ["{rig_param:COM_port}"]})
        assert error.code == "placeholder-unknown"
        assert "COM_port" in error.fix

    @pytest.mark.parametrize("value", [[1], {"a": 1}])
    def test_lists_and_objects_cannot_stand_in_text(self, refused: Refused, value: Any) -> None:
        assert refused({"command": ["{thing}"], "thing": value}).code == "placeholder-not-text"


class TestCircles:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({"a": "{a}"}, "a → a"),
            ({"a": "{b}", "b": "{a}"}, "a → b → a"),
            ({"c": "{a}", "a": "x{b}", "b": "{rig_param:a}y"}, "a → b → a"),
            ({"subject_id": "{mouse_id}"}, "subject_id → subject_id"),
            ({"output_root_folder": "{OutputFolder}/x"}, "output_root_folder → output_root_folder"),
        ],
    )
    def test_one_clear_error(self, refused: Refused, content: Any, words: str) -> None:
        error = refused(content)
        assert error.code == "placeholder-circle"
        assert words in error.message

    def test_texts_that_explode(self, refused: Refused) -> None:
        content = {f"k{n}": f"{{k{n + 1}}}" * 10 for n in range(30)} | {"k30": "x"}
        start = time.monotonic()
        assert "placeholder-too-long" in {f.code for f in refused(content).findings}
        assert time.monotonic() - start < 5

    def test_a_chain_without_end(self, refused: Refused) -> None:
        content = {f"k{n}": f"{{k{n + 1}}}" for n in range(5000)} | {"k5000": "x"}
        assert "placeholder-too-long" in {f.code for f in refused(content).findings}


class TestSlots:
    def test_bind_fills_them_at_any_depth(self) -> None:
        value = {"a": [f"{SLOT_FOLDER}/x", {"b": f"<{SLOT_UUID}>"}], "c": 1, "d": None}
        assert bind(value, "/d/m_1", "m_1") == {
            "a": ["/d/m_1/x", {"b": "<m_1>"}],
            "c": 1,
            "d": None,
        }

    def test_what_is_filled_in_is_not_looked_at_again(self) -> None:
        assert bind(f"{SLOT_UUID}", "/x", "{subject_id}\\1") == "{subject_id}\\1"

    def test_show_names_them(self) -> None:
        text = f"{SLOT_FOLDER}/{SLOT_UUID}/{SLOT_ROOT}"
        assert show(text) == "{output_session_folder}/{session_uuid}/{output_root_folder}"

    def test_no_value_can_forge_one(self, refused: Refused) -> None:
        assert refused({}, overrides={"q": SLOT_UUID}).code == "parameter-text"
        assert refused({}, config={"OpenScope": {"q": SLOT_UUID}}).code == "parameter-text"
        assert refused({}, answers={"user_id": SLOT_UUID}).code == "parameter-text"
        assert refused({"q": SLOT_UUID}).code == "json-text"
