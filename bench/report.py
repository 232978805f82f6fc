"""The report of an eight-hour session at 1 Hz, against reading its journal with `json.loads` line
by line. Both in one process; the whole command, with the start of Python, is printed too.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

from common import OPENSCOPE, experiment, interleaved, report, run_session

from openscope_experimental_launcher.jsonl import parse_lines
from openscope_experimental_launcher.report import make_report

LIMIT = 3.0
HOURS = 8
SIZE_LIMIT = 1_000_000
_SILENT = "import time\nprint('Trial 1: hit')\ntime.sleep(2.5)\n"


def main(runs: int = 15) -> bool:
    """Print the figures; returns whether they are within their limits."""
    command = [sys.executable, "-c", _SILENT]
    with experiment(command, memory_limit_mb=4000, resource_log_interval=1.0) as file:
        _, _, folder = run_session(file, "600007")
        journal = folder / "journal.jsonl"
        _lengthen(journal)
        target = file.parent / "report.html"

        def make(_: int) -> float:
            begin = time.perf_counter()
            make_report(folder, target)
            return time.perf_counter() - begin

        def read(_: int) -> float:
            begin = time.perf_counter()
            with journal.open(encoding="utf-8") as lines:
                for line in lines:
                    json.loads(line)
            return time.perf_counter() - begin

        within = report("report", *interleaved(runs, make, read), LIMIT)
        size = target.stat().st_size
        verdict = "ok" if size < SIZE_LIMIT else "ABOVE ITS LIMIT"
        print(f"size: {size / 1000:.0f} kB (limit {SIZE_LIMIT / 1000:.0f} kB): {verdict}")
        _whole_command(folder, target)
        return within and size < SIZE_LIMIT


def _lengthen(journal: Path) -> None:
    """Let a real session's acquisition have taken eight hours, with a sample each second."""
    events = list(parse_lines(journal.read_bytes()))
    first = next(n for n, event in enumerate(events) if event["name"] == "acquisition.sampled")
    ended = next(n for n, event in enumerate(events) if event["name"] == "acquisition.ended")
    like = events[first]
    samples = [
        {
            **like,
            "mono": round(like["mono"] + second, 6),
            "data": like["data"]
            | {
                "elapsed_s": float(second),
                "memory_mb": round(900 + 400 * math.sin(second / 900) + second % 17, 1),
                "cpu_s": round(0.7 * second + 0.1 * (second % 5), 2),
                "disk_free_mb": 900_000 - 12 * second,
            },
        }
        for second in range(HOURS * 3600)
    ]
    after = [event | {"mono": event["mono"] + HOURS * 3600} for event in events[ended:]]
    lines = [
        json.dumps(event | {"seq": number}, ensure_ascii=False, separators=(",", ":")) + "\n"
        for number, event in enumerate([*events[:first], *samples, *after], 1)
    ]
    journal.write_text("".join(lines), encoding="utf-8")
    print(f"journal: {len(lines):,} events, {journal.stat().st_size / 1e6:.1f} MB")


def _whole_command(folder: Path, target: Path) -> None:
    asked = [*OPENSCOPE, "report", str(folder), "--output", str(target)]
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        subprocess.run(asked, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - begin)
    print(f"openscope report, the whole command: {1000 * min(taken):.0f} ms")


if __name__ == "__main__":
    sys.exit(not main())
