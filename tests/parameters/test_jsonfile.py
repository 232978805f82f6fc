"""Strict JSON: every fault is one plain word with line and column."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from openscope_experimental_launcher.errors import (
    LauncherError,
    ParameterError,
    ParameterFileNotFoundError,
)
from openscope_experimental_launcher.parameters.jsonfile import (
    DEEPEST_NESTING,
    LARGEST_FILE,
    parse_object,
    parse_value,
    read_bytes,
)


def fault(raw: bytes) -> ParameterError:
    with pytest.raises(ParameterError) as caught:
        parse_object(raw, "p.json")
    return caught.value


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": [1, -2.5e3, true, null, "x"], "b": {}}',
        b'\xef\xbb\xbf{"a": 1}',
        b'\r\n{\r\n"a"\t: 1}\n\n',
        '{"a": "µ 🐭 \\ud83d\\udc2d // # \\" [ { "}'.encode(),
        b'{"a": 18446744073709551615, "b": -18446744073709551615}',
        b'{"a": {"k": 1}, "b": {"k": 1}, "c": [{"k": 1}, {"k": 1}]}',
        b'{"": "", "a": 1e-400}',
    ],
)
def test_strict_json_is_read_as_python_reads_it(raw: bytes) -> None:
    assert parse_object(raw, "p.json") == json.loads(raw.decode("utf-8-sig"))


@pytest.mark.parametrize(
    ("raw", "line", "column", "word"),
    [
        (b'{"a": 1,}', 1, 8, "comma after the last"),
        (b'{"a": [1, 2,\n]}', 1, 12, "comma after the last"),
        (b'{\n "a": 1, // note\n "b": 2}', 2, 10, "comment"),
        (b'{"a": 1 /* note */}', 1, 9, "comment"),
        (b'# note\n{"a": 1}', 1, 1, "comment"),
        (b"{'a': 1}", 1, 2, "quote"),
        ("{“a”: 1}".encode(), 1, 2, "quote"),
        (b'{"a": True}', 1, 7, "Python"),
        (b'{"a": None}', 1, 7, "Python"),
        (b"{a: 1}", 1, 2, "double quotes"),
        (b'{"a": yes}', 1, 7, "misspelled"),
        (b'{"a": 1\n"b": 2}', 2, 1, "comma is missing"),
        (b'{"a" 1}', 1, 6, "colon"),
        (b'{"a": "x', 1, 7, "no closing quote"),
        (b'{"a": "x\ny"}', 1, 9, "line break"),
        (b'{"p": "C:\\data"}', 1, 10, "backslash"),
        (b'{"p": "C:\\users"}', 1, 11, "hexadecimal"),
        (b'{"a": 1', 1, 8, "ends too early"),
        (b'{"a": [1, 2', 1, 12, "ends too early"),
        (b'{"a": 1}\n{"b": 2}', 2, 1, "follows the end"),
        ('{"µµ": 1,}'.encode(), 1, 9, "comma after the last"),
    ],
)
def test_malformed_json_is_explained(raw: bytes, line: int, column: int, word: str) -> None:
    error = fault(raw)
    assert error.code == "json-syntax"
    assert error.where == f"p.json, line {line}, column {column}"
    assert word in error.message
    assert error.fix


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'{"a": 1, "a": 1}', "line 1, column 10, key a"),
        (b'{"a": 1,\n "\\u0061": 2}', "line 2, column 2, key a"),
        (b'{"x": [0, {"b": {"c": 1, "c": 2}}]}', "line 1, column 26, key x[1].b.c"),
    ],
)
def test_duplicate_keys_at_any_depth(raw: bytes, where: str) -> None:
    error = fault(raw)
    assert (error.code, error.where) == ("json-duplicate-key", f"p.json, {where}")


def test_a_duplicate_object_is_reported_once() -> None:
    assert len(fault(b'{"a": {"x": 1}, "a": {"x": 2}}').findings) == 1


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "18446744073709551616", "9" * 100_000],
)
def test_numbers_that_cannot_be_used(number: str) -> None:
    error = fault(b'{"a":\n {"b": %s}}' % number.encode())
    assert (error.code, error.where) == ("json-number", "p.json, line 2, column 8, key a.b")
    assert len(error.render()) < 400


@pytest.mark.parametrize("text", ["\\u0000", "a\\ud800", "\\udc00\\ud800", "x\\udfff"])
@pytest.mark.parametrize("shape", ['{"a": "%s"}', '{"%s": 1}', '{"a": ["%s"]}'])
def test_characters_that_nothing_can_carry(text: str, shape: str) -> None:
    error = fault((shape % text).encode())
    assert error.code == "json-text"
    assert error.render().isprintable() or "\n" in error.render()
    assert "\0" not in error.render()
    error.render().encode()


def test_all_strict_faults_come_at_once() -> None:
    error = fault(b'{"a": NaN, "b": "\\u0000", "a": 1e999}')
    assert [finding.code for finding in error.findings] == [
        "json-number",
        "json-text",
        "json-duplicate-key",
        "json-number",
    ]


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("levels", [DEEPEST_NESTING + 1, 10_000, 500_000])
def test_deep_nesting(opening: bytes, levels: int) -> None:
    error = fault(opening * levels)
    assert error.code == "json-too-deep"
    column = DEEPEST_NESTING * len(opening) + 1
    assert error.where == f"p.json, line 1, column {column}"


def test_nesting_within_the_limit_and_brackets_in_texts() -> None:
    levels = DEEPEST_NESTING - 1
    raw = b'{"a": %s1%s, "b": "%s"}' % (b"[" * levels, b"]" * levels, b"[" * 1000)
    assert parse_object(raw, "p.json")["b"] == "[" * 1000


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "parameter-file-empty"),
        (b" \n\t", "parameter-file-empty"),
        (b"\xef\xbb\xbf", "parameter-file-empty"),
        (b"[1]", "json-not-object"),
        (b'"text"', "json-not-object"),
        (b"3", "json-not-object"),
        (b"true", "json-not-object"),
        (b"null", "json-not-object"),
        (b"NaN", "json-number"),
    ],
)
def test_no_object(raw: bytes, code: str) -> None:
    assert fault(raw).code == code


@pytest.mark.parametrize(
    ("raw", "where"),
    [
        (b'{"a":\n "\xe9"}', "p.json, line 2, column 3"),
        (b"\xef\xbb\xbf\n{\xff}", "p.json, line 2, column 2"),
        ('{"a": "é"}'.encode("utf-16"), "p.json"),
        (b'{"a": "\xed\xa0\x80"}', "p.json, line 1, column 8"),
    ],
)
def test_other_encodings(raw: bytes, where: str) -> None:
    error = fault(raw)
    assert (error.code, error.where) == ("json-encoding", where)
    assert "UTF-8" in error.message


@pytest.mark.parametrize(
    "raw",
    [b'{"a": "' + b'\\"' * 1_000_000, b'"' * 1_000_000, b"{" + b"1," * 1_000_000, b" " * 4_000_000],
)
def test_hostile_files_take_no_time(raw: bytes) -> None:
    start = time.monotonic()
    fault(raw)
    assert time.monotonic() - start < 5


def test_a_value_by_itself() -> None:
    assert parse_value(' {"a": [1, "x"]} ') == {"a": [1, "x"]}
    for text in ("NaN", "00123", "x", "", '{"a": 1, "a": 2}'):
        with pytest.raises(ParameterError):
            parse_value(text)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParameterFileNotFoundError) as caught:
        read_bytes(tmp_path / "none.json")
    assert isinstance(caught.value, FileNotFoundError)
    assert "none.json" in caught.value.where


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        read_bytes(tmp_path)
    assert caught.value.code == "parameter-file-folder"


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "video.avi"
    with path.open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    with pytest.raises(ParameterError) as caught:
        read_bytes(path)
    assert caught.value.code == "parameter-file-too-large"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300 + ".json", "\ud800", "file.json/inside"])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.json").write_bytes(b"{}")
    with pytest.raises(LauncherError) as caught:
        read_bytes(tmp_path / name)
    caught.value.render().encode()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes and permissions")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ParameterError) as caught:
        read_bytes(tmp_path / "pipe")
    assert caught.value.code == "parameter-file-unreadable"


@pytest.mark.skipif(
    sys.platform == "win32" or (hasattr(os, "geteuid") and os.geteuid() == 0),
    reason="needs a user whom permissions bind",
)
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(b"{}")
    path.chmod(0)
    with pytest.raises(ParameterError) as caught:
        read_bytes(path)
    assert caught.value.code == "parameter-file-unreadable"
