"""Where the launcher keeps what does not belong to one session: runs, locks, lists."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import lru_cache
from pathlib import Path

from ..files import replace_file, write_atomic
from ..locks import ProcessLock, is_held

STATE_VARIABLE = "OPENSCOPE_STATE_DIRECTORY"


def state_folder() -> Path:
    """The launcher's state folder: `OPENSCOPE_STATE_DIRECTORY`, else the system's place for it.

    It is not made here. Source of the default: the XDG base directory specification, Windows'
    local application data and macOS's Application Support, as `platformdirs` has them.
    """
    named = os.environ.get(STATE_VARIABLE)
    if named:
        return Path(named).absolute()
    if sys.platform == "linux":  # the same answer without the import, on the way to every start
        base = os.environ.get("XDG_STATE_HOME") or ""
        root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "state"
        return root / "openscope"
    from platformdirs import user_state_path

    return user_state_path("openscope", appauthor=False)


def runs_folder() -> Path:
    """One folder for each run of a guard."""
    return state_folder() / "runs"


def locks_folder() -> Path:
    """Locks between launchers: rigs, checkouts, sessions."""
    return state_folder() / "locks"


def fallback_folder() -> Path:
    """Journals of sessions that failed before their folder, or whose disk went away."""
    return state_folder() / "unplaced"


def fallback_journal(session_folder: Path) -> Path:
    """Where the events of a session go while its own disk cannot take them."""
    return fallback_folder() / f"{session_hash(session_folder)}.jsonl"


def session_lock(session_folder: Path) -> ProcessLock:
    """The lock whose holder writes a session's journal.

    Args:
        session_folder: absolute path of the session folder.
    """
    return ProcessLock(locks_folder() / f"session-{session_hash(session_folder)}.lock")


def has_launcher(session_folder: Path) -> bool:
    """Whether a launcher is at work on a session at this moment."""
    return is_held(session_lock(session_folder).path)


def session_key(session_folder: Path) -> str:
    """What a session folder is known by: the same for all spellings of its path, through links,
    with `..`, and in whatever case where the system does not tell case apart.

    It is for comparing and for names of files. People, and programs, are shown the path as it was
    named: a drive of Windows may stand for a share, whose own name not every program takes.
    """
    path = str(session_folder.absolute())
    try:
        return _key_of_what_is_there(path)
    except OSError:  # its disk is away
        return os.path.normcase(os.path.realpath(path))


@lru_cache(maxsize=1024)
def _key_of_what_is_there(path: str) -> str:
    # Kept, so that who works on a session knows it by the same key when its disk is away.
    return os.path.normcase(os.path.realpath(path, strict=True))


def is_same_session(named: str, key: str) -> bool:
    """Whether the folder of a session, as its launcher named it, has this `session_key`."""
    # Its launcher made the folder, so its name is no link. Others need not be looked for on
    # disks that may be away.
    if os.path.normcase(os.path.basename(named)) != os.path.basename(key):  # noqa: PTH119
        return False
    return session_key(Path(named)) == key


def session_hash(session_folder: Path) -> str:
    """A file name for what belongs to a session, the same for all spellings of its path."""
    return short_hash(session_key(session_folder))


def short_hash(text: str) -> str:
    """A file name for any text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def remember_session(session_folder: Path) -> None:
    """Note that a session was opened, so that it is found again if it is never closed."""
    _write_note(_open_session(session_folder), session_folder)


def forget_session(session_folder: Path) -> None:
    """Note that a session was closed, and is to be taken into the history."""
    note, target = _open_session(session_folder), _to_be_indexed(session_folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        replace_file(note, target)  # one step, so that none is ever in neither list
    except FileNotFoundError:
        note_for_history(session_folder)


def note_for_history(session_folder: Path) -> None:
    """Note that the history is to look at a session, anew if it knows it."""
    _write_note(_to_be_indexed(session_folder), session_folder)


def noted_for_history() -> list[tuple[Path, Path]]:
    """Notes of sessions that the history is to look at, each with the session folder."""
    notes = sorted((state_folder() / "history" / "new").glob("*.txt"))
    return [(note, named) for note in notes if (named := _named_by(note)) is not None]


def remember_root(root: Path) -> None:
    """Note a folder of sessions, from which the history can be made again."""
    note = state_folder() / "history" / "roots" / f"{short_hash(str(root))}.txt"
    if not note.exists():
        _write_note(note, root)


def known_roots() -> list[Path]:
    """All folders of sessions that were noted."""
    notes = sorted((state_folder() / "history" / "roots").glob("*.txt"))
    return [named for note in notes if (named := _named_by(note)) is not None]


def open_sessions(*, unsure: bool = False) -> list[Path]:
    """Folders of the sessions of this machine that were opened and not closed: running ones, and
    those whose launcher was lost. Folders that are gone are passed over.

    Args:
        unsure: whether to give those too that cannot be looked at, on a disk that fails.
    """
    return _named_in("open", unsure=unsure)


def is_noted_open(session_folder: Path) -> bool:
    """Whether a session was opened on this machine and not closed."""
    return _open_session(session_folder).exists()


def as_noted(session_folder: Path) -> Path:
    """The folder of an open session as its launcher named it; as it is given when it is none."""
    return _named_by(_open_session(session_folder)) or session_folder


def has_journal(session_folder: Path, *, unsure: bool = False) -> bool:
    """Whether a folder is a session's.

    Args:
        session_folder: the folder.
        unsure: the answer where the disk gives none.
    """
    try:
        return (session_folder / "journal.jsonl").is_file()
    except OSError:
        return unsure


def note_sealing(session_folder: Path, sha256: str) -> None:
    """Note which manifest a closed session is about to be sealed with anew: if that is cut off
    before the journal says so, this tells it from a manifest that was damaged."""
    note = _sealing(session_folder)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(note, f"{sha256}\n{session_folder}".encode("utf-8", "surrogateescape"))


def noted_sealing(session_folder: Path) -> str:
    """The SHA-256 of the manifest that a session was about to be sealed with; empty when its last
    sealing is over."""
    return _read_note(_sealing(session_folder)).partition("\n")[0]


def forget_sealing(session_folder: Path) -> None:
    """Note that a session was sealed anew, and closed."""
    _sealing(session_folder).unlink(missing_ok=True)


def cut_off_sealings() -> list[Path]:
    """Folders of the closed sessions whose sealing was begun, and is not going on now."""
    notes = sorted((state_folder() / "sealing").glob("*.txt"))
    named = [Path(folder) for note in notes if (folder := _read_note(note).partition("\n")[2])]
    return [folder for folder in named if has_journal(folder) and not has_launcher(folder)]


def _sealing(session_folder: Path) -> Path:
    return state_folder() / "sealing" / f"{session_hash(session_folder)}.txt"


def note_pending(session_folder: Path, pending: bool) -> None:
    """Note whether a closed session has steps that are to be done later."""
    note = _pending_session(session_folder)
    if not pending:
        note.unlink(missing_ok=True)
        return
    _write_note(note, session_folder)


def is_pending(session_folder: Path) -> bool:
    """Whether a closed session was noted to have steps that are to be done later."""
    return _pending_session(session_folder).exists()


def pending_sessions() -> list[Path]:
    """Folders of the sessions of this machine that have steps to be done later."""
    return _named_in("pending")


def _pending_session(session_folder: Path) -> Path:
    return state_folder() / "pending" / f"{session_hash(session_folder)}.txt"


def _named_in(kind: str, *, unsure: bool = False) -> list[Path]:
    notes = sorted((state_folder() / kind).glob("*.txt"))
    named = filter(None, map(_named_by, notes))
    return [folder for folder in named if has_journal(folder, unsure=unsure)]


def _named_by(note: Path) -> Path | None:
    named = _read_note(note)
    return Path(named) if named else None  # an empty one is being written


def _read_note(note: Path) -> str:
    try:
        return note.read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, PermissionError):  # another launcher is dealing with it
        return ""


def _write_note(note: Path, named: Path) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(str(named), encoding="utf-8", errors="surrogateescape")


def _to_be_indexed(session_folder: Path) -> Path:
    return state_folder() / "history" / "new" / f"{session_hash(session_folder)}.txt"


def _open_session(session_folder: Path) -> Path:
    return state_folder() / "open" / f"{session_hash(session_folder)}.txt"
