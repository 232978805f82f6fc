"""A child that prints 1,000,000 lines of 80 bytes: its time, and what launcher and guard use."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import OPENSCOPE, experiment, interleaved, report

LIMIT = 1.15
CPU_LIMIT_S = 0.5
FLOOD = """
import resource, sys, time
began = time.monotonic()
line = "x" * 79 + "\\n"
for _ in range(1_000_000):
    sys.stdout.write(line)
sys.stdout.flush()
taken = time.monotonic() - began
use = resource.getrusage(resource.RUSAGE_SELF)
open(sys.argv[1], "w").write(f"{taken} {use.ru_utime + use.ru_stime}")
"""


def main(runs: int = 20) -> bool:
    with tempfile.TemporaryDirectory() as name:
        program, said = Path(name, "flood.py"), Path(name, "said")
        program.write_text(FLOOD)
        quiet = Path(name, "quiet.py")
        quiet.write_text("import sys; open(sys.argv[1], 'w').write('0 0')")
        cpu: dict[str, list[float]] = {"flood.py": [], "quiet.py": []}
        peak_mb: dict[str, float] = {}
        with experiment(["{script}"]) as file:

            def session(script: Path) -> float:
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                # Buffered as the floor is: the writes are what is compared.
                command = f'command=["{sys.executable}", "{script}", "{said}"]'
                subject = f"flood{time.monotonic_ns()}"
                process = subprocess.Popen(
                    [*OPENSCOPE, "run", str(file), "--yes", "--subject", subject, "--set", command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
                _, status, use = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                assert process.returncode == 0
                taken, child_cpu = map(float, said.read_text().split())
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                total = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                cpu[script.name].append(total - child_cpu)
                peak_mb[script.name] = max(peak_mb.get(script.name, 0), use.ru_maxrss / 1024)
                return taken

            def floor(_: int) -> float:
                with Path(name, "direct.log").open("wb") as stream:
                    arguments = [sys.executable, str(program), str(said)]
                    subprocess.run(arguments, stdout=stream, check=True)
                return float(said.read_text().split()[0])

            flooded, floors, _ = interleaved(
                runs, lambda _: session(program), floor, lambda _: session(quiet)
            )
        ok = report("flood", flooded, floors, LIMIT)
        extra = sorted(f - q for f, q in zip(cpu["flood.py"], cpu["quiet.py"], strict=True))
        middle = extra[len(extra) // 2]
        print(
            f"flood: launcher and guard use {middle:.2f} s CPU more than for a silent child "
            f"(limit {CPU_LIMIT_S}); the launcher's peak memory is {peak_mb['flood.py']:.0f} MB, "
            f"{peak_mb['quiet.py']:.0f} MB for a silent child"
        )
        return ok and middle <= CPU_LIMIT_S


if __name__ == "__main__":
    sys.exit(not main())
