"""Process start to the child's first instruction, against importing the usual libraries."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import experiment, interleaved, report, run_session, stamp_program

LIMIT = 1.5


def main(runs: int = 20) -> bool:
    with tempfile.TemporaryDirectory() as name, experiment(stamp_program(Path(name))) as file:

        def session(number: int) -> float:
            start, _, folder = run_session(file, f"start{number}")
            return float((folder / "logs/stdout.log").read_text()) - start

        def floor(_: int) -> float:
            start = time.monotonic()
            libraries = "import typer, pydantic, rich, psutil"
            subprocess.run([sys.executable, "-c", libraries], check=True)
            return time.monotonic() - start

        return report("start", *interleaved(runs, session, floor), LIMIT)


if __name__ == "__main__":
    sys.exit(not main())
