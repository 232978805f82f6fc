"""The history: an index of all sessions that this machine knows of, searched in a moment.

It is a cache of the session folders and can be made from them again at any time. One that is
missing, damaged or of another version is made again by whoever opens it; where none can be kept,
it is made in memory. No session depends on it: closing one only leaves a note, which is taken in
when the history is opened next. Any number of processes may use it at once.

    with open_history() as history:
        for session in history.find(Query(subject="614173", limit=10)):
            print(session.name, session.outcome)
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..errors import SessionError
from ..locks import ProcessLock
from .folder import SessionFolder, plain_path
from .index_file import (
    BUSY,
    COLUMNS,
    DAMAGED,
    VERSION,
    busy,
    code_of,
    connected,
    has_full_text,
    history_file,
    opened,
    tables,
    write,
)
from .state import (
    known_roots,
    locks_folder,
    noted_for_history,
    open_sessions,
    remember_root,
)
from .summary import OPEN, Summary, describe

Progress = Callable[[int, int], object]
"""Told how many sessions of how many have been read."""

T = TypeVar("T")

_BATCH = 200
_JOURNAL_END = 8192
_SHOWN_WHEN_AMBIGUOUS = 5


class Query(NamedTuple):
    """What is looked for; empty parts do not restrict it.

    Attributes:
        subject, rig: exact names, upper and lower case alike.
        outcome: how they ended; `summary.OPEN` for those that were not closed yet.
        since_s, until_s: seconds since 1970 between which sessions began.
        text: words that all occur in a session's records, each whole or its beginning.
        limit: how many sessions at most, the newest; None for all.
        offset: how many of the newest are passed over.
    """

    subject: str = ""
    rig: str = ""
    outcome: str = ""
    since_s: float | None = None
    until_s: float | None = None
    text: str = ""
    limit: int | None = None
    offset: int = 0


class History:
    """The index, open. Use it with `open_history`, in one thread.

    Args:
        path: the file; made when it is not there.
        full_text: whether words are found by SQLite's full-text index.
        on_progress: told how a long reading of folders goes on.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        full_text: bool | None = None,
        on_progress: Progress = lambda done, total: None,
    ) -> None:
        self.full_text = has_full_text() if full_text is None else full_text
        self.path = path or history_file(self.full_text)
        self._on_progress = on_progress
        self._db = opened(self.path) or self._made(keep_good=True)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def find(self, query: Query = Query(), *, look: bool = True) -> list[Summary]:  # noqa: B008
        """The sessions that were asked for, newest first.

        Args:
            query: what is asked for.
            look: look whether their folders are still there (`Summary.present`).
        """
        where, values = self._condition(query)
        asked = f"SELECT {', '.join(COLUMNS)} FROM sessions{where} ORDER BY began_s DESC, id DESC"  # noqa: S608
        if query.limit is not None or query.offset:
            asked += " LIMIT ? OFFSET ?"
            values += (-1 if query.limit is None else query.limit, query.offset)
        rows = self._do(lambda db: db.execute(asked, values).fetchall())
        return _looked_after(rows) if look else [Summary(*row) for row in rows]

    def count(self, query: Query = Query()) -> int:  # noqa: B008
        """How many sessions there are of what is asked for, whatever its limit."""
        where, values = self._condition(query)
        asked = f"SELECT count(*) FROM sessions{where}"  # noqa: S608
        return int(self._do(lambda db: db.execute(asked, values).fetchone()[0]))

    def names(self, column: str) -> list[str]:
        """The different values of a column of `Summary`, such as all subjects, in order."""
        if column not in COLUMNS:
            raise ValueError(f"the history has no {column}")
        asked = f"SELECT DISTINCT {column} FROM sessions ORDER BY 1"  # noqa: S608
        return [str(row[0]) for row in self._do(lambda db: db.execute(asked).fetchall())]

    def named(self, part: str, limit: int | None = None) -> list[Summary]:
        """Sessions of this name, or else those with this in their names, newest first."""
        exact = "SELECT {} FROM sessions WHERE name = ? ORDER BY began_s DESC LIMIT ?"
        within = "SELECT {} FROM sessions WHERE instr(lower(name), lower(?)) "
        within += "ORDER BY began_s DESC LIMIT ?"
        for asked in (exact, within):
            filled, values = asked.format(", ".join(COLUMNS)), (part, limit or -1)
            rows = self._do(lambda db, f=filled, v=values: db.execute(f, v).fetchall())  # type: ignore[misc]
            if rows:
                return _looked_after(rows)
        return []

    def last_of(self, subject: str, limit: int) -> list[tuple[Summary, dict[str, Any]]]:
        """A subject's last sessions that were closed and no rehearsals, newest first, each with
        its parameters by their paths."""
        columns = ", ".join(COLUMNS)
        asked = (
            f"SELECT {columns}, value FROM sessions JOIN parameters USING (id) "  # noqa: S608
            "WHERE subject = ? COLLATE NOCASE AND NOT rehearsal AND outcome <> ? "
            "ORDER BY began_s DESC LIMIT ?"
        )
        rows = self._do(lambda db: db.execute(asked, (subject, OPEN, limit)).fetchall())
        return [(Summary(*row[:-1]), json.loads(row[-1])) for row in rows]

    def take_in(self) -> None:
        """Take in the sessions that were opened, closed or completed since it was last done.

        When another process keeps the index busy, they are left for the next time.
        """
        noted = noted_for_history()
        here = open_sessions()
        asked = f"SELECT folder, journal_size FROM sessions WHERE outcome = '{OPEN}'"  # noqa: S608
        known = dict(self._do(lambda db: db.execute(asked).fetchall()))
        new = [folder for _, folder in noted]
        new += [folder for folder in here if str(folder) not in known]
        running = set(map(str, here))
        new += [Path(f) for f, size in known.items() if _went_on(f, size, running=f in running)]
        if not new:
            return
        try:
            self.read(dict.fromkeys(new))
        except SessionError:
            return
        for root in {folder.parent for folder in new}:
            remember_root(root)
        for note, folder in noted:
            if folder.parent.is_dir():  # else its disk is away, and it may come back
                # Windows: while another process reads it, it stays, and is taken in again.
                with suppress(PermissionError):
                    note.unlink(missing_ok=True)

    def add_root(self, root: Path) -> int:
        """Take in a folder of sessions, which is remembered; returns how many it has.

        Raises:
            SessionError: there are none in it.
        """
        folders = sessions_below(root)
        if not folders:
            raise SessionError(
                "There is no session in this folder.",
                code="sessions-none",
                where=str(root),
                fix="Name the folder in which the session folders lie.",
            )
        remember_root(plain_path(root))
        return self.read(folders)

    def rebuild(self) -> int:
        """Read all known folders again; returns how many sessions they hold. Sessions whose
        folders are gone stay in the index, as such."""
        return self.read(_all_folders())

    def read(self, folders: Iterable[Path]) -> int:
        """Take in these session folders; returns how many of them are sessions."""
        return self._do(lambda db: _read(db, list(folders), self._on_progress))

    def _condition(self, query: Query) -> tuple[str, tuple[Any, ...]]:
        parts: list[str] = []
        values: list[Any] = []
        for part, value in (
            ("subject = ? COLLATE NOCASE", query.subject),
            ("rig = ? COLLATE NOCASE", query.rig),
            ("outcome = ?", query.outcome),
            ("began_s >= ?", query.since_s),
            ("began_s <= ?", query.until_s),
        ):
            if value not in ("", None):
                parts.append(part)
                values.append(value)
        words = [word for word in query.text.split() if any(map(str.isalnum, word))]
        if words and self.full_text:
            parts.append("id IN (SELECT rowid FROM words WHERE words MATCH ?)")
            values.append(" ".join(_quoted(word) for word in words))
        elif words:
            each = " AND ".join("instr(text, ?)" for _ in words)
            parts.append(f"id IN (SELECT rowid FROM words WHERE {each})")  # noqa: S608
            values += map(str.casefold, words)
        return (" WHERE " + " AND ".join(parts) if parts else ""), tuple(values)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the database; when it turns out damaged, with a new one."""
        try:
            return work(self._db)
        except sqlite3.DatabaseError as error:
            if code_of(error) in BUSY:
                raise busy(self.path) from error
            if code_of(error) not in DAMAGED:
                raise
        self._db.close()
        self._db = self._made(keep_good=False)
        return work(self._db)

    def _made(self, *, keep_good: bool) -> sqlite3.Connection:
        """A new index, made from the folders; in memory where no file can be kept."""
        try:
            with ProcessLock(locks_folder() / "history.lock"):
                # Another process may have made it while this one waited for the lock.
                found = opened(self.path) if keep_good else None
                return found or self._filled(self.path)
        except (OSError, sqlite3.Error):
            return self._filled(None)

    def _filled(self, path: Path | None) -> sqlite3.Connection:
        if path is not None:
            for part in ("", "-wal", "-shm"):
                Path(f"{path}{part}").unlink(missing_ok=True)
        db = connected(path)
        try:
            db.executescript(tables(self.full_text))
            _read(db, _all_folders(), self._on_progress)
            db.execute(f"PRAGMA user_version = {VERSION}")  # only now is it whole
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def open_history(on_progress: Progress = lambda done, total: None) -> Iterator[History]:
    """The history as it is now, with every session that was opened or closed since.

    Args:
        on_progress: told how a long reading of folders goes on.
    """
    with closing(History(on_progress=on_progress)) as history:
        history.take_in()
        yield history


def sessions_below(root: Path) -> list[Path]:
    """The session folders in a folder of sessions, or that folder when it is one itself."""
    if (root / "journal.jsonl").is_file():
        return [plain_path(root)]
    try:
        with os.scandir(plain_path(root)) as entries:
            inside = sorted(entry.path for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [Path(path) for path in inside if os.path.isfile(f"{path}/journal.jsonl")]  # noqa: PTH113 - there may be thousands


def locate(named: str, on_progress: Progress = lambda done, total: None) -> SessionFolder:
    """The session that a person means: a folder, its name, or a part of it that no other has.

    Args:
        named: what the person said.
        on_progress: told how a long reading of folders goes on.

    Raises:
        SessionError: there is none, or several.
    """
    path = plain_path(Path(named).expanduser())
    if (path / "journal.jsonl").is_file():
        return SessionFolder(path)
    with open_history(on_progress) as history:
        found = history.named(named) if named.strip() else []
    here = [session for session in found if session.present] or found
    if len(here) == 1 or (here and here[0].name == named):
        return SessionFolder(Path(here[0].folder))
    if not here:
        raise SessionError(
            "There is no session of this name here, and it is no session folder.",
            code="session-unknown",
            where=named,
            fix="Give the folder of a session, or a part of its name; openscope sessions lists "
            "those that are known here.",
        )
    shown = ", ".join(session.name for session in here[:_SHOWN_WHEN_AMBIGUOUS])
    more = ", …" if len(here) > _SHOWN_WHEN_AMBIGUOUS else ""
    raise SessionError(
        f"{len(here)} sessions have this in their names.",
        code="session-ambiguous",
        where=f"{named}: {shown}{more}",
        fix="Give more of the name, or the folder.",
    )


def _all_folders() -> list[Path]:
    noted = [*(folder for _, folder in noted_for_history()), *open_sessions()]
    roots = dict.fromkeys([*known_roots(), *(folder.parent for folder in noted)])
    return list(dict.fromkeys(folder for root in roots for folder in sessions_below(root)))


def _read(db: sqlite3.Connection, folders: Sequence[Path], on_progress: Progress) -> int:
    taken = 0
    for start in range(0, len(folders), _BATCH):
        batch = folders[start : start + _BATCH]
        described = []
        for number, folder in enumerate(batch, start + 1):
            described.append(describe(folder))
            on_progress(number, len(folders))
        taken += write(db, filter(None, described))
    return taken


def _looked_after(rows: Iterable[tuple[Any, ...]]) -> list[Summary]:
    """The rows as sessions, with whether their folders are there; a disk that is away is asked
    once."""
    roots: dict[str, bool] = {}
    found = []
    for row in rows:
        folder = row[0]
        root = os.path.dirname(folder)  # noqa: PTH120 - there may be a hundred thousand
        if root not in roots:
            roots[root] = os.path.isdir(root)  # noqa: PTH112
        found.append(Summary._make((*row, roots[root] and os.path.isdir(folder))))  # noqa: PTH112
    return found


def _went_on(folder: str, size: int, *, running: bool) -> bool:
    """Whether an open session was closed, or went on where this machine does not see it run."""
    try:
        with SessionFolder(Path(folder)).journal.open("rb") as stream:
            now = stream.seek(0, os.SEEK_END)
            if not running:
                return now != size
            stream.seek(max(now - _JOURNAL_END, 0))
            return b'"name":"session.closed"' in stream.read()
    except OSError:
        return False


def _quoted(word: str) -> str:
    """A word, or its beginning, in the language of FTS5, whatever signs it holds."""
    return '"' + word.replace('"', '""') + '"*'
