"""The model: what is accepted, and the plain word for what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from openscope_experimental_launcher.errors import ParameterError
from openscope_experimental_launcher.parameters.model import (
    FIELDS,
    KNOWN_KEYS,
    PASSED_ON,
    SPELLINGS,
    Parameters,
    json_schema,
)
from openscope_experimental_launcher.parameters.names import check_subject, check_user

Refused = Callable[..., ParameterError]


@pytest.mark.parametrize(
    "name",
    [
        "614173",
        "mouse-7",
        "M_12.b",
        "Maus 3",
        "µ",
        "x" * 100,
        "CONSTANT",
        "COM",
        "nulls",
        "é" * 100,
    ],
)
def test_subjects_that_can_name_a_folder(name: str) -> None:
    assert check_subject(name) == name


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("../x", "character /"),
        ("/etc", "character /"),
        ("a\\b", "character \\"),
        ("C:x", "character :"),
        ("..", "dot"),
        (".", "dot"),
        ("614173.", "dot"),
        ("614173 ", "space"),
        (" 614173", "space"),
        ("a\nb", "line break"),
        ("a\tb", "cannot be seen"),
        ("a\x7fb", "cannot be seen"),
        ("a\u202eb", "cannot be seen"),
        ("a\0b", "cannot be seen"),
        ("\ud800", "cannot be seen"),
        ("CON", "Windows"),
        ("con", "Windows"),
        ("Nul.txt", "Windows"),
        ("COM1", "Windows"),
        ("lpt9.tar.gz", "Windows"),
        ("COM¹", "Windows"),
        ("CONIN$", "Windows"),
        ("aux .x", "Windows"),
        ("x" * 101, "101 characters"),
        ("x" * 300, "300 characters"),
        ("🐭" * 80, "bytes"),
        *((f"a{c}b", f"character {c}") for c in '<>:"|?*'),
    ],
)
def test_subjects_that_cannot(name: str, word: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check_subject(name)
    error = caught.value
    assert error.code == "subject-invalid"
    assert word in error.message
    assert error.fix
    error.render().encode()
    with pytest.raises(ParameterError):
        Parameters.read({"subject_id": name})


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "a\0"])
def test_users_that_cannot_be_shown(name: str) -> None:
    with pytest.raises(ParameterError, match="one line"):
        check_user(name)


def test_the_longest_subject_leaves_room_for_the_date() -> None:
    for name in ("x" * 100, "é" * 100, "鼠" * 78):
        assert len((check_subject(name) + "_2025-01-31_13-45-00").encode()) <= 255


def test_numbers_are_taken_for_names() -> None:
    parameters = Parameters.read({"subject_id": 614173, "user_id": 7, "rig_id": 3})
    assert (parameters.subject_id, parameters.user_id, parameters.rig_id) == ("614173", "7", "3")


def test_numbers_are_taken_for_arguments() -> None:
    parameters = Parameters.read({"script_arguments": ["--n", 10, 2.5]})
    assert parameters.script_arguments == ["--n", "10", "2.5"]


def test_the_model_is_frozen_and_keeps_unknown_keys() -> None:
    parameters = Parameters.read({"my_key": [1, {"x": None}]})
    assert parameters.others == {"my_key": [1, {"x": None}]}
    with pytest.raises(AttributeError):
        parameters.subject_id = "x"  # type: ignore[misc]


def test_defaults() -> None:
    parameters = Parameters()
    assert parameters.launcher == "bonsai"
    assert parameters.repository_commit_hash == "main"
    assert (parameters.stop_grace_s, parameters.terminate_grace_s) == (10, 3)
    assert (parameters.kill_threshold, parameters.unattended_minutes) == (90, 60)
    assert parameters.subject_id is None
    assert parameters.user_id is None
    assert parameters.command == []
    assert parameters.script_parameters == {}
    assert Parameters().command is not parameters.command


def test_blank_paths_and_urls_count_as_not_given() -> None:
    blank = {"repository_url": "", "bonsai_setup_script": " ", "output_root_folder": ""}
    parameters = Parameters.read(blank)
    assert parameters.repository_url is None
    assert parameters.bonsai_setup_script is None
    assert parameters.output_root_folder is None


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("subject_id", True, "subject_id must be text"),
        ("subject_id", 1.5, "subject_id must be text"),
        ("subject_id", ["a"], "subject_id must be text"),
        ("repository_url", 7, "repository_url must be text"),
        ("launcher", False, "launcher must be text"),
        ("stop_grace_s", "10", "stop_grace_s must be a number"),
        ("stop_grace_s", True, "stop_grace_s must be a number"),
        ("stop_grace_s", -1, "stop_grace_s must be at least 0"),
        ("stop_grace_s", 1e12, "stop_grace_s must be at most"),
        ("kill_threshold", 0, "kill_threshold must be more than 0"),
        ("kill_threshold", 100.1, "kill_threshold must be at most 100"),
        ("memory_limit_mb", 0, "memory_limit_mb must be more than 0"),
        ("max_duration_s", -5, "max_duration_s must be more than 0"),
        ("resource_log_interval", 0.01, "resource_log_interval must be at least 0.1"),
        ("on_hang", "die", "on_hang must be 'stop' or 'warn'"),
        ("on_launcher_lost", 1, "on_launcher_lost must be 'continue' or 'stop'"),
        ("sound_on_end", 1, "sound_on_end must be true or false"),
        ("command", "ls -l", "command must be a list"),
        ("command", ["ls", None], "command[1] must be text"),
        ("script_arguments", [True], "script_arguments[0] must be text"),
        ("script_parameters", [], "script_parameters must be an object"),
        ("protocol_id", True, "The protocol must be"),
        ("protocol_id", {}, "The protocol must be"),
        ("pre_acquisition_pipeline", ["a", 1], "Entry 2 of a pipeline"),
        ("post_acquisition_pipeline", [" "], "Entry 1 of a pipeline"),
        ("post_acquisition_pipeline", {}, "post_acquisition_pipeline must be a list"),
        ("expect", {"v.avi": 3}, "expect.v.avi must be an object"),
        ("expect", {"v.avi": {"within_s": -1}}, "expect.v.avi.within_s must be more than 0"),
        ("expect", {"v.avi": {"on_missing": "no"}}, "expect.v.avi.on_missing must be"),
        ("script_path", "C:\temp\new.bonsai", "control character"),
        ("output_root_folder", "data\n", "control character"),
    ],
)
def test_each_fault_has_file_key_value_and_fix(
    refused: Refused, key: str, value: Any, word: str
) -> None:
    (finding,) = refused({key: value}).findings
    assert word in finding.message
    assert "Value error" not in finding.render()
    assert finding.where.startswith(f"params.json, {key}")
    assert finding.fix
    if not isinstance(value, dict):
        shown_value = json.dumps(value[-1] if isinstance(value, list) and value else value)
        assert shown_value in finding.where


def test_a_typing_mistake_in_an_expectation(refused: Refused) -> None:
    (finding,) = refused({"expect": {"v.avi": {"withn_s": 5}}}).findings
    assert "Did you mean 'within_s'" in finding.fix


def test_all_faults_of_a_file_at_once(refused: Refused) -> None:
    error = refused(
        {"subject_id": "a/b", "stop_grace_s": -1, "command": "ls", "q": "{nope}", "on_hang": "x"}
    )
    assert isinstance(error, ValueError)
    assert len(error.findings) == 5
    assert "5 problems" in error.render()


@pytest.mark.parametrize(
    ("content", "overrides"),
    [
        ({"repository_url": ["https://bob:s3cr3t@host/x.git"]}, {}),
        ({"expect": {"api_token": "s3cr3t"}}, {}),
        ({"description": {"password": "s3cr3t"}}, {}),
        ({"matlab_password": "s3cr3t {nope}"}, {}),
        ({}, {"access_token": ["s3cr3t\0"]}),
        ({"command": [1, {"--password": ["s3cr3t"]}]}, {}),
    ],
)
def test_secrets_are_masked_in_errors(
    refused: Refused, content: dict[str, Any], overrides: dict[str, Any]
) -> None:
    rendered = refused(content, overrides=overrides).render()
    assert "***" in rendered
    assert "s3cr3t" not in rendered


def test_values_are_shown_on_one_short_printable_line(refused: Refused) -> None:
    (finding,) = refused({"on_hang": "\x1b[31m\n\u202e" + "x" * 10_000}).findings
    assert len(finding.where) < 150
    assert finding.where.isprintable()


class TestSchema:
    def test_it_is_a_json_schema_of_an_open_object(self) -> None:
        schema = json_schema()
        json.dumps(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["title"] == "OpenScope parameter file"
        assert schema["type"] == "object"
        assert schema["additionalProperties"] is True
        assert "required" not in schema

    def test_every_known_key_is_described(self) -> None:
        properties = json_schema()["properties"]
        assert set(properties) == KNOWN_KEYS
        assert all(properties[key]["description"].endswith(".") for key in KNOWN_KEYS)

    @pytest.mark.parametrize("other", sorted(SPELLINGS))
    def test_both_spellings_take_the_same_values(self, other: str) -> None:
        properties = json_schema()["properties"]
        key = SPELLINGS[other]

        def kind(name: str) -> dict[str, Any]:
            texts = ("title", "description")
            return {word: v for word, v in properties[name].items() if word not in texts}

        assert kind(other) == kind(key)
        assert key in properties[other]["description"]

    def test_units_and_limits_are_in_it(self) -> None:
        grace = json_schema()["properties"]["stop_grace_s"]
        assert "Seconds" in grace["description"]
        assert (grace["type"], grace["minimum"], grace["default"]) == ("number", 0, 10)

    def test_numbers_are_allowed_for_subjects(self) -> None:
        kinds = json_schema()["properties"]["subject_id"]["anyOf"]
        assert {"type": "integer"} in kinds

    def test_nothing_is_both_checked_and_passed_on(self) -> None:
        assert not set(PASSED_ON) & set(FIELDS)


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_subject_is_not_given(blank: str) -> None:
    assert Parameters.read({"subject_id": blank, "user_id": blank}).subject_id is None
