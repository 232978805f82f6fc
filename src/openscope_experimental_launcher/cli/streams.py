"""The standard streams of a command, which may be closed, full, or without a reader.

What a command does is done and recorded whether or not anybody reads of it. So writing to a lost
stream never raises: the command goes on to its end, and then it is said what was lost.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING, TextIO

from ..errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SAY_HOW_A_SESSION_WENT = ("run", "rerun", "demo")


class LenientFile(FileIO):
    """A file that takes everything; what it could not write is lost.

    Attributes:
        lost: what the system said when something could not be written; a reader that went away,
            as `head` does, has all that it wanted.
    """

    lost: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write as much as can be; returns the number of bytes taken."""
        try:
            return super().write(data)
        except OSError as error:
            if not _has_no_reader(error):
                self.lost = self.lost or error
            return memoryview(data).nbytes


def _has_no_reader(error: OSError) -> bool:
    # Windows says EINVAL of a pipe that nobody reads.
    return isinstance(error, BrokenPipeError) or (
        sys.platform == "win32" and error.errno == errno.EINVAL
    )


class _NullDevice(FileIO):
    def isatty(self) -> bool:
        """Never a terminal, which Windows says that it is: nobody could be asked there."""
        return False


def prepare_streams() -> LenientFile | None:
    """Make the standard streams ones that can always be written to.

    Returns:
        The file below standard output; None when it is a terminal, or closed.
    """
    _fill_closed_streams()
    sys.stderr, _ = _lenient(sys.stderr)
    sys.stdout, below = _lenient(sys.stdout)
    return below


def _fill_closed_streams() -> None:
    """Open the null device in place of streams that are closed: else the first file that is
    opened, a journal perhaps, would be what children take for their output."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            below = _NullDevice(os.devnull, mode)
            os.set_inheritable(below.fileno(), True)
            buffer = BufferedReader(below) if mode == "r" else BufferedWriter(below)
            stream = TextIOWrapper(buffer, encoding="utf-8", errors="replace")
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)  # which keeps its descriptor open


def _lenient(stream: TextIO) -> tuple[TextIO, LenientFile | None]:
    if not isinstance(stream, TextIOWrapper) or stream.isatty():
        return stream, None
    below = LenientFile(stream.fileno(), "w", closefd=False)
    lenient = TextIOWrapper(
        BufferedWriter(below),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    return lenient, below


def finish_streams(code: int, below: LenientFile | None) -> int:
    """Send what still waits in the streams, and say what was lost.

    Args:
        code: the exit code so far.
        below: the file below standard output.

    Returns:
        The exit code. A command whose output was lost has failed; but those that run a session
        say by it how that went.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if below is None or below.lost is None:
        return code
    _tell(below.lost)
    runs = sys.argv[1:2] and sys.argv[1] in _SAY_HOW_A_SESSION_WENT
    return EXIT_FAILED if code == EXIT_OK and not runs else code


def _tell(lost: OSError) -> None:
    from ..display.screens import show_error
    from ..errors import LauncherError

    error = LauncherError(
        f"Not all that was printed could be written: {lost.strerror or lost}.",
        code="output-lost",
        where="standard output",
        fix="Make room, or send it elsewhere.",
    )
    show_error(error)
