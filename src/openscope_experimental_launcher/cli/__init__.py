"""The `openscope` command: one file a verb."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress


def main() -> None:
    """Entry point of the console command."""
    # Importing makes many objects and no garbage: looking for some costs a tenth of the start.
    gc.disable()
    from .app import run_command_line

    code = run_command_line()
    # Everything is closed and on the disk; taking the interpreter apart would only keep the
    # person waiting for its 30 ms. A reader that went away (`| head`) is no error of ours.
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
