"""What the standard metadata cost the operator: the child's exit to the end of the launcher, with
the library of the schema and without it. Made they are by a process that nobody waits for."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

from common import (
    OPENSCOPE,
    experiment,
    interleaved,
    made_afterwards,
    report,
    run_session,
    stamp_program,
    wait_for,
)

LIMIT = 1.1
MODULE = "openscope_experimental_launcher"


def without_library(folder: Path) -> list[str]:
    """A launcher in an environment that has all that this one has but the library."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    own = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=own))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith("aind_data_schema") and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    return [str(folder / "bin" / "python"), "-m", MODULE]


def main(runs: int = 20) -> bool:
    with (
        tempfile.TemporaryDirectory() as name,
        experiment(stamp_program(Path(name)), session_report=True, session_metadata=True) as file,
    ):
        bare = without_library(Path(name) / "without")

        def closing(launcher: Sequence[str], kind: str, number: int) -> float:
            _, end, folder = run_session(file, f"{kind}{number}", launcher)
            # What is made afterwards must not be at work in the next run.
            wait_for(lambda: made_afterwards(folder), 120, every_s=0.1)
            if kind == "with" and not (folder / "acquisition.json").is_file():
                raise AssertionError("the standard metadata were not made")
            return end - float((folder / "logs/stdout.log").read_text())

        measured = interleaved(
            runs,
            lambda number: closing(OPENSCOPE, "with", number),
            lambda number: closing(bare, "without", number),
        )
    return report("closing with the library, against without it", *measured, LIMIT)


if __name__ == "__main__":
    sys.exit(not main())
