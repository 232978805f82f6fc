"""The picture of a running session as styled lines that fit a terminal of any size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .stream import Line, one_line
from .view import SessionView
from .words import clock, size, stage_name

TALLEST = 22
"""Rows of the whole picture on a tall terminal; it stays the same while what is in it changes."""

_FEWEST_OUTPUT_ROWS = 3
_NOTES = 2
_ALARM_AT = 0.9


def draw(
    view: SessionView,
    plan: Mapping[str, Any],
    output: Sequence[Line],
    footer: Sequence[Line],
    *,
    width: int,
    height: int,
) -> list[Line]:
    """The picture, at most one row less than the terminal has.

    Args:
        view: the session.
        plan: its plan, as JSON.
        output: the last lines of the acquisition.
        footer: the lines below everything, for keys and the note being typed; empty for the
            picture that stays when the display ends.
        width: columns of the terminal.
        height: rows of the terminal.
    """
    rows = min(height - 1, TALLEST)
    head = [_title(view, plan, width), _progress(view, plan), _measures(view, plan)]
    warnings: list[Line] = [
        _warning(text) for text in list(view.warnings)[-(2 if rows < 20 else 3) :]
    ]
    notes: list[Line] = [_note(note) for note in view.record.notes[-_NOTES:]]
    below = [rule("", width), *notes, *footer] if notes or footer else []
    spare = rows - len(head) - len(warnings) - len(below) - 2
    room = max(spare, _FEWEST_OUTPUT_ROWS)
    shown = list(output)[-room:] or [[(" no output yet", "dim")]]
    if footer:  # keep everything in its place; without a footer it is the last picture
        shown += [[]] * (room - len(shown))
    picture = [rule("openscope", width), *head, *warnings, rule("output", width), *shown, *below]
    return picture[:rows] if rows > 0 else []


def rule(title: str, width: int) -> Line:
    """A line across the terminal with a title in it."""
    start = f"── {title} " if title else ""
    return [(start + "─" * max(width - len(start), 0), "dim")]


def keys_line(plan: Mapping[str, Any], *, notes: bool) -> Line:
    """What the operator can press, and what a stop would cost."""
    keys: list[tuple[str, str]] = [(" ", "")]
    if notes:
        keys += [("n", "bold"), (" note  ·  ", "dim")]
    keys += [("Ctrl-C", "bold"), (" stop", "dim")]
    loses = one_line((plan.get("stop") or {}).get("loses") or "")
    if loses:
        keys += [(f"  ·  {loses}", "yellow")]
    return keys


def typing_line(text: str, width: int) -> Line:
    """The note being typed, its end always visible."""
    help_text = "   Enter saves · Esc cancels"
    room = max(width - len(" note: ▏") - len(help_text), 10)
    return [(" note: ", "bold cyan"), (text[-room:], ""), ("▏", "bold"), (help_text, "dim")]


def _title(view: SessionView, plan: Mapping[str, Any], width: int) -> Line:
    subject = one_line(plan.get("subject_id") or view.record.opened.get("subject_id") or "")
    name = view.folder.name
    line = [(f" {subject}", "bold"), (f"  {name}", "dim")]
    if plan.get("rehearsal") or view.record.opened.get("rehearsal"):
        tag = " REHEARSAL "
        gap = max(width - sum(len(text) for text, _ in line) - len(tag) - 1, 1)
        line += [(" " * gap, ""), (tag, "black on yellow")]
    return line


def _progress(view: SessionView, plan: Mapping[str, Any]) -> Line:
    left_s = view.seconds_to_force()
    if left_s is not None:
        return _stopping(left_s)
    record = view.record
    stage = stage_name(record.stage) or "starting"
    line = [(f" {stage}", "bold cyan")]
    ran_s = view.acquisition_s()
    line += [(f"  {clock(view.session_s() if ran_s is None else ran_s)}", "bold")]
    limit_s = (plan.get("limits") or {}).get("max_duration_s")
    if view.running() and ran_s is not None and limit_s:
        line += [(f"  {clock(limit_s - ran_s)} left at most", "dim")]
    if record.outcome:
        good = record.outcome == "completed"
        line += [(f"  {record.outcome}", "bold green" if good else "bold red")]
        line += [(f"  {one_line(record.reason)}", "")]
    return line


def _stopping(left_s: float) -> Line:
    if left_s <= 0:
        return [(" stopping: it is being ended by force", "bold yellow")]
    words = f" stopping: {left_s:.0f} s left before it is ended by force"
    return [(words, "bold yellow"), ("; Ctrl-C again ends it now", "yellow")]


def _measures(view: SessionView, plan: Mapping[str, Any]) -> Line:
    sample = view.record.sample
    if sample is None:
        return [(" memory -  ·  CPU -  ·  disk -", "dim")]
    parts = [_memory(sample, (plan.get("limits") or {}).get("memory_limit_mb"))]
    if view.cpu_percent is not None:
        parts.append((f"CPU {view.cpu_percent:.0f} %", ""))
    processes = int(sample.get("processes") or 0)
    words = "1 process" if processes == 1 else f"{processes} processes"
    parts.append((words, ""))
    if sample.get("disk_free_mb") is not None:
        parts.append((f"disk {size(sample['disk_free_mb'] * 1e6)} left", ""))
    return [(" ", ""), *_joined(parts)]


def _memory(sample: Mapping[str, Any], limit_mb: float | None) -> tuple[str, str]:
    used_mb = float(sample.get("memory_mb") or 0.0)
    if not limit_mb:
        return f"memory {size(used_mb * 1e6)}", ""
    alarm = "bold yellow" if used_mb >= _ALARM_AT * limit_mb else ""
    return f"memory {size(used_mb * 1e6)} of {size(limit_mb * 1e6)}", alarm


def _joined(parts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    line: list[tuple[str, str]] = []
    for part in parts:
        line += [("  ·  ", "dim"), part] if line else [part]
    return line


def _warning(text: str) -> Line:
    return [(f" {text}", "bold red" if text.startswith("✗") else "yellow")]


def _note(note: Mapping[str, Any]) -> Line:
    at = str(note.get("time", ""))[11:19]
    return [(f" {at} ", "dim"), (f"note: {one_line(note.get('text', ''))}", "cyan")]
