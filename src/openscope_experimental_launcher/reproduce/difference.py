"""What differed between two sessions, most telling first.

Code, parameters, environment, outcome, timing: what comes first is likeliest to be the reason for
what comes after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ..display.words import clock, count, size
from ..errors import RepositoryError
from ..repository import Cache, Git, RepositoryUrl, default_cache_root
from ..session.comparing import ABSENT, changed, comparable
from ..session.past import PastSession

_FIRST_KEYS = ("script_parameters", "script_path", "command", "launcher")
_PACKAGES_SHOWN = 12
_COMMITS_SHOWN = 15


class Row(NamedTuple):
    """One thing that differs.

    Attributes:
        label: what.
        one: how it was in the first session.
        other: how it was in the second.
    """

    label: str
    one: str
    other: str


class Section(NamedTuple):
    """The differences of one kind.

    Attributes:
        title: `code`, `parameters`, `environment`, `outcome` or `timing`.
        rows: what differs; empty when nothing does.
        notes: lines that say more, such as the commits between.
    """

    title: str
    rows: list[Row]
    notes: list[str]


def differences(one: PastSession, other: PastSession, *, patch: bool = False) -> list[Section]:
    """What differed between two sessions.

    Args:
        one: the first session.
        other: the second.
        patch: say also what differs in the code itself, line by line.
    """
    return [
        _code(one, other, patch=patch),
        _parameters(one, other),
        _environment(one, other),
        _outcome(one, other),
        _timing(one, other),
    ]


def packages_in_words(packages: Mapping[str, tuple[str, str]]) -> str:
    """Changed packages as a short list."""
    named = [f"{name} {was} → {now}" for name, (was, now) in packages.items()]
    more = len(named) - _PACKAGES_SHOWN
    shown = ", ".join(named[:_PACKAGES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _rows(pairs: Iterable[tuple[str, object, object]]) -> list[Row]:
    """The pairs that differ."""
    texts = ((label, str(one or ABSENT), str(other or ABSENT)) for label, one, other in pairs)
    return [Row(label, one, other) for label, one, other in texts if one != other]


# Code


def _code(one: PastSession, other: PastSession, *, patch: bool) -> Section:
    rows = _rows(
        [
            ("repository", _url(one), _url(other)),
            ("commit", one.commit, other.commit),
            ("edits", ", ".join(one.edited), ", ".join(other.edited)),
            ("files in no commit", _untracked(one), _untracked(other)),
            ("script", one.plan.get("script"), other.plan.get("script")),
            ("checksum of the script", _script_sum(one), _script_sum(other)),
        ]
    )
    notes: list[str] = []
    if one.patch != other.patch and one.edited == other.edited:
        notes.append("The edits are of the same files, and not the same.")
    if one.commit != other.commit and one.commit and other.commit:
        notes += _between(one, other, patch=patch)
    if patch:
        notes += [*_saved_patch(one), *_saved_patch(other)] if one.patch != other.patch else []
    return Section("code", rows, notes)


def _url(past: PastSession) -> str:
    return str(past.repository.get("url") or "")


def _untracked(past: PastSession) -> str:
    names = past.repository.get("untracked")
    return ", ".join(map(str, names)) if isinstance(names, list) else ""


def _script_sum(past: PastSession) -> str:
    return str(past.plan.get("script_sha256") or "")[:12]


def _saved_patch(past: PastSession) -> list[str]:
    if not past.patch:
        return []
    return [f"Edits of {past.name}:", *past.patch.decode("utf-8", "replace").splitlines()]


def _between(one: PastSession, other: PastSession, *, patch: bool) -> list[str]:
    """The commits and files between the two, from a repository that has both commits."""
    git = next((git for git in _places(one, other) if _has(git, one.commit, other.commit)), None)
    if git is None:
        return ["The commits are not on this machine, so what is between them is not known."]
    commits = f"{one.commit}..{other.commit}"
    back = f"{other.commit}..{one.commit}"
    log = ("log", "--no-show-signature", "--no-decorate", "--format=%h %s", "--end-of-options")
    added, removed = (_lines(git, *log, order) for order in (commits, back))
    notes = [f"{count(len(added), 'commit')} more in the second:"] if added else []
    notes += _some(added)
    notes += [f"{count(len(removed), 'commit')} more in the first:"] if removed else []
    notes += _some(removed)
    diff = ("diff", "--no-color", "--no-ext-diff", "--no-textconv")
    asked = [*diff, *(() if patch else ("--stat=100",)), "--end-of-options"]
    return [*notes, *_lines(git, *asked, one.commit, other.commit)]


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - _COMMITS_SHOWN
    shown = [f"  {line}" for line in lines[:_COMMITS_SHOWN]]
    return [*shown, f"  and {more} more"] if more > 0 else shown


def _places(*sessions: PastSession) -> Iterator[Git]:
    for past in sessions:
        path = Path(str(past.repository.get("path") or ""))
        if path.is_absolute() and (path / ".git").exists():
            yield Git(path, transports=())
    for past in sessions:
        try:
            cache = Cache(RepositoryUrl.parse(_url(past)), default_cache_root())
        except RepositoryError:
            continue
        if cache.exists:
            yield cache.git


def _has(git: Git, *commits: str) -> bool:
    asked = "".join(f"{commit}^{{commit}}\n" for commit in commits)
    try:
        answer = git.run("cat-file", "--batch-check", input_text=asked, expected=(0, 128))
    except RepositoryError:
        return False
    return answer.code == 0 and answer.text.count(" commit ") == len(commits)


def _lines(git: Git, *arguments: str) -> list[str]:
    return git.run(*arguments).stdout.decode("utf-8", "replace").splitlines()


# Parameters and environment


def _parameters(one: PastSession, other: PastSession) -> Section:
    before, after = (comparable(past.processed, past.original_folder) for past in (one, other))
    rows = [Row(path, *values) for path, values in changed(before, after).items()]

    def telling(row: Row) -> int:
        top = row.label.partition(".")[0]
        return _FIRST_KEYS.index(top) if top in _FIRST_KEYS else len(_FIRST_KEYS)

    return Section("parameters", sorted(rows, key=telling), [])


def _environment(one: PastSession, other: PastSession) -> Section:
    rows = [
        Row(path, *values)
        for part in ("acquisition", "")
        for path, values in changed(_software(one, part), _software(other, part)).items()
    ]
    rows += _rows(
        [
            ("rig", one.record.opened.get("rig_id"), other.record.opened.get("rig_id")),
            ("computer", one.record.opened.get("host"), other.record.opened.get("host")),
        ]
    )
    return Section("environment", rows, [])


def _software(past: PastSession, part: str) -> dict[str, Any]:
    if part:
        return {part: past.environment.get(part) or {}}
    own = ("launcher_version", "python", "platform", "packages")
    return {key: past.environment[key] for key in own if key in past.environment}


# Outcome and timing


def _outcome(one: PastSession, other: PastSession) -> Section:
    def rows() -> Iterator[tuple[str, object, object]]:
        yield from _both("outcome", one, other, lambda p: p.record.outcome or "not closed")
        yield from _both("reason", one, other, lambda p: p.record.reason)
        yield from _both("exit code", one, other, _exit)
        yield from _both("closed by", one, other, _closed_by)
        yield from _both("attempts", one, other, lambda p: p.record.attempts)
        yield from _both("rehearsal", one, other, lambda p: "yes" if p.rehearsal else "no")
        before, after = (_step_outcomes(past) for past in (one, other))
        for step in dict.fromkeys((*before, *after)):
            yield f"step {step}", before.get(step), after.get(step)
        yield from _both("findings", one, other, _finding_codes)
        yield from _both("warnings while it ran", one, other, lambda p: len(p.record.warnings))

    return Section("outcome", _rows(rows()), [])


def _both(
    label: str, one: PastSession, other: PastSession, look: Callable[[PastSession], object]
) -> Iterator[tuple[str, object, object]]:
    yield label, look(one), look(other)


def _exit(past: PastSession) -> str:
    ended = past.record.ended
    if ended is None:
        return "not seen"
    if ended.get("signal") is not None:
        return f"signal {ended['signal']}"
    return str(ended.get("exit_code"))


def _closed_by(past: PastSession) -> object:
    return (past.record.closed or {}).get("closed_by")


def _step_outcomes(past: PastSession) -> dict[str, str]:
    return {str(step.get("step")): str(step.get("outcome")) for step in past.record.steps}


def _finding_codes(past: PastSession) -> str:
    return ", ".join(dict.fromkeys(str(found.get("code")) for found in past.record.findings))


def _timing(one: PastSession, other: PastSession) -> Section:
    before, after = _stages(one), _stages(other)
    rows = [
        ("began", one.record.began, other.record.began),
        ("acquisition", _duration(one), _duration(other)),
        *(
            (f"stage {stage}", before.get(stage), after.get(stage))
            for stage in dict.fromkeys((*before, *after))
            if stage != "acquisition"
        ),
        ("peak memory", _peak(one), _peak(other)),
        ("written", _written(one), _written(other)),
    ]
    return Section("timing", _rows(rows), [])


def _duration(past: PastSession) -> str:
    return _seconds((past.record.ended or {}).get("duration_s"))


def _seconds(value: Any) -> str:
    return clock(value) if isinstance(value, (int, float)) and value >= 0 else ""


def _peak(past: PastSession) -> str:
    peak = (past.record.ended or {}).get("peak_memory_mb")
    return f"{peak:.0f} MB" if isinstance(peak, (int, float)) else ""


def _written(past: PastSession) -> str:
    written = (past.record.sealed or {}).get("size_bytes")
    return size(written) if isinstance(written, (int, float)) else ""


def _stages(past: PastSession) -> dict[str, str]:
    """How long each stage took, in order."""
    entered: list[tuple[str, Any]] = []
    for event in past.events:
        if event["name"] in ("stage.entered", "session.closed"):
            entered.append((str(event["data"].get("stage")), event.get("mono")))
        if event["name"] == "session.closed":
            break  # what is added to a closed session, such as its report, is no stage
    return {stage: _seconds(_elapsed(begin, end)) for (stage, begin), (_, end) in pairwise(entered)}


def _elapsed(begin: Any, end: Any) -> float | None:
    if isinstance(begin, (int, float)) and isinstance(end, (int, float)):
        return end - begin
    return None
