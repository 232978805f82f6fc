"""The journal: everything that happened to a session, one event a line, in order.

It has one writer, the holder of the session's lock, and any number of readers: the log, the
terminal, the report and recovery all read it. An event is acknowledged when `record` returns;
milestones are on the disk by then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar

from ..errors import Finding, SessionError
from ..jsonl import LineLog, read_lines
from ..structs import msgspec

JOURNAL_VERSION = 1


class Event(msgspec.Struct, frozen=True):
    """A fact about a session. Subclasses name the fact in the past tense.

    Class attributes:
        name: the event's name in the journal.
        milestone: whether it must be on the disk before the launcher acts on it.
    """

    name: ClassVar[str]
    milestone: ClassVar[bool] = True


class SessionOpened(Event, frozen=True):
    """The folder was claimed. Everything recovery needs to know is here."""

    name: ClassVar[str] = "session.opened"
    session_uuid: str
    subject_id: str
    user_id: str
    rig_id: str
    launcher: str
    launcher_version: str
    parameter_file: str
    params_checksum: str
    run_folder: str
    rehearsal: bool
    host: str
    pid: int
    journal_version: int = JOURNAL_VERSION
    rerun_of: str = ""


class SessionAgreed(Event, frozen=True):
    """Several computers agreed on the session's name, which is this one's too."""

    name: ClassVar[str] = "session.agreed"
    session_uuid: str
    role: str
    node: str
    nodes: list[dict[str, Any]]
    missing: list[str]
    authenticated: bool


class StageEntered(Event, frozen=True):
    """The session went on to its next stage."""

    name: ClassVar[str] = "stage.entered"
    milestone: ClassVar[bool] = False
    stage: str


class FindingReported(Event, frozen=True):
    """A check, a diagnosis or a step reported a warning or an error."""

    name: ClassVar[str] = "finding.reported"
    milestone: ClassVar[bool] = False
    stage: str
    level: str
    code: str
    message: str
    where: str = ""
    fix: str = ""


def finding_event(stage: str, finding: Finding) -> FindingReported:
    """A finding as an event of the journal."""
    return FindingReported(
        stage, finding.level, finding.code, finding.message, finding.where, finding.fix
    )


class RepositoryReady(Event, frozen=True):
    """The experiment's code lies at its commit."""

    name: ClassVar[str] = "repository.ready"
    url: str
    ref: str
    commit: str
    path: str
    dirty: bool
    untracked: int


class StepFinished(Event, frozen=True):
    """A step before or after the acquisition ended; one that is tried again ends again."""

    name: ClassVar[str] = "step.finished"
    phase: str
    position: int
    step: str
    outcome: str
    message: str
    duration_s: float
    files: tuple[str, ...] = ()
    last_lines: tuple[str, ...] = ()


class AcquisitionJudged(Event, frozen=True):
    """What the end of the acquisition means."""

    name: ClassVar[str] = "acquisition.judged"
    outcome: str
    exit_code: int | None
    reason: str
    attempt: int = 1


class AcquisitionRetried(Event, frozen=True):
    """After a failure the acquisition is started once more."""

    name: ClassVar[str] = "acquisition.retried"
    attempt: int
    by: str
    reason: str
    kept_in: str = ""


class NoteAdded(Event, frozen=True):
    """A person said something."""

    name: ClassVar[str] = "note.added"
    text: str
    by: str = ""


class ManifestSealed(Event, frozen=True):
    """The manifest was written; the files it lists change no more."""

    name: ClassVar[str] = "manifest.sealed"
    sha256: str
    files: int
    size_bytes: int


class SessionCopied(Event, frozen=True):
    """A copy of the sealed session was made, and every file of it verified."""

    name: ClassVar[str] = "session.copied"
    destination: str
    folder: str
    files: int
    size_bytes: int
    manifest_sha256: str
    duration_s: float
    launcher_version: str
    left_out: list[str] = msgspec.field(default_factory=list)


class SessionFreed(Event, frozen=True):
    """Data of the session were to be removed here, since copies of them were verified again."""

    name: ClassVar[str] = "session.freed"
    files: int
    size_bytes: int
    copies: list[str]


class SessionClosed(Event, frozen=True):
    """The session is over and its records are complete. The last event of a journal."""

    name: ClassVar[str] = "session.closed"
    outcome: str
    closed_by: str
    reason: str = ""
    pending: list[str] = []


GUARD_MILESTONES = frozenset(
    {"acquisition.started", "acquisition.stop_requested", "acquisition.ended", "launcher.lost"}
)


class Journal:
    """The writer of a session's journal.

    Until `open` is called, events are kept in memory; they are then written with the times at
    which they happened. When the session's disk fails, events go on in a second file in the state
    folder, so that nothing acknowledged is lost; whoever opens the journal next brings them back.

    Args:
        fallback: the second file; made only when it is needed.
    """

    def __init__(self, fallback: Path) -> None:
        self.fallback = fallback
        self.failure: OSError | None = None
        self._log: LineLog | None = None
        self._sequence = 0
        self._imported: dict[str, int] = {}
        self._notes: set[str] = set()
        self._waiting: list[tuple[dict[str, Any], bool]] = []
        self._writing = threading.Lock()

    def open(self, path: Path) -> None:
        """Write to `path` from now on, continuing what is in it, and what its last writer had to
        write to the second file."""
        for record in read_journal(path):
            self._count(record)
        with self._writing:
            self._log = LineLog(path)
            if path != self.fallback:
                self._bring_back(self._log)
            waiting, self._waiting = self._waiting, []
            for record, sync in waiting:
                self._write(record, sync=sync)

    def _bring_back(self, log: LineLog) -> None:
        """Move what is in the second file to where it belongs; safe to be cut off and repeated."""
        for record in read_journal(self.fallback):
            if record["seq"] > self._sequence:
                log.append(record, sync=True)
                self._count(record)
        self.fallback.unlink(missing_ok=True)

    def _count(self, record: Mapping[str, Any]) -> None:
        """Take note of an event that is in the journal."""
        self._sequence = max(self._sequence, record["seq"])
        run, number = record.get("guard_run"), record.get("guard_seq")
        if isinstance(run, str) and isinstance(number, int):
            self._imported[run] = number
        if isinstance(record.get("note"), str):
            self._notes.add(record["note"])

    def record(self, event: Event) -> None:
        """Write one event of the launcher."""
        self._append(event.name, msgspec.structs.asdict(event), sync=event.milestone)

    def import_guard_record(self, run: str, record: dict[str, Any]) -> None:
        """Write one record of a guard, once: one that is there already is passed over.

        Args:
            run: name of the guard's run; a session that is tried again has several.
            record: the guard's record.
        """
        sequence = int(record["seq"])
        if sequence <= self._imported.get(run, 0):
            return
        self._imported[run] = sequence
        self._append(
            record["name"],
            record["data"],
            sync=record["name"] in GUARD_MILESTONES,
            at={
                "time": record["time"],
                "mono": record["mono"],
                "guard_run": run,
                "guard_seq": sequence,
            },
        )

    def import_note(self, note: NoteAdded, *, number: str, time: str, mono: float) -> None:
        """Write a note that was left from beside, once, with the time at which it was left.

        Args:
            note: the note.
            number: its own, which no other note has.
            time: when it was left, ISO 8601.
            mono: the same on the monotonic clock.
        """
        if number in self._notes:
            return
        at = {"time": time, "mono": mono, "note": number}
        self._append(note.name, msgspec.structs.asdict(note), sync=note.milestone, at=at)
        self._notes.add(number)

    def _append(
        self, name: str, data: dict[str, Any], *, sync: bool, at: dict[str, Any] | None = None
    ) -> None:
        with self._writing:
            record = {
                "seq": 0,
                **(at or {"time": iso_now(), "mono": round(time.monotonic(), 6)}),
                "name": name,
                "data": data,
            }
            if self._log is None:
                self._waiting.append((record, sync))
            else:
                self._write(record, sync=sync)

    def _write(self, record: dict[str, Any], *, sync: bool) -> None:
        self._sequence += 1
        record["seq"] = self._sequence
        assert self._log is not None  # noqa: S101 - callers hold the lock and checked
        try:
            self._log.append(record, sync=sync)
        except OSError as error:
            if self.failure is not None:
                raise
            self.failure = error
            self._log = self._fall_back(self._log)
            self._log.append(record, sync=sync)

    def _fall_back(self, lost: LineLog) -> LineLog:
        self.fallback.parent.mkdir(parents=True, exist_ok=True)
        if not lost.in_place():
            # Its folder was deleted: what was acknowledged can still be read through the old file.
            with suppress(OSError):
                self.fallback.write_bytes(lost.written())
        lost.close()
        return LineLog(self.fallback)

    def keep_unplaced(self) -> Path | None:
        """Write the events of a session that never got a folder to the fallback file."""
        if self._log is not None or not self._waiting:
            return None
        self.fallback.parent.mkdir(parents=True, exist_ok=True)
        self.open(self.fallback)
        return self.fallback

    def close(self) -> None:
        """Close the file."""
        with self._writing:
            if self._log is not None:
                self._log.close()
                self._log = None


def iso_now() -> str:
    """Local wall time with milliseconds and offset, ISO 8601."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")


def journal_bytes(path: Path) -> bytes:
    """A journal as it is now, to be read line by line.

    Raises:
        SessionError: it is not there, or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise SessionError(
            f"The session's journal cannot be read: {error.strerror or error}.",
            code="session-unknown",
            where=str(path),
            fix="Give the folder of a session.",
        ) from error


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a journal that may have been cut or damaged at any byte, in order."""
    return filter(is_event, read_lines(path))


def is_event(record: Mapping[str, Any]) -> bool:
    """Whether a line of a journal is an event that its readers can use; they pass over others."""
    name, data = record.get("name"), record.get("data")
    return (
        isinstance(name, str)
        and isinstance(data, dict)
        and isinstance(record.get("time"), str)
        and isinstance(record.get("seq"), int)
        and _is_number(record.get("mono"))
        and _is_usable(name, data)
    )


def _is_usable(name: str, data: Mapping[str, Any]) -> bool:
    # A journal has one sample a second: this is written for speed.
    for key in _NUMBERS.intersection(data):
        value = data[key]
        if value.__class__ in _PLAIN:
            if not -_LARGEST < value < _LARGEST:
                return False
        elif value is not None:
            return False
    needed = _NEEDED.get(name)
    return needed is None or all(
        isinstance(data.get(key, ...), kinds) for key, kinds in needed.items()
    )


def _is_number(value: Any) -> bool:
    # An integer may be larger than any float, which math.isfinite does not bear.
    return isinstance(value, (int, float)) and -_LARGEST < value < _LARGEST


_LARGEST = 1e300
_PLAIN = (float, int)

_NUMBERS = frozenset(
    {
        "cpu_s",
        "disk_free_mb",
        "duration_s",
        "elapsed_s",
        "kill_in_s",
        "memory_mb",
        "peak_memory_mb",
        "processes",
        "size_bytes",
        "system_percent",
    }
)
"""Keys whose values are numbers, or null, in whatever event they are."""

_NEEDED: Mapping[str, Mapping[str, type | UnionType]] = {
    "step.finished": {"phase": str, "position": int, "step": str, "outcome": str},
    "finding.reported": {"level": str, "code": str},
    "acquisition.ended": {
        "exit_code": int | None,
        "signal": int | None,
        "stop": dict | None,
    },
    "manifest.sealed": {"files": int, "size_bytes": int},
}
"""Keys that readers rely on, with the kinds of their values."""
