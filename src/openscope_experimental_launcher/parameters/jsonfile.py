"""Reading JSON strictly, with line and column for everything that is wrong.

The standard library's parser takes more than JSON (RFC 8259) allows or than a rig can use: keys
given twice, NaN, numbers that overflow, halves of surrogate pairs. Here all of that is refused,
in words for somebody who edits a file with a text editor.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Finding, ParameterError, ParameterFileNotFoundError
from ..structs import msgspec
from .wording import join_path, printable, shown, unusable_character

LARGEST_FILE = 8 * 1024 * 1024
"""Bytes. A larger file is no parameter file but a mistake in its name."""

DEEPEST_NESTING = 100
"""Levels of objects and lists."""

_MOST_FINDINGS = 20
LARGEST_INTEGER = 2**64 - 1
_LONGEST_INTEGER = len(str(-LARGEST_INTEGER))

# The end of a string is optional, so that one that never ends is one token and not many.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)


def read_bytes(path: Path, kind: str = "parameter file") -> bytes:
    """The bytes of a file that a person named.

    Args:
        path: the file.
        kind: what it is, for the words of an error.

    Raises:
        ParameterFileNotFoundError: there is no such file.
        ParameterError: it is a folder or a device, too large, or cannot be read.
    """
    where = printable(str(path))
    raw = b""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb") as stream:
                raw = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise ParameterFileNotFoundError(
            f"The {kind} is not there.", where=where, fix="Check the path."
        ) from error
    except OSError as error:
        raise _unreadable(kind, where, error.strerror or str(error)) from error
    except ValueError as error:
        raise _unreadable(kind, where, "its name holds characters no file can have") from error
    if stat.S_ISDIR(mode):
        raise ParameterError(
            f"The {kind} is a folder.",
            code="parameter-file-folder",
            where=where,
            fix="Give the file inside it.",
        )
    if not stat.S_ISREG(mode):
        raise _unreadable(kind, where, "it is a device or a pipe, not a file on a disk")
    if len(raw) > LARGEST_FILE:
        raise ParameterError(
            f"The {kind} is larger than {LARGEST_FILE // 2**20} MiB.",
            code="parameter-file-too-large",
            where=where,
            fix="Check that this is the file you meant.",
        )
    return raw


def _unreadable(kind: str, where: str, reason: str) -> ParameterError:
    return ParameterError(
        f"The {kind} cannot be read: {reason}.",
        code="parameter-file-unreadable",
        where=where,
        fix="Check the path and the permissions.",
    )


def parse_object(raw: bytes, source: str) -> dict[str, Any]:
    """The JSON object in `raw`.

    Args:
        raw: UTF-8, with or without a byte order mark.
        source: the file's name, for the words of an error.

    Raises:
        ParameterError: with line and column, whatever is wrong with it.
    """
    text = _decode(raw, source)
    if not text.strip():
        raise ParameterError(
            "The file is empty.",
            code="parameter-file-empty",
            where=source,
            fix="Write a JSON object into it; {} is the smallest.",
        )
    value = _parse(text, source)
    if not isinstance(value, dict):
        raise ParameterError(
            f"The file holds {_KINDS[type(value)]} where a JSON object is needed.",
            code="json-not-object",
            where=source,
            fix='Put the parameters in braces: {"subject_id": "614173", …}.',
        )
    return value


def parse_value(text: str) -> Any:
    """Any JSON value, by the same strict rules.

    Raises:
        ParameterError: `text` is no JSON value.
    """
    return _parse(text, "value")


_KINDS: dict[type, str] = {
    list: "a list",
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _decode(raw: bytes, source: str) -> str:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ParameterError(
            "The file is in UTF-16, not UTF-8.",
            code="json-encoding",
            where=source,
            fix="Save it as UTF-8 (PowerShell: Set-Content -Encoding utf8).",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        raise ParameterError(
            f"The file is not UTF-8: byte 0x{error.object[error.start]:02x} begins no character.",
            code="json-encoding",
            where=_place(source, before, len(before)),
            fix="Save it with the encoding UTF-8.",
        ) from error


def _place(source: str, text: str, position: int) -> str:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return f"{source}, line {line}, column {column}"


def _parse(text: str, source: str) -> Any:
    _refuse_deep_nesting(text, source)
    try:
        value = json.loads(text, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise _syntax_error(error, text, source) from None
    findings = list(islice(_strict_findings(text, source), _MOST_FINDINGS))
    if findings:
        raise ParameterError.from_findings(f"{source} is not strict JSON.", findings)
    return value


def _integer(digits: str) -> int:
    # int() refuses thousands of digits without saying where; the strict findings do say it.
    return int(digits) if len(digits) <= _LONGEST_INTEGER else 0


def _refuse_deep_nesting(text: str, source: str) -> None:
    depth = 0
    for match in _TOKEN.finditer(text):
        if match[0] in "[{":
            depth += 1
        elif match[0] in "]}":
            depth -= 1
        if depth > DEEPEST_NESTING:
            raise ParameterError(
                f"Lists and objects are nested more than {DEEPEST_NESTING} levels deep.",
                code="json-too-deep",
                where=_place(source, text, match.start()),
                fix="Check the brackets and braces.",
            )


# What the person did, by the text at the place where the parser gave up; first match wins.
_SEEN_THERE = (
    (r"//|/\*|#", "There is a comment, which JSON does not have.", "Remove it."),
    (r"['‘’“”„]", 'There is a quote other than ".', 'Use the plain double quote ".'),
    (r"(True|False|None)\b", "There is a Python word.", "Write true, false or null."),
    (r",\s*[}\]]", "There is a comma after the last item.", "Remove the comma."),
)
_LAST_COMMA = re.compile(r",\s*\Z")

_PARSER_SAID = {
    "Expecting value": ("A value is missing or misspelled.", "Put text in double quotes."),
    "Expecting property name enclosed in double quotes": (
        "A key in double quotes is missing.",
        'Write it as "key": value.',
    ),
    "Expecting ',' delimiter": (
        "A comma is missing, or a bracket or brace is not closed.",
        'Put a comma between items; a " inside a text is written \\".',
    ),
    "Expecting ':' delimiter": ("A colon is missing after a key.", 'Write "key": value.'),
    "Unterminated string": (
        "A text that begins here has no closing quote.",
        'Close it with "; a backslash before that quote is written \\\\.',
    ),
    "Invalid control character": (
        "A text holds a line break, a tab or another control character.",
        "Close the quote on the same line; write a line break as \\n and a tab as \\t.",
    ),
    "Invalid \\escape": (
        "A text holds a single backslash.",
        "Write Windows paths with / or with \\\\, as in C:/data or C:\\\\data.",
    ),
    "Invalid \\uXXXX escape": (
        "A text holds \\u without four hexadecimal digits.",
        "Write Windows paths with / or with \\\\, as in C:/users or C:\\\\users.",
    ),
    "Extra data": (
        "Something follows the end of the JSON.",
        "Remove it, or check the braces before it.",
    ),
}


def _syntax_error(error: json.JSONDecodeError, text: str, source: str) -> ParameterError:
    position, what, fix = _explain(error, text)
    return ParameterError(
        f"This is not valid JSON. {what}",
        code="json-syntax",
        where=_place(source, text, position),
        fix=fix,
    )


def _explain(error: json.JSONDecodeError, text: str) -> tuple[int, str, str]:
    position = error.pos
    what, fix = next(
        (words for said, words in _PARSER_SAID.items() if error.msg.startswith(said)),
        (f"{error.msg}.", "Correct the place named above."),
    )
    if not error.msg.startswith(("Expecting", "Illegal")):
        return position, what, fix
    comma = _LAST_COMMA.search(text, 0, position)
    if comma and text[position : position + 1] in {"}", "]"}:
        position = comma.start()
    for pattern, seen, remedy in _SEEN_THERE:
        if re.compile(pattern).match(text, position):
            return position, seen, remedy
    if not text[position:].strip():
        return position, "The file ends too early.", "Close every bracket, brace and quote."
    return position, what, fix


class _Token(NamedTuple):
    position: int
    path: tuple[str | int, ...]
    text: str
    given_before: bool


class _Level(msgspec.Struct, eq=False):
    is_object: bool
    wants_key: bool
    label: str | int = 0
    keys: set[str] = set()

    def take_key(self, key: str) -> bool:
        """Go on to a key of this object; whether it has been there before."""
        self.label = key
        given_before = key in self.keys
        self.keys.add(key)
        return given_before

    def go_on(self) -> None:
        """Go on to the next item after a comma."""
        self.wants_key = self.is_object
        if isinstance(self.label, int):
            self.label += 1


def _tokens(text: str) -> Iterator[_Token]:
    """The keys and scalars of valid JSON, with where they are."""
    levels: list[_Level] = []
    for match in _TOKEN.finditer(text):
        piece = match[0]
        if piece in "{[":
            levels.append(_Level(piece == "{", wants_key=piece == "{"))
        elif piece in "]}":
            levels.pop()
        elif piece == ",":
            levels[-1].go_on()
        elif piece == ":":
            levels[-1].wants_key = False
        else:
            is_key = bool(levels) and levels[-1].wants_key
            given_before = is_key and levels[-1].take_key(json.loads(piece))
            path = tuple(level.label for level in levels)
            yield _Token(match.start(), path, piece, given_before)


def _strict_findings(text: str, source: str) -> Iterator[Finding]:
    for token in _tokens(text):
        for code, message, fix in _faults_of(token):
            key = f", key {join_path(token.path)}" if token.path else ""
            where = _place(source, text, token.position) + key
            yield Finding("error", code, message, where=where, fix=fix)


def _faults_of(token: _Token) -> Iterator[tuple[str, str, str]]:
    if token.text.startswith('"'):
        what = unusable_character(json.loads(token.text)) if "\\u" in token.text else None
        if what:
            yield "json-text", f"A text holds {what}.", "Remove it."
    elif not _is_usable(token.text):
        number = token.text if len(token.text) <= 40 else f"{token.text[:37]}…"
        yield (
            "json-number",
            f"{number} is not a number that can be used.",
            "Write a finite number, an integer within 64 bits, or a text in quotes.",
        )
    if token.given_before:
        key = shown(token.path[-1])
        yield "json-duplicate-key", f"The key {key} is given twice.", "Keep one of the two."


def _is_usable(literal: str) -> bool:
    if literal in {"true", "false", "null"}:
        return True
    if literal.lstrip("-").isdigit():
        return len(literal) <= _LONGEST_INTEGER and abs(int(literal)) <= LARGEST_INTEGER
    return math.isfinite(float(literal))
