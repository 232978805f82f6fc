"""Numbers and events of a session in words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .stream import one_line

Data = Mapping[str, Any]


def clock(seconds: float) -> str:
    """Seconds as `MM:SS`, from an hour on `H:MM:SS`."""
    whole = max(int(seconds), 0)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes:02d}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def size(number: float) -> str:
    """Bytes in the unit that suits them: B, kB, MB (10^6 bytes), GB, TB."""
    if number < 1000:
        return f"{number:.0f} B"
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}" if number < 100 else f"{number:.0f} {unit}"
    return f"{number / 1000:.1f} TB"


def count(number: int, noun: str) -> str:
    """`1 file`, `12,345 files`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def event_in_words(event: Mapping[str, Any]) -> str:
    """One event of a journal as one line for the operator; empty for those not worth a line."""
    phrase = _PHRASES.get(str(event["name"]))
    return one_line(phrase(event["data"])) if phrase else ""


def _repository(data: Data) -> str:
    commit, ref = str(data.get("commit", "")), str(data.get("ref", ""))
    named = f" ({ref})" if ref and not commit.startswith(ref) else ""
    edits = " + local edits" if data.get("dirty") else ""
    return f"code at {commit[:10]}{named}{edits}"


def _agreed(data: Data) -> str:
    names = ", ".join(str(node.get("name", "")) for node in data.get("nodes") or [])
    without = ", ".join(map(str, data.get("missing") or []))
    return f"agreed by {names}" + (f", without {without}" if without else "")


def _stop(data: Data) -> str:
    who = " ".join(part for part in (str(data.get("by", "")), _reason(data)) if part)
    grace_s = float(data.get("kill_in_s") or 0)
    force = f"ended by force in {grace_s:g} s at the latest" if grace_s else "ended by force now"
    return f"stopping ({who}): {force}"


def _ended(data: Data) -> str:
    how = f"exit code {data.get('exit_code')}"
    if data.get("signal") is not None:
        how = f"signal {data['signal']}"
    return f"acquisition ended after {clock(data.get('duration_s') or 0)} ({how})"


def _finding(data: Data) -> str:
    if data.get("level") == "ok":
        return ""
    fix = f" Fix: {data['fix']}" if data.get("fix") else ""
    sign = "!" if data.get("level") == "warning" else "✗"
    return f"{sign} {data.get('message', '')}{fix}"


def _reason(data: Data) -> str:
    return f"- {data['reason']}" if data.get("reason") else ""


_PHRASES: Mapping[str, Callable[[Data], str]] = {
    "session.opened": lambda data: f"session {data.get('session_uuid', '')}",
    "session.agreed": _agreed,
    "stage.entered": lambda data: f"stage: {stage_name(data.get('stage', ''))}",
    "repository.ready": _repository,
    "acquisition.started": lambda data: f"acquisition started (process {data.get('pid')})",
    "acquisition.warned": lambda data: f"! {data.get('message', '')}",
    "acquisition.stop_requested": _stop,
    "acquisition.ended": _ended,
    "acquisition.retried": lambda data: (
        f"attempt {data.get('attempt')} (by {data.get('by', '')})"
        + (f"; the one before is kept in {data['kept_in']}" if data.get("kept_in") else "")
    ),
    "acquisition.judged": lambda data: f"acquisition {data.get('outcome', '')} {_reason(data)}",
    "step.finished": lambda data: ": ".join(
        filter(
            None, (f"step {data.get('step', '')} {data.get('outcome', '')}", data.get("message"))
        )
    ),
    "finding.reported": _finding,
    "note.added": lambda data: f"note: {data.get('text', '')}",
    "guard.replaced": lambda _: "! the guard was killed; another one goes on in its place",
    "acquisition.unwatched": lambda data: (
        f"! nobody watched the acquisition for {data.get('for_s')} s: the computer slept, or was "
        "kept from it"
    ),
    "launcher.lost": lambda _: "! the launcher was lost; the guard goes on alone",
    "clock.jumped": lambda data: f"! the computer's clock jumped by {data.get('by_s')} s",
    "manifest.sealed": lambda data: (
        f"manifest: {count(int(data.get('files', 0)), 'file')}, {size(data.get('size_bytes', 0))}"
    ),
    "session.copied": lambda data: (
        f"copied to {data.get('destination', '')} and verified: "
        f"{count(int(data.get('files', 0)), 'file')}, {size(data.get('size_bytes', 0))}"
    ),
    "session.freed": lambda data: (
        f"freed: {count(int(data.get('files', 0)), 'file')}, {size(data.get('size_bytes', 0))}"
    ),
    "session.closed": lambda data: f"session closed: {data.get('outcome', '')}",
}


def stage_name(stage: object) -> str:
    """A stage's name as words."""
    return one_line(stage).replace("_", " ")
