"""The `openscope` command: one file a verb."""

from __future__ import annotations

import gc
import os
import sys
from io import TextIOWrapper


def main() -> None:
    """Entry point of the console command."""
    # Importing makes many objects and no garbage: looking for some costs a tenth of the start.
    gc.disable()
    _speak_any_language()
    from .streams import finish_streams, prepare_streams

    below = prepare_streams()
    from .app import run_command_line

    code = finish_streams(run_command_line(), below)
    # Everything is closed and on the disk; taking the interpreter apart would only keep the
    # person waiting for its 30 ms.
    os._exit(code)


def _speak_any_language() -> None:
    """Start again in Python's UTF-8 mode where a locale (C, latin-1) has another encoding for
    names of files and arguments; and never fail for a sign that a terminal does not have."""
    if sys.getfilesystemencoding() != "utf-8":
        again = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
        os.execv(sys.executable, again)  # noqa: S606 - the same command line, byte for byte
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(errors="replace")
