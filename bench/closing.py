"""Closing a session: what it takes beyond its steps, its checksums and its fsyncs."""

from __future__ import annotations

import hashlib
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import events, experiment, interleaved, run_session

LIMIT_MS = 50.0
FILES, SIZE = 200, 1_000_000
FSYNCS = 9
"""Calls from the stage `closing` on but those of the step: counted with
`strace -f -y -e fsync,fdatasync`."""
_HASHERS = 4

_WRITES = f"""
import os, pathlib
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "frames")
folder.mkdir()
for number in range({FILES}):
    (folder / (str(number) + ".bin")).write_bytes(os.urandom({SIZE}))
"""


def main(runs: int = 15) -> bool:
    command = [sys.executable, "-c", _WRITES]
    steps_after = ["example_post_acquisition_module"]
    folders: list[Path] = []
    steps: list[float] = []
    with experiment(command, post_acquisition_pipeline=steps_after) as file:

        def session(number: int) -> float:
            _, end, folder = run_session(file, f"closing{number}")
            folders.append(folder)
            stages = events(folder, "stage.entered")
            (began,) = [e["mono"] for e in stages if e["data"]["stage"] == "closing"]
            steps.append(sum(e["data"]["duration_s"] for e in events(folder, "step.finished")))
            return end - float(began) - steps[-1]

        def floor(_: int) -> float:
            began = time.monotonic()
            paths = [path for path in folders[-1].rglob("*") if path.is_file()]
            with ThreadPoolExecutor(_HASHERS) as hashers:
                list(hashers.map(_hash, paths))
            with (file.parent / "sync").open("wb", buffering=0) as stream:
                for _call in range(FSYNCS):
                    stream.write(b"x")
                    os.fsync(stream.fileno())
            return time.monotonic() - began

        sessions, floors = interleaved(runs, session, floor)
    value, base = statistics.median(sessions) * 1000, statistics.median(floors) * 1000
    above = statistics.median(s - f for s, f in zip(sessions, floors, strict=True)) * 1000
    verdict = "ok" if above <= LIMIT_MS else "ABOVE ITS LIMIT"
    print(
        f"closing {FILES} files of {SIZE / 1e6:g} MB: {value:.1f} ms beside "
        f"{1000 * statistics.median(steps):.0f} ms of steps, {base:.1f} ms of them fsyncs and "
        f"checksums, {above:.1f} ms above (limit {LIMIT_MS:g} ms), {runs} runs: {verdict}"
    )
    return above <= LIMIT_MS


def _hash(path: Path) -> None:
    with path.open("rb") as stream:
        hashlib.file_digest(stream, "sha256")


if __name__ == "__main__":
    sys.exit(not main())
