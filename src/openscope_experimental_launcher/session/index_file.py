"""The file of the history: its tables, how it is opened, and how sessions are put into it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from ..errors import SessionError
from .state import state_folder
from .summary import Described, Summary

VERSION = 2
"""Number of the index's layout; an index of another one is made again."""

_BUSY_WAIT_S = 5.0
COLUMNS = Summary._fields[:-1]
DAMAGED = frozenset(
    {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
    }
)
BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_TABLES = f"""
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    {", ".join(COLUMNS)},
    journal_size,
    UNIQUE (folder)
);
CREATE INDEX by_time ON sessions (began_s);
CREATE INDEX by_name ON sessions (name);
CREATE INDEX by_subject ON sessions (subject COLLATE NOCASE, began_s);
CREATE INDEX by_rig ON sessions (rig COLLATE NOCASE, began_s);
CREATE INDEX by_outcome ON sessions (outcome, began_s);
CREATE TABLE parameters (id INTEGER PRIMARY KEY, value TEXT NOT NULL);
"""
_WORDS = "CREATE VIRTUAL TABLE words USING fts5(text, tokenize = 'unicode61 remove_diacritics 2')"
_PLAIN_WORDS = "CREATE TABLE words (text TEXT NOT NULL)"


def tables(full_text: bool) -> str:
    """The SQL that makes the tables of a new index."""
    return _TABLES + (_WORDS if full_text else _PLAIN_WORDS)


def has_full_text() -> bool:
    """Whether this Python's SQLite has its full-text index, FTS5."""
    with closing(sqlite3.connect(":memory:")) as db:
        return bool(db.execute("SELECT 1 FROM pragma_module_list WHERE name = 'fts5'").fetchone())


def history_file(full_text: bool) -> Path:
    """Where the index is kept; those with and without full text do not share a file."""
    kind = "" if full_text else "-plain"
    return state_folder() / "history" / f"sessions-{VERSION}{kind}.sqlite"


def opened(path: Path) -> sqlite3.Connection | None:
    """The index of this version that is there, or None.

    Raises:
        SessionError: another process keeps it locked.
    """
    if not path.is_file():
        return None
    db = None
    try:
        db = connected(path)
        if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
            return db
    except sqlite3.Error as error:
        if code_of(error) in BUSY:  # whole, and not to be made again
            raise busy(path) from error
    if db is not None:
        db.close()
    return None


def code_of(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def busy(path: Path) -> SessionError:
    return SessionError(
        "Another program is at work on the history.",
        code="history-busy",
        where=str(path),
        fix="Try again; sessions do not wait for it.",
    )


def connected(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Transactions are begun by hand, see _read.
    db = sqlite3.connect(path or ":memory:", timeout=_BUSY_WAIT_S, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        db.close()
        raise
    return db


def write(db: sqlite3.Connection, sessions: Iterable[Described]) -> int:
    """Put sessions into the index in one transaction; returns how many they were."""
    places = ", ".join("?" for _ in range(len(COLUMNS) + 2))
    insert = f"INSERT INTO sessions (id, {', '.join(COLUMNS)}, journal_size) VALUES ({places})"  # noqa: S608
    number = 0
    db.execute("BEGIN IMMEDIATE")
    try:
        for session in sessions:
            number += 1
            folder = session.summary.folder
            known = db.execute("SELECT id FROM sessions WHERE folder = ?", (folder,)).fetchone()
            if known:
                db.execute("DELETE FROM sessions WHERE id = ?", known)
                db.execute("DELETE FROM words WHERE rowid = ?", known)
            row = (known[0] if known else None, *session.summary[:-1], session.journal_size)
            rowid = db.execute(insert, row).lastrowid
            db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (rowid, session.text))
            kept = json.dumps(session.parameters)
            db.execute("INSERT OR REPLACE INTO parameters VALUES (?, ?)", (rowid, kept))
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    return number
