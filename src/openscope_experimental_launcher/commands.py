"""The one way to run a helper program: an argument list, a time limit, an error that says all."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from .errors import CommandError, attempt
from .masking import mask_arguments, mask_text

OnLine = Callable[[str], None]

_SHOWN_OUTPUT = 4000
_CHUNK = 65536
_LONGEST_LINE = 65536
_LOOK_S = 0.1
_LEFT_OPEN_S = 1.0
_NICE = 10
_DETACHED = 0
if sys.platform == "win32":
    _DETACHED = (
        subprocess.DETACHED_PROCESS
        | subprocess.CREATE_NEW_PROCESS_GROUP
        | subprocess.BELOW_NORMAL_PRIORITY_CLASS
    )

_log = logging.getLogger(__name__)


class CommandResult(NamedTuple):
    """What a finished helper program left.

    Attributes:
        arguments: the command line.
        code: exit code; negative for a signal.
        stdout: its output, bytes as they came.
        stderr: its error output, bytes as they came.
    """

    arguments: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output as text, without the final newline."""
        return self.stdout.decode("utf-8", "replace").rstrip("\r\n")

    @property
    def error_text(self) -> str:
        """Standard error as text, secrets masked."""
        return mask_text(self.stderr.decode("utf-8", "replace").strip())


class CommandFailed(CommandError):
    """A helper program ended with an exit code that was not expected.

    Attributes:
        result: everything the program left.
        said: the end of its error output, else of its output; secrets masked.
    """

    default_code = "command-failed"

    def __init__(self, result: CommandResult) -> None:
        self.result = result
        self.said = _end_of(result.stderr) or _end_of(result.stdout)
        program = Path(result.arguments[0]).name
        super().__init__(
            f"{program} failed with exit code {result.code}: {self.said or 'it said nothing'}",
            where=" ".join(mask_arguments(list(result.arguments))),
        )


class CommandTimeout(CommandError):
    """A helper program did not end in time and was stopped.

    Attributes:
        said: the end of what it had said, secrets masked.
    """

    default_code = "command-timeout"

    def __init__(self, arguments: Sequence[str], timeout_s: float, said: str) -> None:
        self.said = said
        words = f" Its last words: {said}" if said else ""
        super().__init__(
            f"{Path(arguments[0]).name} gave no result within {timeout_s:.0f} s and was stopped."
            f"{words}",
            where=" ".join(mask_arguments(list(arguments))),
        )


def _end_of(output: bytes) -> str:
    return mask_text(_text(output))[-_SHOWN_OUTPUT:]


def run_command(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float,
    expected: Sequence[int] = (0,),
    on_line: OnLine | None = None,
    on_error_line: OnLine | None = None,
    input_bytes: bytes | None = None,
    kept_bytes: int | None = None,
) -> CommandResult:
    """Run a helper program to its end, without a shell and without a way to ask questions.

    Args:
        arguments: the program and its arguments.
        folder: working directory; this process's when None.
        environment: the whole environment; this process's when None.
        timeout_s: seconds after which the program and its children are killed.
        expected: exit codes that are no failure.
        on_line: called with each piece of standard output between newlines or carriage returns
            as it arrives, from another thread. One that fails is not called again; it takes
            nothing from the program.
        on_error_line: the same for standard error (progress of long work).
        input_bytes: what it can read from standard input; nothing when None.
        kept_bytes: how much of the end of each output to keep; everything when None.

    Raises:
        CommandFailed: it ended with an unexpected code.
        CommandTimeout: it ran out of time.
        CommandError: it could not be started.
    """
    program = Path(arguments[0]).name
    try:
        process = subprocess.Popen(
            list(arguments),
            cwd=folder,
            env=dict(environment) if environment is not None else None,
            stdin=subprocess.DEVNULL if input_bytes is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=sys.platform != "win32",
        )
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{program} cannot be started: {error}",
            code="command-not-started",
            where=" ".join(mask_arguments(list(arguments))),
        ) from error
    outputs = (
        _Output(process.stdout, on_line, kept_bytes),
        _Output(process.stderr, on_error_line, kept_bytes),
    )
    try:
        _feed(process, input_bytes)
        _wait(process, outputs, timeout_s)
    except subprocess.TimeoutExpired as error:
        _kill_group(process)
        raise CommandTimeout(arguments, timeout_s, _last_words(outputs)) from error
    except BaseException:
        _kill_group(process)
        raise
    result = CommandResult(
        tuple(arguments), process.returncode, outputs[0].content(), outputs[1].content()
    )
    if result.code not in expected:
        raise CommandFailed(result)
    return result


class _Output:
    """One of a program's outputs, read by a thread of its own until it ends."""

    def __init__(
        self, stream: IO[bytes] | None, on_line: OnLine | None, kept_bytes: int | None
    ) -> None:
        assert stream is not None  # noqa: S101 - it was opened as a pipe
        self._stream = stream
        self._on_line = on_line
        self._kept_bytes = kept_bytes
        self._kept: deque[bytes] = deque()
        self._size = 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def content(self) -> bytes:
        """What came so far, or its end."""
        content = b"".join(tuple(self._kept))
        return content[-self._kept_bytes :] if self._kept_bytes else content

    def _read(self) -> None:
        rest = b""
        with self._stream:
            while chunk := os.read(self._stream.fileno(), _CHUNK):
                self._keep(chunk)
                if self._on_line is not None:
                    *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
                    if len(rest) > _LONGEST_LINE:
                        lines, rest = [*lines, rest], b""
                    self._tell(lines)
        self._tell([rest])

    def _keep(self, chunk: bytes) -> None:
        self._kept.append(chunk)
        self._size += len(chunk)
        while self._kept_bytes and self._size - len(self._kept[0]) >= self._kept_bytes:
            self._size -= len(self._kept.popleft())

    def _tell(self, lines: list[bytes]) -> None:
        for line in lines:
            tell, text = self._on_line, _text(line)
            if tell is None or not text:
                continue
            failure = attempt(partial(tell, mask_text(text)))
            if failure is not None:
                self._on_line = None
                _log.warning("Output is not shown any more: %s", failure.traceback)


def _text(data: bytes) -> str:
    """A program's words. Windows' own programs speak the console's code page."""
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return data.decode("oem" if sys.platform == "win32" else "utf-8", "replace").strip()


def _feed(process: subprocess.Popen[bytes], data: bytes | None) -> None:
    """Give a program its input, in a thread, since it may never read it."""
    stream = process.stdin
    if stream is None:
        return

    def write() -> None:
        with suppress(OSError), stream:  # a program that ended does not read
            stream.write(data or b"")

    threading.Thread(target=write, daemon=True).start()


def _wait(process: subprocess.Popen[bytes], outputs: Sequence[_Output], timeout_s: float) -> None:
    """Wait for the end of a program and of its outputs.

    What it leaves running may keep its outputs open: that is not waited for.

    Raises:
        subprocess.TimeoutExpired: it did not end in time.
    """
    deadline = time.monotonic() + timeout_s
    outputs_until = deadline
    for output in outputs:
        while output.reader.is_alive() and time.monotonic() < outputs_until:
            output.reader.join(_LOOK_S)
            if process.poll() is not None:
                outputs_until = min(outputs_until, time.monotonic() + _LEFT_OPEN_S)
    process.wait(max(deadline - time.monotonic(), 0))


def _last_words(outputs: Sequence[_Output]) -> str:
    for output in outputs:
        output.reader.join(_LEFT_OPEN_S)
    said = filter(None, (_end_of(output.content()) for output in outputs))
    return "\n".join(said)[-_SHOWN_OUTPUT:]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if sys.platform == "win32":
        with suppress(OSError):
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)],
                check=False,
                capture_output=True,
                timeout=10,
            )
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)


def start_detached(arguments: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that outlives this one, has no terminal and leaves the processor to others.

    Args:
        arguments: the command line.
        log: gets its output, behind what is there; the program works in that folder.

    Returns:
        The program, to be waited for: in a thread, where its end does not matter.

    Raises:
        OSError: it cannot be started, or the log cannot be written.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(
            arguments,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            creationflags=_DETACHED,
        )
    if sys.platform != "win32":
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
    return process
