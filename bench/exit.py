"""The child's exit to the end of the launcher, less the fsyncs and checksums of that time."""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import tempfile
from pathlib import Path

from common import (
    experiment,
    interleaved,
    made_afterwards,
    run_session,
    stamp_program,
    wait_for,
)

LIMIT_MS = 50.0
FSYNCS = 12
"""Calls between the child's exit and the end: counted with `strace -f -e fsync,fdatasync`."""


def main(runs: int = 20) -> bool:
    import time

    with (
        tempfile.TemporaryDirectory() as name,
        experiment(stamp_program(Path(name)), session_report=True) as file,
    ):
        folders: list[Path] = []

        def session(number: int) -> float:
            _, end, folder = run_session(file, f"exit{number}")
            folders.append(folder)
            wait_for(lambda: made_afterwards(folder), 120, every_s=0.1)
            return end - float((folder / "logs/stdout.log").read_text())

        def floor(_: int) -> float:
            began = time.monotonic()
            for path in folders[-1].rglob("*"):
                if path.is_file():
                    hashlib.sha256(path.read_bytes()).hexdigest()
            with (file.parent / "sync").open("wb", buffering=0) as stream:
                for _call in range(FSYNCS):
                    stream.write(b"x")
                    os.fsync(stream.fileno())
            return time.monotonic() - began

        sessions, floors = interleaved(runs, session, floor)
    value, base = statistics.median(sessions) * 1000, statistics.median(floors) * 1000
    verdict = "ok" if value - base <= LIMIT_MS else "ABOVE ITS LIMIT"
    print(
        f"exit: {value:.1f} ms from the child's last instruction, {base:.1f} ms of them fsyncs and "
        f"checksums, {value - base:.1f} ms above (limit {LIMIT_MS:g} ms), {runs} runs: {verdict}"
    )
    return value - base <= LIMIT_MS


if __name__ == "__main__":
    sys.exit(not main())
