"""What stands in each section of a report, from what a session left. Texts, no markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..display.words import clock, count, event_in_words
from ..masking import mask_values
from ..session.output import tail
from ..session.past import as_object
from ..session.state import has_launcher
from .incident import missing_metadata, parameter_changes
from .output import STREAMS
from .reading import Story
from .siblings import BAD, Sibling, subject_of
from .words import as_text, time_of_day, when

_PARAMETERS_SHOWN = 300
_STEPS_SHOWN = 100
_OUTPUT_LINES = 40
_NOTES = ("experiment_notes.txt",)

Fact = tuple[str, str]


class Parameter(NamedTuple):
    """One parameter.

    Attributes:
        key: its name.
        value: as it was used.
        origin: where it came from; empty for a default.
        before: what it was in this subject's last session, by the paths inside it that changed.
    """

    key: str
    value: str
    origin: str
    before: list[tuple[str, str, str]]


def state_of(story: Story) -> str:
    """The outcome, or for a session that was not closed `running` or `not closed`."""
    if story.outcome:
        return story.outcome
    try:
        return "running" if has_launcher(story.folder.path) else "not closed"
    except OSError:
        return "not closed"


def is_incident(state: str) -> bool:
    """Whether somebody has to look into a session of this state."""
    return state in (*BAD, "not closed")


def summary(story: Story, state: str) -> str:
    """How it went, in one sentence."""
    ended = story.record.ended or {}
    lasted = ended.get("duration_s")
    words = state.capitalize()
    if lasted is not None:
        words += f" {'in' if state == 'completed' else 'after'} {clock(lasted)}"
    reason = story.record.reason or str((story.record.closed or {}).get("reason") or "")
    return f"{words}: {reason}" if reason else f"{words}."


def facts(story: Story) -> list[Fact]:
    """What an operator or a PI asks first."""
    return [(label, value) for label, value in _facts(story) if value]


def _facts(story: Story) -> Iterator[Fact]:
    record, past = story.record, story.past
    opened, runtime = record.opened, past.runtime
    known = {**runtime, **opened}
    yield "Subject", subject_of(story) or "not recorded"
    yield "Rig", _rig(known, runtime)
    yield "Who", str(known.get("user_id") or "not recorded")
    yield "Began", when(record.began) or "not recorded"
    yield "Acquisition", _acquisition(story)
    yield "Whole session", _whole(story)
    yield "Code", _code(story)
    yield "Run", _what_ran(story)
    yield "Attempts", str(record.attempts) if record.attempts > 1 else ""
    yield "Rehearsal", "yes: a stand-in played" if past.rehearsal else ""
    yield "Again of", str(opened.get("rerun_of") or "")
    yield "Together with", _together(story)
    closed = record.closed or {}
    if closed.get("closed_by") == "recovery":
        yield "Records", "completed by recovery, since the launcher was lost"
    yield "Standard metadata", _standard(story)
    yield "Left to do", ", ".join(record.pending_steps())


def _standard(story: Story) -> str:
    names = ", ".join(as_object(story.standard.get("files")))
    missing = missing_metadata(story)
    if not names:
        return "; ".join(f"{item['message']} {item['fix']}" for item in missing)
    return f"{names}; {count(len(missing), 'gap')}, see the checks" if missing else names


def _rig(known: Mapping[str, Any], runtime: Mapping[str, Any]) -> str:
    rig = str(known.get("rig_id") or "not recorded")
    host = str(known.get("host") or as_object(runtime.get("platform")).get("computer_name") or "")
    return f"{rig} (computer {host})" if host and host != rig else rig


def _acquisition(story: Story) -> str:
    record = story.record
    if not record.started_at:
        return "never ran"
    ended = record.ended or {}
    lasted = ended.get("duration_s")
    began = time_of_day(record.started_at)
    if lasted is None:
        return f"began at {began}; nobody saw it end"
    return f"{clock(lasted)} ({began} to {time_of_day(record.ended_at) or '?'})"


def _whole(story: Story) -> str:
    events = story.past.events
    lasted = story.end - events[0]["mono"] if events else 0.0
    return clock(lasted) if lasted > 0 else ""


def _code(story: Story) -> str:
    past = story.past
    commit = past.commit
    if not commit:
        return "no repository: nothing proves which code ran"
    code = past.repository or story.record.repository or as_object(past.plan.get("repository"))
    named = str(code.get("branch") or code.get("ref") or "")
    ref = f", {named}" if named and not commit.startswith(named) else ", named by its hash"
    if code.get("dirty"):
        edits = f"with edits in {count(len(past.edited), 'file')} (saved as repository.patch)"
    else:
        edits = "clean"
    return f"{commit[:12]}{ref}, {edits}, of {code.get('url', '')}"


def _what_ran(story: Story) -> str:
    plan = story.past.plan
    script = str(plan.get("script") or "")
    engine = str(story.record.opened.get("launcher") or plan.get("launcher") or "")
    version = str(story.record.opened.get("launcher_version") or "")
    name = script.replace("\\", "/").rpartition("/")[2]
    what = f"{name} by the engine {engine}" if name else f"the engine {engine}" if engine else ""
    return f"{what}, launcher {version}" if version else what


def _together(story: Story) -> str:
    agreed = story.events("session.agreed")
    return event_in_words(agreed[-1]).removeprefix("agreed by ") if agreed else ""


# Parameters


def parameters(story: Story, last: Sibling | None) -> list[Parameter]:
    """The parameters with their origins and what they were in the subject's last session."""
    processed = mask_values(story.past.processed)
    origins = as_object(story.past.runtime.get("origins"))
    changes = _changes(story, last)
    keys = list(dict.fromkeys([*changes, *_told_first(processed, origins)]))
    return [
        Parameter(
            key,
            as_text(processed[key]) if key in processed else "(not set any more)",
            str(origins.get(key) or ""),
            changes.get(key, []),
        )
        for key in keys[:_PARAMETERS_SHOWN]
    ]


def _told_first(processed: Mapping[str, Any], origins: Mapping[str, Any]) -> list[str]:
    """Those that somebody set before those that are defaults; no empty default."""
    empty: tuple[object, ...] = (None, "", [], {})
    rest = [key for key in processed if key not in origins and processed[key] not in empty]
    return [*(key for key in processed if key in origins), *rest]


def _changes(story: Story, last: Sibling | None) -> dict[str, list[tuple[str, str, str]]]:
    """By key: the paths inside it that changed, with the values before and now."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    if last is None or not last.past.processed or not story.past.processed:
        return found
    for path, (before, now) in parameter_changes(last.past, story.past).items():
        found.setdefault(path.partition(".")[0], []).append((path, before, now))
    return found


def changed_code(story: Story, last: Sibling | None) -> str:
    """A sentence when the code is another than in the subject's last session."""
    if last is None or last.past.commit == story.past.commit:
        return ""
    was, now = (past.commit[:12] or "no repository" for past in (last.past, story.past))
    return f"The code changed since then: {was} → {now}."


# Steps, checks, notes


def steps(story: Story) -> list[dict[str, Any]]:
    """How each step ended; of one that was run again every time."""
    return [
        {
            "phase": step["phase"],
            "step": step["step"],
            "outcome": step["outcome"],
            "took": _took(step.get("duration_s")),
            "message": str(step.get("message") or ""),
            "files": _list(step.get("files")),
            "last_lines": _list(step.get("last_lines")),
        }
        for step in story.record.steps[:_STEPS_SHOWN]
    ]


def _took(seconds: Any) -> str:
    if not isinstance(seconds, (int, float)):
        return ""
    return clock(seconds) if seconds >= 60 else f"{seconds:.1f} s"


def _list(value: Any) -> list[str]:
    return [str(item) for item in value][:20] if isinstance(value, (list, tuple)) else []


def warnings(story: Story) -> list[tuple[str, str]]:
    """What was warned of while it ran: when, what."""
    return [
        (clock(event["mono"] - story.zero), str(event["data"].get("message", "")))
        for event in story.events("acquisition.warned")
    ][:_STEPS_SHOWN]


def notes(story: Story) -> list[tuple[str, str]]:
    """Notes of people: by whom and when, the text. Those in files come last."""
    said = [
        (f"{note.get('by') or 'somebody'}, {time_of_day(str(note['time']))}", str(note.get("text")))
        for note in story.record.notes[:_STEPS_SHOWN]
    ]
    named = story.past.processed.get("experiment_notes_filename")
    for name in {str(named) if named else _NOTES[0]}:
        path = _inside(story.folder.path, name)
        written = tail(path, 8000).strip() if path is not None else ""
        said += [(name, written)] if written else []
    return said


def _inside(folder: Path, name: str) -> Path | None:
    path = folder / name
    safe = not path.is_symlink() and folder.resolve() in path.resolve().parents
    return path if safe else None


def output(story: Story) -> list[tuple[str, str]]:
    """The last lines that the acquisition printed on each stream."""
    attempt = max(story.record.attempts, 1)
    ends = (
        (stream, tail(story.folder.output(stream, attempt), 16384).splitlines()[-_OUTPUT_LINES:])
        for stream in STREAMS
    )
    return [(stream, "\n".join(lines)) for stream, lines in ends if lines]


def machine(story: Story) -> list[Fact]:
    """Where and with what it ran."""
    past = story.past
    environment, plan = past.environment, past.plan
    arguments = plan.get("arguments")
    own = as_object(past.runtime.get("platform"))
    rows = [
        ("Command", " ".join(map(str, arguments)) if isinstance(arguments, list) else ""),
        ("Working directory", plan.get("working_directory")),
        ("Parameter file", story.record.opened.get("parameter_file")),
        ("Operating system", environment.get("platform")),
        ("Processor", ", ".join(map(str, own["hardware"])) if _list(own.get("hardware")) else ""),
        ("Launcher's Python", environment.get("python")),
        *(
            (f"Acquisition: {key}", as_text(value))
            for key, value in as_object(environment.get("acquisition")).items()
            if not isinstance(value, dict)
        ),
        ("Packages of the acquisition", _packages(environment)),
    ]
    return [(label, str(value)) for label, value in rows if value]


def _packages(environment: Mapping[str, Any]) -> str:
    packages = as_object(as_object(environment.get("acquisition")).get("packages"))
    return ", ".join(f"{name} {version}" for name, version in packages.items())
