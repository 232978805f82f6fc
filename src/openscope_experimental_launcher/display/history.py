"""Sessions of the past on a terminal: many in a table, or one in full."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, TextIO

from ..masking import mask_arguments, mask_text
from ..session.past import PastSession, as_object
from ..session.record import SessionRecord
from ..session.summary import Summary, time_in_words
from .screens import show_session_contents
from .stream import Line, SafeStream, one_line, print_lines
from .words import clock, count, size

_EVERY_S = 0.1
_LEAST_SAID = 16
_LABEL = 12
_NOTE = 100
_COLOURS = {"completed": "green", "aborted": "yellow", "running": "cyan", "unattended": "yellow"}
_HEADINGS = ("session", "outcome", "took", "rig", "user", "what", "code", "remarks")
_GIVEN_UP_FIRST = ("code", "user", "what", "rig", "took")
"""Columns that are left out, in this order, where a terminal is too narrow for all."""


class Progress:
    """Says on a terminal how many sessions have been read, when there are many; elsewhere nothing.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = SafeStream(stream)
        self._says_next = time.monotonic() + 2 * _EVERY_S  # nothing of what is over at once
        self._said = False

    def __call__(self, done: int, total: int) -> None:
        if done == total and self._said:
            self._write("\r\x1b[K")
        elif done < total and time.monotonic() >= self._says_next and self._stream.isatty():
            self._says_next, self._said = time.monotonic() + _EVERY_S, True
            self._write(f"\rReading the session folders: {done:,} of {total:,} ")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        with suppress(OSError):
            self._stream.flush()


def show_sessions(
    sessions: Sequence[Summary], states: Mapping[str, str], *, stream: TextIO | None = None
) -> None:
    """Sessions in a table that fits the terminal; in a pipe, nothing is left out.

    Args:
        sessions: the sessions, in the order in which to show them.
        states: what open sessions do, by their folders.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    safe = SafeStream(stream)
    width = safe.size()[0] if safe.isatty() else None
    rows = [cells(session, states.get(session.folder, session.outcome)) for session in sessions]
    print_lines(_table(rows, width), stream)


def cells(session: Summary, state: str) -> dict[str, str]:
    """What a table of sessions says of one, by the headings, each on one line.

    Args:
        session: the session.
        state: its outcome, or what an open one does.
    """
    said = {
        "session": session.name,
        "outcome": state,
        "took": "" if session.duration_s is None else clock(session.duration_s),
        "rig": session.rig,
        "user": session.user,
        "what": what_ran(session),
        "code": session.code[:8] + ("+" if session.dirty and session.code else ""),
        "remarks": "; ".join(_remarks(session)),
    }
    return {name: one_line(text) for name, text in said.items()}


def what_ran(session: Summary) -> str:
    """The protocol, or else the script's name, or else the kind of launcher."""
    script = PurePosixPath(session.script.replace("\\", "/")).name
    return session.protocol or script or session.launcher


def _remarks(session: Summary) -> Iterator[str]:
    if not session.present:
        yield "its folder is gone"
    if session.rehearsal:
        yield "rehearsal"
    if session.pending:
        yield f"{count(session.pending, 'step')} to be done later"
    if session.outcome not in ("completed", "open") and session.reason:
        yield session.reason


def _table(rows: Sequence[Mapping[str, str]], width: int | None) -> Iterator[Line]:
    shown = [name for name in _HEADINGS if any(row[name] for row in rows)]
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in shown}
    if width is not None:
        for name in _GIVEN_UP_FIRST:
            if _needed(shown, widths) < width:
                break
            shown = [other for other in shown if other != name]
        rest = width - _needed([name for name in shown if name != "remarks"], widths) - 3
        widths["remarks"] = max(rest, _LEAST_SAID)
    yield [("  ".join(f"{name:<{widths[name]}}" for name in shown).rstrip(), "bold")]
    for row in rows:
        cells = [f"{_cut(row[name], widths[name]):<{widths[name]}}  " for name in shown]
        if width is None:
            yield [("".join(cells).rstrip(), "")]
        else:
            yield [(cell, _style(name, row)) for name, cell in zip(shown, cells, strict=True)]


def _needed(shown: Iterable[str], widths: Mapping[str, int]) -> int:
    """Columns of the terminal that these columns take, the remarks at least a little."""
    return sum(
        2 + (min(widths[name], _LEAST_SAID) if name == "remarks" else widths[name])
        for name in shown
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _style(name: str, row: Mapping[str, str]) -> str:
    if name == "outcome":
        return _COLOURS.get(row[name], "red")
    return "dim" if name == "remarks" else ""


def last_session_rows(last: Summary | None) -> dict[str, str]:
    """A subject's last session in rows for the plan of its next one, label → value."""
    if last is None:
        return {}
    took = ""
    if last.duration_s is not None:
        took = f" {'in' if last.outcome == 'completed' else 'after'} {clock(last.duration_s)}"
    weight = "" if last.weight_g is None else f", {last.weight_g:g} g"
    note = f"{last.note[:_NOTE]}…" if len(last.note) > _NOTE else last.note
    return {
        "last": f"{time_in_words(last, datetime.now())}, {last.outcome}{took}{weight}",
        "its note": note,
    }


def show_session(past: PastSession, state: str, *, stream: TextIO | None = None) -> None:
    """All that is worth knowing of one session: who, what ran, how it went, what it left.

    Args:
        past: its records.
        state: `closed`, or what an open one does.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    print_lines([*_heading(past, state), *_facts(past), *_events(past.record)], stream)
    show_session_contents(past.folder, stream=stream)


def _heading(past: PastSession, state: str) -> Iterator[Line]:
    outcome = past.record.outcome or "lost" if state == "closed" else state
    yield [(one_line(past.name), "bold"), ("  ", ""), (outcome, _COLOURS.get(outcome, "red"))]
    if past.record.reason:
        yield [(f"  {one_line(past.record.reason)}", "")]
    for name in past.unreadable:
        yield [(f"  {one_line(name)} of it cannot be read", "yellow")]
    yield []


def _facts(past: PastSession) -> Iterator[Line]:
    opened, plan = past.record.opened, past.plan
    parts = [f"{key} {opened[f'{key}_id']}" for key in ("user", "rig") if opened.get(f"{key}_id")]
    arguments = plan.get("arguments")
    command = " ".join(mask_arguments(list(map(str, arguments)))) if arguments else ""
    facts = {
        "subject": opened.get("subject_id"),
        "by": ", ".join(map(str, parts)),
        "when": _when(past),
        "rehearsal": "a stand-in played" if past.rehearsal else "",
        "protocol": plan.get("protocol_id"),
        "launcher": f"{opened.get('launcher', '')}, on {opened.get('host', '')}, "
        f"openscope {opened.get('launcher_version', '')}",
        "script": plan.get("script"),
        "command": command,
        "code": _code(past),
        "edits": ", ".join(past.edited),
        "parameters": opened.get("parameter_file"),
        "again of": opened.get("rerun_of"),
        "attempts": past.record.attempts if past.record.attempts > 1 else "",
        "manifest": _manifest(past.record),
        "later": ", ".join(past.record.pending_steps()),
    }
    for label, value in facts.items():
        if value:
            yield [(f"  {label:<{_LABEL}}", "dim"), (one_line(value), "")]
    yield []


def _when(past: PastSession) -> str:
    duration_s = (past.record.ended or {}).get("duration_s")
    took = "" if duration_s is None else f", the acquisition took {clock(duration_s)}"
    try:
        began = f"{datetime.fromisoformat(past.record.began):%Y-%m-%d %H:%M:%S %z}"
    except ValueError:
        began = past.record.began
    return began + took


def _code(past: PastSession) -> str:
    code = past.repository or past.record.repository or as_object(past.plan.get("repository"))
    if not past.commit:
        return ""
    ref = code.get("ref")
    named = f" ({ref})" if ref and not past.commit.startswith(str(ref)) else ""
    edits = " + local edits" if past.edited or code.get("dirty") else ""
    return mask_text(f"{past.commit}{named}{edits} of {code.get('url', '')}")


def _manifest(record: SessionRecord) -> str:
    if record.sealed is None:
        return ""
    return f"{count(record.sealed['files'], 'file')}, {size(record.sealed['size_bytes'])}, sealed"


def _events(record: SessionRecord) -> Iterator[Line]:
    groups: dict[str, list[Line]] = {
        "Steps": [
            _told(f"{step['step']}: {step['outcome']}", step.get("message"))
            for step in record.steps
        ],
        "Found": [
            _told(f"{finding['level']}: {finding.get('message', '')}", finding.get("fix"))
            for finding in record.findings
        ],
        "Warned": [_told(message) for message in record.warnings],
        "Notes": [_told(note.get("text"), note.get("by")) for note in record.notes],
        "Copies": [_told(copy.get("folder"), _copied(copy, record)) for copy in record.copies],
        "Removed here": [_told(_freed(record.freed))] if record.freed else [],
    }
    for heading, lines in groups.items():
        if lines:
            yield [(heading, "bold")]
            yield from lines
            yield []


def _copied(copy: Mapping[str, Any], record: SessionRecord) -> str:
    verified = f"verified {str(copy.get('time', ''))[:19].replace('T', ' ')}"
    older = copy.get("manifest_sha256") != (record.sealed or {}).get("sha256")
    return f"{verified}, older than the session" if older else verified


def _freed(data: Mapping[str, Any]) -> str:
    return f"{count(int(data.get('files', 0)), 'file')}, {size(data.get('size_bytes', 0))}"


def _told(words: object, more: object = "") -> Line:
    return [(f"  {one_line(words)}", ""), (f"  {one_line(more)}" if more else "", "dim")]
