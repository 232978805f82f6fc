"""A tree that allocates as fast as the machine pages: from crossing its limit to its end."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from common import events, experiment, session_of, start_session, wait_for

LIMIT_S = 0.5
MEMORY_LIMIT_MB = 500
SAMPLE_S = 0.005
RUNAWAY = """
import mmap, os, random, time
flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE
begin_s = random.uniform(0.6, 0.8)  # anywhere between two looks of the guard
for _ in range(3):
    if os.fork() == 0:
        time.sleep(begin_s)
        # 6 GB in all, far below what the machine has, should nobody stop it.
        kept = [mmap.mmap(-1, 16_000_000, flags=flags) for _ in range(125)]
        time.sleep(600)
        os._exit(1)
print("ready", os.getpid(), *open(f"/proc/{os.getpid()}/task/{os.getpid()}/children"), flush=True)
while True:
    os.wait()
"""


def tree(session: Path | None) -> list[int]:
    """Pids of the tree, which it prints itself when it is complete."""
    log = session / "logs/stdout.log" if session else None
    said = log.read_text() if log and log.is_file() else ""
    return [int(pid) for pid in said.split()[1:]] if said.endswith("\n") else []


def rss_mb(pids: list[int]) -> float | None:
    """Resident memory of those that live, MB; None when none of them does."""
    pages, alive = 0, False
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in "ZX":
            alive = True
            pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 if alive else None


def main(runs: int = 20) -> bool:
    taken, peaks = [], []
    with tempfile.TemporaryDirectory() as name:
        program = Path(name, "runaway.py")
        program.write_text(RUNAWAY)
        command = [sys.executable, str(program)]
        with experiment(command, memory_limit_mb=MEMORY_LIMIT_MB) as file:
            for number in range(runs):
                subject = f"runaway{number}"
                with start_session(file, subject):
                    pids = wait_for(lambda subject=subject: tree(session_of(file, subject)))
                    crossed, peak = time.monotonic(), 0.0
                    while (used := rss_mb(pids)) is not None:
                        peak = max(peak, used)
                        if peak < MEMORY_LIMIT_MB:
                            crossed = time.monotonic()  # when it was last seen below its limit
                        time.sleep(SAMPLE_S)
                    taken.append(time.monotonic() - crossed)
                    peaks.append(peak)
                (ended,) = events(session_of(file, subject), "acquisition.ended")
                assert ended["data"]["stop"]["limit"] == "memory_limit_mb"
    ok = max(taken) <= LIMIT_S
    print(
        f"runaway: {statistics.median(taken):.3f} s from crossing {MEMORY_LIMIT_MB} MB to the "
        f"death of the last process (maximum {max(taken):.3f} s, limit {LIMIT_S:g} s), peaks of "
        f"{statistics.median(peaks):.0f} MB (maximum {max(peaks):.0f} MB), {runs} runs: "
        f"{'ok' if ok else 'ABOVE ITS LIMIT'}"
    )
    return ok


if __name__ == "__main__":
    sys.exit(not main())
