"""The `openscope` command: one file a verb."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Entry point of the console command."""
    # Importing makes many objects and no garbage: looking for some costs a tenth of the start.
    gc.disable()
    from .app import run_command_line

    sys.exit(run_command_line())
