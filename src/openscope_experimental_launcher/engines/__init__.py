"""Engines: how each kind of acquisition is launched, asked to stop and judged.

An engine is found by entry point (group `openscope_experimental_launcher.engines`) under the name
that a parameter file gives as `launcher`. It starts nothing itself: it describes the launch, and
the guard carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from ..errors import EngineError, Finding, did_you_mean
from ..plugins import find_plugin, plugin_names

if TYPE_CHECKING:
    from ..parameters.model import Parameters

ENTRY_POINT_GROUP = "openscope_experimental_launcher.engines"


class Source(Protocol):
    """The experiment's files as they will be when the acquisition starts.

    With a repository they are read from git's objects at the pinned commit, before anything is
    checked out; without one, from the folder of the parameter file.
    """

    @property
    def root(self) -> Path:
        """Absolute folder that relative paths of the parameters refer to."""

    def read(self, path: Path) -> bytes:
        """The bytes of a file.

        Args:
            path: absolute, or relative to `root`.

        Raises:
            FileNotFoundError: there is no such file.
        """

    def exists(self, path: Path) -> bool:
        """Whether there is a file of this name, absolute or relative to `root`."""

    def similar(self, path: Path) -> list[str]:
        """Names of files that a mistyped `path` may have meant, nearest first."""


class FolderSource:
    """A `Source` that reads a plain folder.

    Args:
        root: absolute folder that relative paths refer to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        return self._root

    def read(self, path: Path) -> bytes:
        return (self._root / path).read_bytes()

    def exists(self, path: Path) -> bool:
        return (self._root / path).is_file()

    def similar(self, path: Path) -> list[str]:
        folder = (self._root / path).parent
        if not folder.is_dir():
            return []
        from difflib import get_close_matches

        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
        same_kind = [name for name in names if Path(name).suffix == path.suffix]
        near = get_close_matches(path.name, names, n=5)
        return [(path.parent / name).as_posix() for name in dict.fromkeys([*near, *same_kind])][:5]


class Ask(NamedTuple):
    """How the acquisition is asked to end by itself.

    Attributes:
        how: `signal` (SIGTERM, CTRL_BREAK on Windows), `stop_file` (a file is created that the
            workflow watches for), `window` (WM_CLOSE to its windows, Windows only) or `none`.
        stop_file: the file, for `stop_file`.
        loses: what a stop will lose, in plain words; empty when nothing.
        needs_s: seconds from asking to ending that must be granted, be the grace shorter.
    """

    how: Literal["signal", "stop_file", "window", "none"] = "signal"
    stop_file: str = ""
    loses: str = ""
    needs_s: float = 0.0


class Launch(NamedTuple):
    """Exactly what will be started.

    Attributes:
        arguments: the program and its arguments; no shell is involved. None at all when there
            is nothing to acquire.
        folder: absolute working directory.
        environment: variables set on top of the launcher's own environment.
        ask: how to ask it to stop.
        script: the workflow or script whose checksum identifies what ran; None when there is none.
    """

    arguments: tuple[str, ...]
    folder: str
    environment: Mapping[str, str] = {}
    ask: Ask = Ask()
    script: Path | None = None


class Ended(NamedTuple):
    """How the main process ended, for the diagnosis.

    Attributes:
        exit_code: its exit code; None when a signal ended it or the end was not seen.
        signal: number of the signal that ended it, else None.
        stdout: file with everything it printed.
        stderr: file with everything it printed on standard error.
    """

    exit_code: int | None
    signal: int | None
    stdout: Path
    stderr: Path


class Engine(Protocol):
    """What a kind of acquisition must know. Write one to teach the launcher a new kind.

    It may also have `environment(parameters, source)`, which returns a JSON object of the software
    that the acquisition runs with (versions, packages), for the records.
    """

    name: str

    def prepare(
        self, parameters: Parameters, source: Source, session_folder: str, *, rehearsal: bool
    ) -> Launch:
        """Describe the launch. A pure function of its arguments: it starts and writes nothing.

        Args:
            parameters: the session's parameters.
            source: the experiment's files.
            session_folder: the session folder, or the slot that stands for it in a plan; to be
                put into arguments and variables as it is, never split or tested.
            rehearsal: describe a harmless stand-in for the acquisition instead.

        Raises:
            EngineError: the parameters do not describe something that can be started.
        """

    def check(self, parameters: Parameters, source: Source, launch: Launch) -> list[Finding]:
        """Findings of the checks before the session: is the program there, will it accept this."""

    def diagnose(self, ended: Ended) -> list[Finding]:
        """What the end means, in plain words. An `error` makes the acquisition failed.

        An exit code other than 0 is reported by the launcher itself; the engine explains it.
        """


def engine_names() -> list[str]:
    """Names of the engines that are installed."""
    return plugin_names(ENTRY_POINT_GROUP)


def get_engine(name: str) -> Engine:
    """The engine for a `launcher` value.

    Raises:
        EngineError: none of this name is installed, or it cannot be loaded.
    """
    entry = find_plugin(ENTRY_POINT_GROUP, name)
    if entry is not None:
        try:
            engine: Engine = entry.load()()
        except (ImportError, AttributeError, TypeError) as error:
            raise EngineError(
                f"The engine '{name}' is installed but cannot be loaded: {error}",
                code="engine-broken",
                where=f"launcher: {name!r} ({entry.value})",
                fix="Reinstall the package that provides it.",
            ) from error
        return engine
    known = engine_names()
    raise EngineError(
        f"There is no engine named '{name}'.{did_you_mean(name, known)}",
        code="engine-unknown",
        where=f"launcher: {name!r}",
        fix=f"Use one of: {', '.join(known)}; or install the package that provides it.",
    )
