"""The one way to run a helper program: an argument list, a time limit, an error that says all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from .errors import CommandError
from .masking import mask_arguments, mask_text

_SHOWN_OUTPUT = 4000


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
    """

    default_code = "command-failed"

    def __init__(self, result: CommandResult) -> None:
        self.result = result
        program = Path(result.arguments[0]).name
        said = result.error_text or mask_text(result.stdout.decode("utf-8", "replace").strip())
        said = said[-_SHOWN_OUTPUT:] or "it said nothing"
        super().__init__(
            f"{program} failed with exit code {result.code}: {said}",
            where=" ".join(mask_arguments(list(result.arguments))),
        )


def run_command(
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float,
    expected: Sequence[int] = (0,),
    on_error_line: Callable[[str], None] | None = None,
    input_bytes: bytes | None = None,
) -> CommandResult:
    """Run a helper program to its end, without a shell and without a way to ask questions.

    Args:
        arguments: the program and its arguments.
        folder: working directory; this process's when None.
        environment: the whole environment; this process's when None.
        timeout_s: seconds after which the program and its children are killed.
        expected: exit codes that are no failure.
        on_error_line: called with each piece of standard error between newlines or carriage
            returns as it arrives (progress of long work), from another thread.
        input_bytes: what it can read from standard input; nothing when None.

    Raises:
        CommandFailed: it ended with an unexpected code.
        CommandError: it could not be started, or ran out of time.
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
    try:
        stdout, stderr = _communicate(process, timeout_s, on_error_line, input_bytes)
    except subprocess.TimeoutExpired as error:
        _kill_group(process)
        raise CommandError(
            f"{program} gave no result within {timeout_s:.0f} s and was stopped.",
            code="command-timeout",
            where=" ".join(mask_arguments(list(arguments))),
        ) from error
    except BaseException:
        _kill_group(process)
        raise
    result = CommandResult(tuple(arguments), process.returncode, stdout, stderr)
    if result.code not in expected:
        raise CommandFailed(result)
    return result


def _communicate(
    process: subprocess.Popen[bytes],
    timeout_s: float,
    on_error_line: Callable[[str], None] | None,
    input_bytes: bytes | None,
) -> tuple[bytes, bytes]:
    if on_error_line is None:
        return process.communicate(input_bytes, timeout=timeout_s)
    assert process.stderr is not None  # noqa: S101 - it was opened as a pipe above
    collected: list[bytes] = []
    reader = threading.Thread(
        target=_read_lines, args=(process.stderr, collected, on_error_line), daemon=True
    )
    reader.start()
    stderr, process.stderr = process.stderr, None
    stdout, _ = process.communicate(input_bytes, timeout=timeout_s)
    reader.join(timeout=5)
    stderr.close()
    return stdout, b"".join(collected)


def _read_lines(stream: IO[bytes], collected: list[bytes], on_line: Callable[[str], None]) -> None:
    rest = b""
    while chunk := os.read(stream.fileno(), 65536):
        collected.append(chunk)
        *lines, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            if line.strip():
                on_line(mask_text(line.decode("utf-8", "replace").strip()))


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
