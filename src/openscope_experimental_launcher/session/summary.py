"""One session in a few words and numbers, as the history keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from ..files import read_json_object
from ..jsonl import parse_lines
from .comparing import comparable, flattened
from .folder import SessionFolder
from .journal import is_event
from .record import SessionRecord, fold
from .weights import weights_of

OPEN = "open"
"""Stands for the outcome of a session that was not closed yet."""

_A_SAMPLE = b'"name":"acquisition.sampled"'
_LONGEST_VALUE = 200
_LONGEST_TABLE = 100_000


class Summary(NamedTuple):
    """What the history knows of a session.

    Attributes:
        folder: absolute path of its folder.
        name: its name, also when the folder was renamed.
        subject, user, rig, host: who, and where.
        launcher: the engine, `bonsai`, `python`, …
        protocol: `protocol_id`; empty when there is none.
        script: the workflow or script that ran.
        parameter_file: its path when the session ran.
        repository, ref, code: address of the code, what was asked for, and the commit's full hash.
        dirty: whether the code ran with edits.
        outcome: `completed`, `failed`, `aborted`, `killed`, `lost`; `open` until it is closed.
        reason: why, in one sentence.
        closed_by: `launcher` or `recovery`; empty until it is closed.
        began: local time with its offset, ISO 8601.
        began_s: the same in seconds since 1970, UTC.
        duration_s: how long the acquisition took; None when it is not known.
        files, size_bytes: what the manifest lists; None until it is sealed.
        attempts: how many times the acquisition was started.
        warnings, errors: how many findings of either level were reported.
        pending: how many steps are still to be done.
        rehearsal: whether a stand-in played.
        rerun_of: name of the session it repeats.
        weight_g: the subject's weight before it, else after it; None when no step asked.
        note: the last note that somebody made.
        present: whether its folder is still where it was, when that was looked at.
    """

    folder: str
    name: str
    subject: str
    user: str
    rig: str
    host: str
    launcher: str
    protocol: str
    script: str
    parameter_file: str
    repository: str
    ref: str
    code: str
    dirty: bool
    outcome: str
    reason: str
    closed_by: str
    began: str
    began_s: float
    duration_s: float | None
    files: int | None
    size_bytes: int | None
    attempts: int
    warnings: int
    errors: int
    pending: int
    rehearsal: bool
    rerun_of: str
    weight_g: float | None
    note: str
    present: bool = True

    def as_json(self) -> dict[str, Any]:
        """It as a JSON object."""
        truths = {name: bool(getattr(self, name)) for name in ("dirty", "rehearsal", "present")}
        return {**self._asdict(), **truths}


class Described(NamedTuple):
    """A session as the index takes it in.

    Attributes:
        summary: what is listed of it.
        text: all that a search for words looks at, in lower case.
        parameters: its parameters by their paths, for comparing them with those of others.
        journal_size: bytes of its journal when it was read, which tell whether it went on.
    """

    summary: Summary
    text: str
    parameters: dict[str, Any]
    journal_size: int


def describe(path: Path) -> Described | None:
    """Read a session's records; None when the folder is no session or cannot be read.

    Whatever is missing in a record, or damaged, is left empty.

    Args:
        path: absolute path of the session folder.
    """
    folder = SessionFolder(path)
    try:
        data = folder.journal.read_bytes()
    except OSError:
        return None
    record = fold(_milestones(data))
    if not record.opened:
        return None
    processed = read_json_object(folder.metadata / "processed_parameters.json")
    runtime = read_json_object(folder.metadata / "runtime_information.json")
    plan = runtime.get("plan")
    summary = _summary(folder, record, plan if isinstance(plan, dict) else {})
    ran_in = Path(str(runtime.get("session_directory") or path))
    kept = kept_parameters(processed, ran_in)
    return Described(summary, _text(summary, record, kept), kept, len(data))


def day_in_words(moment: datetime, now: datetime) -> str:
    """How long ago a local time was, as people say it: today, yesterday, 3 days ago."""
    days = (now.date() - moment.date()).days
    if days in (0, 1):
        return ("today", "yesterday")[days]
    return f"{days} days ago" if 0 < days < 100 else f"on {moment:%Y-%m-%d}"


def time_in_words(session: Summary, now: datetime) -> str:
    """When a session began, as people say it: yesterday at 14:05."""
    began = datetime.fromtimestamp(session.began_s)
    return f"{day_in_words(began, now)} at {began:%H:%M}"


def kept_parameters(processed: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Parameters by their paths as the history keeps them, without those that say nothing.

    Args:
        processed: the parameters as they were used.
        folder: the session folder then.
    """
    values = dict(flattened(comparable(processed, folder)))
    return {path: value for path, value in values.items() if value not in (None, "", [], {})}


def _milestones(data: bytes) -> Iterator[dict[str, Any]]:
    """The events of a journal but its samples, which are nearly all of a long session's."""
    lines = (line for line in data.split(b"\n") if _A_SAMPLE not in line)
    return filter(is_event, parse_lines(b"\n".join(lines)))


def _summary(folder: SessionFolder, record: SessionRecord, plan: Mapping[str, Any]) -> Summary:
    opened, closed = record.opened, record.closed or {}
    code = record.repository or plan.get("repository")
    code = code if isinstance(code, dict) else {}
    levels = [finding["level"] for finding in record.findings]
    sealed = record.sealed or {}
    before, after = weights_of(folder.weights)
    return Summary(
        folder=_clean(folder.path),
        name=_clean(opened.get("session_uuid") or folder.name),
        subject=_clean(opened.get("subject_id")),
        user=_clean(opened.get("user_id")),
        rig=_clean(opened.get("rig_id")),
        host=_clean(opened.get("host")),
        launcher=_clean(opened.get("launcher")),
        protocol=_clean(plan.get("protocol_id")),
        script=_clean(plan.get("script")),
        parameter_file=_clean(opened.get("parameter_file")),
        repository=_clean(code.get("url")),
        ref=_clean(code.get("ref")),
        code=_clean(code.get("commit")),
        dirty=bool(code.get("dirty")),
        outcome=_clean(closed.get("outcome") or "lost") if record.closed is not None else OPEN,
        reason=_clean(record.reason),
        closed_by=_clean(closed.get("closed_by")),
        began=_clean(record.began),
        began_s=_seconds(record.began),
        duration_s=_number((record.ended or {}).get("duration_s")),
        files=_number(sealed.get("files")),
        size_bytes=_number(sealed.get("size_bytes")),
        attempts=record.attempts,
        warnings=levels.count("warning"),
        errors=levels.count("error"),
        pending=len(record.pending_places()),
        rehearsal=bool(opened.get("rehearsal")),
        rerun_of=_clean(opened.get("rerun_of")),
        weight_g=before if before is not None else after,
        note=_clean(record.notes[-1].get("text"))[:_LONGEST_VALUE] if record.notes else "",
    )


def _text(summary: Summary, record: SessionRecord, parameters: Mapping[str, Any]) -> str:
    named = ("name", "subject", "user", "rig", "host", "launcher", "protocol", "script")
    coded = ("parameter_file", "repository", "ref", "code", "outcome", "reason", "rerun_of")
    parts = [str(getattr(summary, name)) for name in (*named, *coded)]
    for finding in record.findings:
        parts += [str(finding.get("code", "")), str(finding.get("message", ""))]
    parts += record.warnings
    parts += [str(note.get("text", "")) for note in record.notes]
    for step in record.steps:
        parts += [str(step["step"]), str(step.get("message", ""))]
    for path, value in parameters.items():
        if path.startswith("script_parameters.") and len(str(value)) <= _LONGEST_VALUE:
            parts.append(f"{path.partition('.')[2]} {value}")
    return _clean("\n".join(dict.fromkeys(part for part in parts if part))).casefold()


def _clean(value: object) -> str:
    """A value as text that a database takes: names of files may hold half characters."""
    text = "" if value is None else str(value)
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _number(value: Any) -> Any:
    """A number, unless a damaged record makes it larger than a database takes."""
    return None if isinstance(value, int) and abs(value) >= 2**63 else value


def _seconds(time: str) -> float:
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError, OSError):  # no time, or one that the system cannot hold
        return 0.0
