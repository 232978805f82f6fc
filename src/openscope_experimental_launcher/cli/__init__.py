"""The `openscope` command: one file a verb."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the console command."""
    from .app import run_command_line

    sys.exit(run_command_line())
