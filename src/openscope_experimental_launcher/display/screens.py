"""What is shown around a session: the plan, findings, errors, the end.

Every function prints to a stream (standard output when none is given, standard error for errors)
and works with any: colours on a terminal, plain text in a pipe, plain signs where the encoding
lacks others. Nothing that is shown can act on the terminal.
"""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from ..errors import Finding, LauncherError, Level
from ..masking import mask_text, mask_values
from ..session.folder import SessionFolder
from ..session.record import SessionRecord
from .stream import Line, SafeStream, one_line, print_lines
from .words import clock, count, size

FILES_SHOWN = 8
"""Files of one kind that are listed one by one at the end of a session."""

_SIGNS: Mapping[Level, str] = {"ok": "✓", "warning": "!", "error": "✗"}
_COLOURS: Mapping[Level, str] = {"ok": "green", "warning": "yellow", "error": "bold red"}
_LABEL = 12
_OUTCOMES = {
    "completed": "Completed",
    "failed": "Failed",
    "aborted": "Aborted",
    "killed": "Stopped by a limit",
    "lost": "Ended, nobody saw how",
    "not started": "Not started",
}


def show_plan(
    plan: Mapping[str, Any],
    *,
    free_bytes: int | None,
    more: Mapping[str, str] = MappingProxyType({}),
    warnings: Sequence[Finding] = (),
    stream: TextIO | None = None,
) -> None:
    """What is about to run, for the operator's last look before Enter.

    Args:
        plan: the plan as `Plan.as_json` gives it.
        free_bytes: free space on the output folder's volume; None when it is not known.
        more: more rows, label → value.
        warnings: findings that do not stop the session.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    lines = _plan_lines(plan, free_bytes, more)
    print_lines([*lines, *_problem_lines(warnings, stream)], stream)


def _plan_lines(
    plan: Mapping[str, Any], free_bytes: int | None, more: Mapping[str, str]
) -> Iterator[Line]:
    subject = one_line(plan.get("subject_id") or "none")
    yield []
    if plan.get("rehearsal"):
        tag = " REHEARSAL: a stand-in plays, no animal is needed "
        yield [("  ", ""), (tag, "black on yellow")]
        yield []
    yield [("  Subject   ", "bold"), (f" {subject} ", "bold reverse")]
    yield []
    rows = {
        "user": plan.get("user_id") or "none",
        "protocol": plan.get("protocol_id"),
        "code": _code(plan.get("repository")),
        "script": plan.get("script"),
        "launcher": plan.get("launcher"),
        "parameters": plan.get("parameter_file"),
        "output": _output(plan.get("output_root"), free_bytes),
        "rig": plan.get("rig_id"),
        "computers": _computers(plan.get("session_sync")),
        "on a stop": (plan.get("stop") or {}).get("loses"),
        **more,
    }
    for label, value in rows.items():
        if value:
            yield _row(label, value)
    yield []


def _computers(sync: Mapping[str, Any] | None) -> str:
    if not sync:
        return ""
    place = f"{sync.get('address')} port {sync.get('port')}"
    if sync.get("role") == "slave":
        return f"this one is {sync.get('node')}, slave of the master at {place}"
    slaves = sync.get("slaves")
    named = ", ".join(map(str, slaves)) if isinstance(slaves, list) else count(slaves or 0, "slave")
    return f"this one is the master {sync.get('node')}, with {named}; it listens at {place}"


def _row(label: str, value: object) -> Line:
    return [(f"  {label:<{_LABEL}}", "dim"), (one_line(value), "")]


def _code(code: Mapping[str, Any] | None) -> str:
    if not code:
        return ""
    commit, ref = str(code.get("commit", "")), str(code.get("ref", ""))
    named = f" ({ref})" if ref and not commit.startswith(ref) else ""
    edits = " + local edits" if code.get("dirty") else ""
    return mask_text(f"{commit[:10]}{named}{edits} of {code.get('url', '')}")


def _output(root: object, free_bytes: int | None) -> str:
    free = "" if free_bytes is None else f"  ({size(free_bytes)} free)"
    return f"{root}{free}" if root else ""


def show_origins(rows: Iterable[tuple[str, Any, str]], *, stream: TextIO | None = None) -> None:
    """The parameters with where each value comes from.

    Args:
        rows: parameter, value, origin (`default`, `parameter file`, …).
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    cells = [
        (one_line(name), _compact(mask_values(value, name)), one_line(origin))
        for name, value, origin in rows
    ]
    print_lines(_origin_lines(cells, _width(stream)), stream)


def _origin_lines(cells: list[tuple[str, str, str]], width: int | None) -> Iterator[Line]:
    head = ("parameter", "value", "origin")
    names = max(len(row[0]) for row in [head, *cells])
    origins = max(len(row[2]) for row in [head, *cells])
    values = max(len(row[1]) for row in [head, *cells])
    if width is not None:
        values = max(min(values, width - names - origins - 5), 10)
    for name, value, origin in [head, *cells]:
        style = "dim" if origin == "default" else "bold" if origin == "origin" else ""
        shown = value if width is None or len(value) <= values else f"{value[: values - 3]}..."
        yield [(f"{name:<{names}}  {shown:<{values}}  {origin}", style)]


def _compact(value: Any) -> str:
    if isinstance(value, str):
        return one_line(value)
    return one_line(json.dumps(value, ensure_ascii=False, default=str))


def show_findings(findings: Sequence[Finding], *, stream: TextIO | None = None) -> None:
    """The findings of a check, each with where it is and its fix, and a line that sums them up.

    Args:
        findings: in the order in which to show them.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    print_lines([*_problem_lines(findings, stream), _verdict(findings)], stream)


def _verdict(findings: Sequence[Finding]) -> Line:
    errors = sum(finding.level == "error" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    if errors:
        also = f", {count(warnings, 'warning')}" if warnings else ""
        return [(f"{count(errors, 'error')}{also}: this cannot run yet.", "bold red")]
    if warnings:
        return [(f"{count(warnings, 'warning')}: this can run.", "yellow")]
    return [("Everything is in order.", "green")]


def _problem_lines(findings: Iterable[Finding], stream: TextIO | None) -> Iterator[Line]:
    signs = _signs(stream)
    width = _width(stream)
    for finding in findings:
        colour = _COLOURS[finding.level]
        sign = f"{signs[finding.level]:<2} "
        message = "" if finding.level == "ok" else colour
        for number, text in enumerate(_wrapped(finding.message, width, len(sign))):
            yield [(sign if number == 0 else " " * len(sign), colour), (text, message)]
        for label, value in (("where", finding.where), ("fix", finding.fix)):
            indent = len(sign) + len("where: ")
            for number, text in enumerate(_wrapped(value, width, indent)):
                start = f"{label + ':':<7}" if number == 0 else " " * 7
                yield [(" " * len(sign) + start, "dim"), (text, "")]


def show_files(
    rows: Sequence[tuple[str, Sequence[Finding]]], *, stream: TextIO | None = None
) -> None:
    """Many checked files in one table: each with the problems found in it, and a line that sums
    them up.

    Args:
        rows: each file's name and the findings on it.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    print_lines([*_file_lines(rows, stream), _files_verdict(rows)], stream)


def _file_lines(rows: Sequence[tuple[str, Sequence[Finding]]], stream: TextIO) -> Iterator[Line]:
    signs = _signs(stream)
    names = max((len(one_line(name)) for name, _ in rows), default=0)
    width = _width(stream)
    for name, findings in rows:
        level = _worst(findings)
        label = f"{signs[level]:<2} {one_line(name):<{names}}  "
        problems = [finding for finding in findings if finding.level == level != "ok"]
        words = [f"{one_line(f.message)}{_at(f)}" for f in problems] or ["in order"]
        for number, text in enumerate(
            line for w in words for line in _wrapped(w, width, len(label))
        ):
            start = label if number == 0 else " " * len(label)
            yield [(start, _COLOURS[level] if number == 0 else ""), (text, "")]


def show_parts(
    title: str,
    rows: Sequence[tuple[str, str, Sequence[Finding]]],
    *,
    stream: TextIO | None = None,
) -> None:
    """The parts of one thing that was looked at, in a table.

    Args:
        title: what was looked at.
        rows: each part's name, what was found in it, and what is not as it should be.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    print_lines([[(one_line(title), "")], *_part_lines(rows, stream)], stream)


def _part_lines(
    rows: Sequence[tuple[str, str, Sequence[Finding]]], stream: TextIO
) -> Iterator[Line]:
    signs, width = _signs(stream), _width(stream)
    longest = max((len(name) for name, _, _ in rows), default=0)
    for name, words, findings in rows:
        level = _worst(findings)
        label = f"  {signs[level]:<2} {name:<{longest}}  "
        told = [words] if words else []
        for found in findings:
            told += [one_line(found.message)] + ([f"fix: {found.fix}"] if found.fix else [])
        lines = [line for text in told for line in _wrapped(text, width, len(label))]
        for number, text in enumerate(lines):
            start = label if number == 0 else " " * len(label)
            yield [(start, _COLOURS[level] if number == 0 else ""), (text, "")]


def _worst(findings: Sequence[Finding]) -> Level:
    levels = {finding.level for finding in findings}
    return "error" if "error" in levels else "warning" if "warning" in levels else "ok"


def _at(finding: Finding) -> str:
    return f"  ({one_line(finding.where)})" if finding.where else ""


def _files_verdict(rows: Sequence[tuple[str, Sequence[Finding]]]) -> Line:
    worst = [_worst(findings) for _, findings in rows]
    refused = worst.count("error")
    warned = worst.count("warning")
    also = f", {warned} with warnings" if warned else ""
    if refused:
        return [(f"{count(len(rows), 'file')}: {refused} cannot run yet{also}.", "bold red")]
    colour = "yellow" if warned else "green"
    return [(f"{count(len(rows), 'file')}: all can run{also}.", colour)]


def show_problems(findings: Sequence[Finding], *, stream: TextIO | None = None) -> None:
    """Findings without a verdict.

    Args:
        findings: in the order in which to show them.
        stream: where to print; standard error when not given.
    """
    stream = stream or sys.stderr
    print_lines(_problem_lines(findings, stream), stream)


def show_error(error: LauncherError, *, stream: TextIO | None = None) -> None:
    """What is wrong, where, and how to mend it.

    Args:
        error: the error, of one problem or several.
        stream: where to print; standard error when not given.
    """
    stream = stream or sys.stderr
    lines: list[Line] = []
    if len(error.findings) > 1:
        heading = f"{one_line(error.message)} ({len(error.findings)} problems)"
        lines.append([(heading, "bold red")])
    print_lines([*lines, *_problem_lines(error.findings, stream)], stream)


def show_end(
    outcome: str,
    reason: str,
    session: Path | None,
    duration_s: float | None,
    *,
    sound: bool = False,
    stream: TextIO | None = None,
) -> None:
    """The end in one clear line, green or red, and the session folder below it.

    Args:
        outcome: `completed`, `failed`, `aborted`, `killed`, `lost` or `not started`.
        reason: why, in plain words; empty when the outcome says it all.
        session: the session folder; None when there is none.
        duration_s: how long the acquisition ran, in seconds.
        sound: ring for people who are not looking.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    good = outcome == "completed"
    sign = _signs(stream)["ok" if good else "error"]
    after = "" if duration_s is None else f" {'in' if good else 'after'} {clock(duration_s)}"
    why = f": {one_line(reason)}" if reason else ""
    words = f"{sign} {_OUTCOMES.get(outcome, outcome)}{after}{why}"
    lines: list[Line] = [[(words, "bold green" if good else "bold red")]]
    if session is not None:
        lines.append([("  session  ", "dim"), (one_line(session), "")])
    print_lines(lines, stream)
    if sound:
        _ring(stream, good=good)


def show_failed_steps(record: SessionRecord, *, stream: TextIO | None = None) -> None:
    """The steps of a session that failed and were not done since, a line each.

    Args:
        record: the session.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    last = {(step["phase"], step["position"]): step for step in record.steps}
    failed = [step for step in last.values() if step["outcome"] in ("failed", "timed out")]
    print_lines([[("  failed   ", "bold red"), (_failed(step), "")] for step in failed], stream)


def _failed(step: Mapping[str, Any]) -> str:
    message = step.get("message") or str(step["outcome"])
    return one_line(f"step {step['step']} {step['phase']} the acquisition: {message}")


def _ring(stream: TextIO | None, *, good: bool) -> None:
    if sys.platform == "win32":
        import winsound

        winsound.MessageBeep(winsound.MB_OK if good else winsound.MB_ICONHAND)
        return
    safe = SafeStream(stream)
    if safe.isatty():
        safe.write("\a" if good else "\a\a")
        with contextlib.suppress(OSError):
            safe.flush()


def show_session_contents(folder: SessionFolder, *, stream: TextIO | None = None) -> None:
    """What lies in a session folder, by kind, with sizes.

    Args:
        folder: the session folder.
        stream: where to print; standard output when not given.
    """
    stream = stream or sys.stdout
    print_lines(_content_lines(folder), stream)


def _content_lines(folder: SessionFolder) -> Iterator[Line]:
    kinds: dict[str, list[Path]] = {"data": [], "metadata": [], "logs": [], "records": []}
    for path in sorted(folder.path.rglob("*")):
        if path.is_file():
            kinds[_kind(path.relative_to(folder.path))].append(path)
    listed = [path for paths in kinds.values() for path in paths[:FILES_SHOWN]]
    names = max((len(str(path.relative_to(folder.path))) for path in listed), default=0)
    yield [(one_line(folder.path), "bold")]
    for kind, paths in kinds.items():
        for number, path in enumerate(paths[:FILES_SHOWN]):
            label = kind if number == 0 else ""
            name = one_line(path.relative_to(folder.path).as_posix())
            sizes = size(path.stat().st_size)
            yield [(f"  {label:<10}", "cyan"), (f"{name:<{names}}", ""), (f"  {sizes:>9}", "dim")]
        if len(paths) > FILES_SHOWN:
            rest = paths[FILES_SHOWN:]
            total = size(sum(path.stat().st_size for path in rest))
            yield [(f"  {'':<10}and {count(len(rest), 'more file')}, {total}", "dim")]


def _kind(path: Path) -> str:
    from ..metadata.aind import RECORDS

    top = path.parts[0]
    if top == "experiment_metadata" or path.as_posix() in RECORDS:
        return "metadata"
    if top == "logs":
        return "logs"
    if path.name in ("journal.jsonl", "manifest.json", "report.html") and len(path.parts) == 1:
        return "records"
    return "data"


def _signs(stream: TextIO | None) -> Mapping[Level, str]:
    if SafeStream(stream).speaks("".join(_SIGNS.values())):
        return _SIGNS
    return {"ok": "ok", "warning": "!", "error": "x"}


def _width(stream: TextIO | None) -> int | None:
    """Columns of a terminal; None for anything else, where lines are left whole."""
    safe = SafeStream(stream)
    return safe.size()[0] if safe.isatty() else None


def _wrapped(text: str, width: int | None, indent: int) -> list[str]:
    line = one_line(text)
    if width is None or not line:
        return [line] if line else []
    # A path must stay in one piece, so that it can be copied.
    return textwrap.wrap(
        line, max(width - indent, 20), break_long_words=False, break_on_hyphens=False
    )
