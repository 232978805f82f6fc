"""The program that calls a function in a shared MATLAB engine, and stays until it has ended.

The launcher starts it with the experiment's interpreter, which has the package `matlabengine` and
need not have the launcher; so it uses the standard library of Python 3.8 only. What the function
prints comes out here. SIGTERM (Ctrl-Break on Windows) cancels the function. The last line of the
error output says in plain words what went wrong, and the exit code which kind it was.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

NO_PACKAGE, NOT_CONNECTED, CONNECTION_LOST, MATLAB_ERROR, CANCELLED, NOT_CANCELLED = range(20, 26)
"""Exit codes."""

LOOK_S = 0.05
SEARCH_S = 0.5
END_S = 5.0
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9_]*)=(.*)", re.DOTALL)


class Trouble(Exception):
    """What went wrong, with its exit code."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code


class Relay(io.StringIO):
    """Passes on what the function prints, as it comes. The package takes nothing but a StringIO."""

    def __init__(self, target: TextIO) -> None:
        super().__init__()
        self._target = target

    def write(self, text: str) -> int:
        self._target.write(text)
        self._target.flush()
        return len(text)


class SharedEngine:
    """What this program needs of MATLAB, in terms of the package `matlabengine`.

    Args:
        name: the name under which MATLAB shares its engine.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._package, self._types = load_package()
        self._engine: Any = None
        self._future: Any = None

    def shared_names(self) -> list[str]:
        """The names of the engines that are shared on this computer now."""
        return list(self._package.find_matlab())

    def connect(self) -> None:
        """Begin to connect; `connected` says when it is done."""
        self._future = self._package.connect_matlab(self.name, background=True)

    def connected(self) -> bool:
        """Whether the connection is there."""
        if not self._future.done():
            return False
        try:
            self._engine = self._future.result()
        except self._errors("EngineError", "RejectedExecutionError") as error:
            raise Trouble(NOT_CONNECTED, f"MATLAB refuses the connection: {error}") from error
        return True

    def add_paths(self, folders: list[str]) -> None:
        """Let MATLAB find functions in these folders, the first one first."""
        self._engine.addpath(*folders, nargout=0)

    def call(self, function: str, arguments: list[Any]) -> None:
        """Begin to call a function; `ended` says when it is done."""
        self._future = self._engine.feval(
            function,
            *[self.value(argument) for argument in arguments],
            nargout=0,
            background=True,
            stdout=Relay(sys.stdout),
            stderr=Relay(sys.stderr),
        )

    def ended(self) -> bool:
        """Whether the function has ended, and well.

        Raises:
            Trouble: it has ended, but not well.
        """
        if not self._future.done():
            return False
        try:
            self._future.result()
        except self._errors("CancelledError") as error:
            raise Trouble(CANCELLED, "The function was cancelled.") from error
        except self._errors("InterruptedError") as error:
            raise Trouble(MATLAB_ERROR, "The function was interrupted in MATLAB.") from error
        except self._errors("MatlabExecutionError", "SyntaxError") as error:
            raise Trouble(MATLAB_ERROR, str(error)) from error
        except self._errors("EngineError", "RejectedExecutionError") as error:
            raise Trouble(CONNECTION_LOST, f"MATLAB has gone: {error}") from error
        return True

    def _errors(self, *names: str) -> tuple[type[Exception], ...]:
        """Exceptions of the package; not every version has each of them."""
        return tuple(getattr(self._package, name) for name in names if hasattr(self._package, name))

    def cancel(self) -> None:
        """Ask MATLAB to break the function off."""
        self._future.cancel()

    def end(self) -> None:
        """Ask MATLAB itself to end. What remains of the connection is of no more use."""
        with suppress(*self._errors("EngineError", "RejectedExecutionError")):
            self._engine.eval("exit", nargout=0, background=True)

    def value(self, value: Any) -> Any:
        """A value of the command line as MATLAB gets it; the rules of `values.py`."""
        if isinstance(value, list):
            return self._list(value)
        return value if isinstance(value, (bool, str)) else float(value)

    def _list(self, values: list[Any]) -> Any:
        if not values or is_numbers(values):
            return self._types.double([float(value) for value in values])
        if all(isinstance(value, bool) for value in values):
            return self._types.logical(values)
        if is_matrix(values):
            return self._types.double([[float(value) for value in row] for row in values])
        return [self.value(value) for value in values]


def is_numbers(values: list[Any]) -> bool:
    """Whether all values are numbers, and none is true or false."""
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def is_matrix(values: list[Any]) -> bool:
    """Whether all values are equally long lists of numbers, the rows of a matrix."""
    rows = [value for value in values if isinstance(value, list) and value and is_numbers(value)]
    return len(rows) == len(values) and len({len(row) for row in rows}) == 1


def load_package() -> tuple[Any, Any]:
    """The package of MATLAB's engine, and that of its data types."""
    # What lies beside this file must not be taken for modules of the experiment.
    own = Path(__file__).resolve().parent
    sys.path[:] = [entry for entry in sys.path if Path(entry or os.curdir).resolve() != own]
    try:
        import matlab.engine

        import matlab
    except (ImportError, OSError) as error:  # OSError: it does not find its MATLAB
        words = f"{sys.executable} cannot load the package matlabengine: {error}"
        raise Trouble(NO_PACKAGE, words) from error
    return matlab.engine, matlab


class Wish:
    """Whether somebody wants the end."""

    def __init__(self) -> None:
        self.spoken = False
        names = ["SIGTERM", "SIGINT", "SIGBREAK" if sys.platform == "win32" else "SIGHUP"]
        for name in names:
            signal.signal(getattr(signal, name), self._speak)

    def _speak(self, *_: Any) -> None:
        self.spoken = True

    def check(self) -> None:
        """Go no further when somebody wants the end."""
        if self.spoken:
            raise Trouble(CANCELLED, "Stopped before the function was called.")


def connect(engine: SharedEngine, timeout_s: float, wish: Wish) -> None:
    """Wait until the engine is shared, and connect to it."""
    deadline = time.monotonic() + timeout_s
    names = engine.shared_names()
    while engine.name not in names:
        if time.monotonic() >= deadline:
            known = ", ".join(names) or "none"
            raise Trouble(
                NOT_CONNECTED,
                f"No MATLAB shares an engine named {engine.name} after {timeout_s:g} s; "
                f"shared are: {known}.",
            )
        wish.check()
        time.sleep(SEARCH_S)
        names = engine.shared_names()
    engine.connect()
    while not engine.connected():
        if time.monotonic() >= deadline:
            words = f"The MATLAB engine {engine.name} does not answer within {timeout_s:g} s."
            raise Trouble(NOT_CONNECTED, words)
        wish.check()
        time.sleep(LOOK_S)


def wait(engine: SharedEngine, cancel_s: float, wish: Wish) -> None:
    """Wait for the function's end; cancel it when somebody wants the end."""
    while not engine.ended():
        if wish.spoken:
            print("Cancelling the MATLAB function.", file=sys.stderr, flush=True)  # noqa: T201
            engine.cancel()
            deadline = time.monotonic() + cancel_s
            while not engine.ended():
                if time.monotonic() >= deadline:
                    raise Trouble(
                        NOT_CANCELLED,
                        f"MATLAB did not cancel the function within {cancel_s:g} s; it may still "
                        "run there.",
                    )
                time.sleep(LOOK_S)
            return
        time.sleep(LOOK_S)


def read_argument(text: str) -> list[Any]:
    """The one or two arguments of the function that stand behind one of this program."""
    named = _NAMED.fullmatch(text)
    if named:
        return [named.group(1), bound(json.loads(named.group(2)))]
    return [bound(json.loads(text))]


def bound(value: Any) -> Any:
    """A value with its variables replaced by what they hold."""
    if isinstance(value, list):
        return [bound(item) for item in value]
    if isinstance(value, dict):
        parts = value["parts"]
        return "".join(p if isinstance(p, str) else os.environ[p["variable"]] for p in parts)
    return value


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--function")
    parser.add_argument("--path", action="append", default=[])
    parser.add_argument("--connect-timeout", type=float, default=30.0)
    parser.add_argument("--cancel-timeout", type=float, default=10.0)
    parser.add_argument("--end-engine", action="store_true")
    parser.add_argument("--look", action="store_true")
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args(arguments)


def call(asked: argparse.Namespace, wish: Wish) -> None:
    """Connect, call the function and see it end."""
    engine = SharedEngine(asked.engine)
    connect(engine, asked.connect_timeout, wish)
    engine.add_paths(asked.path)
    wish.check()
    folder = os.environ["OPENSCOPE_SESSION_DIRECTORY"]
    given = [value for text in asked.arguments for value in read_argument(text)]
    engine.call(asked.function, [folder, *given])
    try:
        wait(engine, asked.cancel_timeout, wish)
    except Trouble as trouble:
        if asked.end_engine and trouble.code in (MATLAB_ERROR, CANCELLED):
            end_engine(engine)
        raise
    if asked.end_engine:
        end_engine(engine)


def end_engine(engine: SharedEngine) -> None:
    """End MATLAB, and see that it does."""
    engine.end()
    deadline = time.monotonic() + END_S
    while engine.name in engine.shared_names() and time.monotonic() < deadline:
        time.sleep(LOOK_S)


def main() -> int:
    """Do what the command line says; returns the exit code."""
    asked = parse(sys.argv[1:])
    try:
        if asked.look:
            answer: dict[str, Any] = {"names": SharedEngine(asked.engine).shared_names()}
            print(json.dumps(answer))  # noqa: T201
        else:
            call(asked, Wish())
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr, flush=True)  # noqa: T201
        return trouble.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
