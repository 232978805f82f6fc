"""Whatever comes in, only a ParameterError comes out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from openscope_experimental_launcher.errors import LauncherError, ParameterError
from openscope_experimental_launcher.parameters.camstim import read_config
from openscope_experimental_launcher.parameters.layers import load, offers, parse_set
from openscope_experimental_launcher.parameters.model import KNOWN_KEYS
from openscope_experimental_launcher.parameters.names import check_subject

fuzz = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

keys = st.sampled_from(sorted(KNOWN_KEYS)) | st.text(max_size=8)
fragments = st.sampled_from(
    [
        "{subject_id}",
        "{session_uuid}",
        "{{",
        "}}",
        "{a}",
        "{rig_param:b}",
        "\0",
        "\ud800",
        "\n",
        "/",
    ]
)
texts = st.text(max_size=12) | st.lists(fragments, max_size=4).map("".join)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys | texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(keys, values, max_size=8)
pieces = st.lists(
    st.sampled_from(
        [
            *rb'{ } [ ] , : " \ "a" \u d800 1 e9 - . NaN true //'.split(),
            *(b"\n", b"\xef\xbb\xbf", b"\xff", b"\0", b" "),
        ]
    ),
    max_size=30,
).map(b"".join)


def only_parameter_errors(action: Callable[[], Any]) -> Any:
    """The result, or None where a ParameterError was raised that can be shown on any terminal."""
    try:
        return action()
    except ParameterError as error:
        shown = str(error)
        shown.encode()
        assert "\0" not in shown
        assert shown.replace("\n", "").isprintable()
        assert all(finding.code and finding.message for finding in error.findings)
        return None


def load_bytes(raw: bytes, **layers: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.json"
        path.write_bytes(raw)
        return only_parameter_errors(lambda: load(path, **layers))


@fuzz
@given(st.binary(max_size=200) | pieces)
@example(b'{"a":' * 100_000)
@example(b"\xef\xbb\xbf\xef\xbb\xbf{}")
def test_arbitrary_bytes(raw: bytes) -> None:
    load_bytes(raw)


@fuzz
@given(objects, st.data())
def test_arbitrary_json_and_damage_to_it(content: dict[str, Any], data: st.DataObject) -> None:
    raw = json.dumps(content).encode()
    load_bytes(raw)
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 3)))
    load_bytes(raw[:start] + data.draw(pieces) + raw[end:])


@fuzz
@given(objects, objects, objects, objects)
def test_arbitrary_layers(
    content: dict[str, Any], config: dict[str, Any], answers: dict[str, Any], over: dict[str, Any]
) -> None:
    raw = json.dumps(content).encode()
    sections = {"OpenScope": config, "Other": config}
    loaded = load_bytes(raw, config=sections, answers=answers, overrides=over)
    if loaded is not None:
        json.dumps(loaded.values, allow_nan=False).encode()
        json.dumps(loaded.parameters.values(), allow_nan=False).encode()
        for finding in loaded.warnings:
            assert finding.render().replace("\n", "").isprintable()
        if loaded.parameters.subject_id is not None:
            check_subject(loaded.parameters.subject_id)
    for key, offered in offers(sections).items():
        assert offered
        assert key in {"subject_id", "user_id"}


@fuzz
@given(st.lists(st.builds("{}{}{}".format, keys, st.sampled_from(["=", ".", ".x=", ""]), texts)))
def test_arbitrary_assignments(assignments: list[str]) -> None:
    overrides = only_parameter_errors(lambda: parse_set(assignments))
    if overrides is not None:
        only_parameter_errors(lambda: load(None, overrides=overrides))


@fuzz
@given(
    st.binary(max_size=100)
    | st.lists(
        st.sampled_from(["[A]", "[B", "x = 1", "y: '", " z", "=", "%(x)s", "#", "\0", "\r", "é"]),
        max_size=12,
    ).map(lambda lines: "\n".join(lines).encode())
)
def test_arbitrary_configuration(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stim.cfg"
        path.write_bytes(raw)
        config = only_parameter_errors(lambda: read_config(path))
    if config is not None:
        only_parameter_errors(lambda: load(None, config=config))


@fuzz
@given(st.text())
def test_arbitrary_names(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            load(Path(folder) / name)
        except LauncherError as error:
            str(error).encode()
    try:
        subject = check_subject(name)
    except ParameterError:
        return
    with tempfile.TemporaryDirectory() as folder:
        session = Path(folder, f"{subject}_2025-01-31_13-45-00")
        session.mkdir()
        assert [entry.name for entry in Path(folder).iterdir()] == [session.name]


def test_the_error_is_one_that_the_documented_examples_catch() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        load(None, overrides={"stop_grace_s": -1})
