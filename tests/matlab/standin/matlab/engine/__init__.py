"""A stand-in for MathWorks' package `matlab.engine`, with the face that the real one has.

Each file in the folder STANDIN_MATLABS is a MATLAB that shares its engine under the file's name. A
function is a file NAME.m on the engine's path; what it does is in the dictionary below.
"""

from __future__ import annotations

import io
import json
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matlab

if os.environ.get("STANDIN_BROKEN"):
    raise OSError("Please reinstall MATLAB Engine for Python.")  # as the real one says it


class EngineError(Exception):
    """MATLAB cannot be connected to."""


class RejectedExecutionError(Exception):
    """The engine is terminated."""


class MatlabExecutionError(Exception):
    """A function failed."""


class CancelledError(Exception):
    """A function was cancelled."""


class InterruptedError(Exception):
    """A function was interrupted in MATLAB."""


def _matlabs() -> Path:
    return Path(os.environ["STANDIN_MATLABS"])


def find_matlab() -> tuple[str, ...]:
    """The names of the shared engines."""
    return tuple(sorted(file.name for file in _matlabs().iterdir()))


def connect_matlab(name: str, *, background: bool = False) -> Any:
    """Connect to a shared engine."""
    if name not in find_matlab():
        raise EngineError(f"Unable to connect to MATLAB session '{name}'.")
    future = FutureResult(None, lambda _: MatlabEngine(name))
    return future if background else future.result()


class FutureResult:
    """What a call in the background will give."""

    def __init__(self, engine: Any, work: Callable[[threading.Event], Any]) -> None:
        self._engine = weakref.ref(engine) if engine is not None else None
        self._cancel = threading.Event()
        self._result: Any = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[threading.Event], Any]) -> None:
        try:
            self._result = work(self._cancel)
        except Exception as error:
            self._error = error

    def done(self) -> bool:
        """Whether there is a result."""
        if self._engine is not None and self._engine() is None:
            raise RejectedExecutionError("MATLAB has already terminated.")
        return not self._thread.is_alive()

    def result(self, timeout: float | None = None) -> Any:
        """The result."""
        self._thread.join(timeout)
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> bool:
        """Break the call off."""
        self._cancel.set()
        return True


class MatlabEngine:
    """A connected engine."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._path: list[str] = []

    def addpath(self, *folders: str, nargout: int = 1) -> None:
        """Put folders on the path."""
        assert nargout == 0
        self._path = [*folders, *self._path]

    def eval(self, code: str, *, nargout: int, background: bool) -> FutureResult:
        """Run code, of which only one line is known."""
        assert (code, nargout, background) == ("exit", 0, True)
        return FutureResult(self, lambda _: (_matlabs() / self._name).unlink())

    def feval(
        self,
        function: str,
        *arguments: Any,
        nargout: int,
        background: bool,
        stdout: io.StringIO,
        stderr: io.StringIO,
    ) -> FutureResult:
        """Call a function."""
        assert nargout == 0 and background
        if not isinstance(stdout, io.StringIO) or not isinstance(stderr, io.StringIO):
            raise TypeError("stdout must be io.StringIO")
        *packages, last = function.split(".")
        file = Path(*(f"+{package}" for package in packages), f"{last}.m")
        if not any((Path(folder) / file).is_file() for folder in self._path):
            raise MatlabExecutionError(f"Unrecognized function or variable '{function}'.")
        shown = [_shown(argument) for argument in arguments]
        behave = _FUNCTIONS[last]
        return FutureResult(self, lambda cancel: behave(shown, cancel, stdout, stderr))


def _shown(value: Any) -> Any:
    """An argument as class and content; what MATLAB would not take is refused."""
    if isinstance(value, (matlab.double, matlab.logical)):
        return {type(value).__name__: value.values}
    if isinstance(value, bool):
        return {"logical": value}
    if isinstance(value, float):
        return {"double": value}
    if isinstance(value, str):
        return {"char": value}
    if isinstance(value, list):
        return {"cell": [_shown(item) for item in value]}
    raise TypeError(f"unsupported Python data type: {type(value).__name__}")


def _record(arguments: list[Any]) -> Path:
    folder = Path(arguments[0]["char"])
    (folder / "arguments.json").write_text(json.dumps(arguments), encoding="utf-8")
    return folder


def _run_session(arguments: list[Any], cancel: threading.Event, out: Any, err: Any) -> None:
    _record(arguments)
    out.write("trial 1 of 2\nÜbung\n")
    err.write("Warning: the mouse sleeps\n")


def _fail(arguments: list[Any], cancel: threading.Event, out: Any, err: Any) -> None:
    raise MatlabExecutionError("\nError using fail (line 3)\nThe camera is away.\n")


def _hang(arguments: list[Any], cancel: threading.Event, out: Any, err: Any) -> None:
    out.write("hanging\n")
    cancel.wait(60)
    (Path(arguments[0]["char"]) / "saved.txt").write_text("saved")
    raise CancelledError("The MATLAB function was cancelled.")


def _deaf(arguments: list[Any], cancel: threading.Event, out: Any, err: Any) -> None:
    out.write("hanging\n")
    time.sleep(60)


def _vanish(arguments: list[Any], cancel: threading.Event, out: Any, err: Any) -> None:
    raise EngineError("The MATLAB session has ended.")


def _interrupted(arguments: list[Any], cancel: threading.Event, out: Any, err: Any) -> None:
    raise InterruptedError("Ctrl-C")


_FUNCTIONS = {
    "run_session": _run_session,
    "fail": _fail,
    "hang": _hang,
    "deaf": _deaf,
    "vanish": _vanish,
    "interrupted": _interrupted,
}
