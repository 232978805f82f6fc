"""Values on their way to MATLAB. Where Octave is installed it reads the code that MATLAB would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openscope_experimental_launcher.engines.matlab import values
from openscope_experimental_launcher.engines.matlab.client import bound, read_argument
from openscope_experimental_launcher.engines.matlab.values import (
    Argument,
    Variable,
    argument_for_client,
    code_of,
)
from openscope_experimental_launcher.errors import EngineError
from openscope_experimental_launcher.parameters.placeholders import SLOT_FOLDER, SLOT_UUID

OCTAVE = shutil.which("octave-cli")


@pytest.mark.parametrize(
    "value, code",
    [
        ("plain text", "'plain text'"),
        ("", "''"),
        ("it's", "['it' char(39) 's']"),
        ('say "no"', "['say ' char(34) 'no' char(34)]"),
        ("Frieda Müller", "['Frieda M' char(252) 'ller']"),
        ("a\nb", "['a' char(10) 'b']"),
        ("🐭", "char([55357, 56365])"),
        ("C:\\data", "['C:' char(92) 'data']"),
        ("$(rm) `x` %PATH% !x ^& |<>", None),
        (True, "true"),
        (3, "3"),
        (-2.5, "-2.5"),
        (1e300, "1e+300"),
        ([1, -2, 2.5], "[1, -2, 2.5]"),
        ([True, False], "[true, false]"),
        ([], "[]"),
        ([[1, 2], [3, 4]], "[1, 2; 3, 4]"),
        ([[1, 2], [3]], "{[1, 2], [3]}"),
        (["a", "b"], "{'a', 'b'}"),
        ([1, "a", True, ["x"]], "{1, 'a', true, {'x'}}"),
        ([1, True], "{1, true}"),
        ([[True], [False]], "{[true], [false]}"),
        (f"{SLOT_FOLDER}/notes", "[getenv('OPENSCOPE_SESSION_DIRECTORY') '/notes']"),
        (SLOT_UUID, "getenv('OPENSCOPE_SESSION_UUID')"),
        (Variable("X"), "getenv('X')"),
    ],
)
def test_values_as_code(value: Any, code: str | None) -> None:
    written = code_of(value)
    assert written == code or code is None
    assert re.fullmatch(r"[A-Za-z0-9 _.,:;/=+@()\[\]{}'-]*", written), (
        "nothing a shell would act on"
    )


@pytest.mark.parametrize(
    "value, what",
    [
        (None, "null"),
        ({"a": 1}, "an object"),
        (2**53 + 1, "without rounding"),
        ([1, [None]], "null"),
        (float("inf"), "not finite"),
    ],
)
def test_what_cannot_be_carried_is_refused(value: Any, what: str) -> None:
    with pytest.raises(EngineError, match=what) as caught:
        values.arguments([value], {})
    assert caught.value.code == "matlab-value-unsupported"
    assert "number 1" in caught.value.where


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(EngineError) as caught:
        values.arguments(
            [None], {"matlab_entrypoint_kwargs": {"a b": 1, "x": 1}, "script_parameters": {"x": 2}}
        )
    assert [finding.code for finding in caught.value.findings] == [
        "matlab-name-invalid",
        "matlab-argument-twice",
        "matlab-value-unsupported",
    ]


def test_the_order_and_the_variables_of_arguments() -> None:
    made, variables = values.arguments(
        [1, f"{SLOT_UUID}.h5"],
        {
            "matlab_entrypoint_kwargs": {"a": 1},
            "script_parameters": {"api_token": "s3cret", "a": 1},
        },
    )
    assert made == (
        Argument("", 1),
        Argument("", f"{SLOT_UUID}.h5"),
        Argument("a", 1),
        Argument("api_token", Variable("OPENSCOPE_MATLAB_api_token")),
    )
    assert variables == {
        "OPENSCOPE_MATLAB_api_token": "s3cret",
        "OPENSCOPE_SESSION_UUID": SLOT_UUID,
    }


def test_arguments_for_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENSCOPE_SESSION_DIRECTORY", "C:\\Über 'x'")
    for value in ("a=b", "", "x = [1]", 3, True, [1, ["ü\n"]], "{}"):
        assert read_argument(argument_for_client(Argument("", value))) == [value]
        assert read_argument(argument_for_client(Argument("Name", value))) == ["Name", value]
    slotted = argument_for_client(Argument("n", [f"{SLOT_FOLDER}\\a", 1]))
    assert "\0" not in slotted
    assert read_argument(slotted) == ["n", ["C:\\Über 'x'\\a", 1]]
    assert bound({"parts": ["a", {"variable": "OPENSCOPE_SESSION_DIRECTORY"}]}) == "aC:\\Über 'x'"


# -- Octave, which reads the same code -------------------------------------------------------------

DUMP = """
function dump(varargin)
  file = fopen(getenv('DUMP'), 'w');
  fputs(file, jsonencode(cellfun(@describe, varargin, 'UniformOutput', false)));
  fclose(file);
end

function d = describe(value)
  if iscell(value)
    items = cellfun(@describe, value, 'UniformOutput', false);
    d = struct('class', 'cell', 'size', size(value), 'values', {items});
  else
    d = struct('class', class(value), 'size', size(value), 'values', {num2cell(double(value(:)'))});
  end
end
"""


def octave(folder: Path, codes: list[str], **variables: str) -> list[Any]:
    """What Octave makes of pieces of code."""
    assert OCTAVE is not None
    (folder / "dump.m").write_text(DUMP)
    file = folder / "dumped.json"
    subprocess.run(
        [OCTAVE, "--norc", "--eval", f"dump({', '.join(codes)})"],
        cwd=folder,
        env={**os.environ, "DUMP": str(file), **variables},
        check=True,
        capture_output=True,
        timeout=60,
    )
    read: list[Any] = json.loads(file.read_text())
    return read


def expected(value: Any) -> dict[str, Any]:
    """How MATLAB must see a value."""
    if isinstance(value, str):
        units = [ord(c) for c in value]
        return {"class": "char", "size": [1 if units else 0, len(units)], "values": units}
    if isinstance(value, bool):
        return {"class": "logical", "size": [1, 1], "values": [int(value)]}
    if isinstance(value, (int, float)):
        return {"class": "double", "size": [1, 1], "values": [value]}
    if values.is_matrix(value):
        columns = [row[c] for c in range(len(value[0])) for row in value]
        return {"class": "double", "size": [len(value), len(value[0])], "values": columns}
    if not value:
        return {"class": "double", "size": [0, 0], "values": []}
    if values.is_vector(value):
        kind = "logical" if isinstance(value[0], bool) else "double"
        return {"class": kind, "size": [1, len(value)], "values": [float(v) for v in value]}
    items = [expected(item) for item in value]
    return {"class": "cell", "size": [1, len(value)], "values": items}


SIMPLE = (
    st.text(st.characters(max_codepoint=255, exclude_characters="\0"), max_size=12)
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner, max_size=4), max_leaves=6)


@pytest.mark.skipif(OCTAVE is None, reason="needs Octave")
@settings(max_examples=6, deadline=None)
@given(st.lists(VALUES, min_size=20, max_size=60))
def test_octave_reads_what_was_meant(
    tmp_path_factory: pytest.TempPathFactory, many: list[Any]
) -> None:
    read = octave(tmp_path_factory.mktemp("octave"), list(map(code_of, many)))
    for value, seen in zip(many, read, strict=True):
        assert is_as(seen, expected(value)), (value, seen)


def is_as(seen: dict[str, Any], meant: dict[str, Any]) -> bool:
    """Whether two descriptions are the same; JSON makes one element of a list of one."""
    if (seen["class"], seen["size"]) != (meant["class"], meant["size"]):
        return False
    items = seen["values"] if isinstance(seen["values"], list) else [seen["values"]]
    if seen["class"] == "cell":
        return all(map(is_as, items, meant["values"]))
    return items == pytest.approx([float(value) for value in meant["values"]], rel=1e-12)
