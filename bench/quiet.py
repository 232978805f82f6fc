"""What launcher and guard use, in processor time and memory, while a quiet tree of ten runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from common import experiment, start_session, started

CPU_LIMIT_S = 0.3
GROWTH_LIMIT_MB = 1.0
SETTLE_S = 3.0
TREE = "for i in 1 2 3 4 5 6 7 8 9; do sleep 600 & done; wait"
FLOOR = "import time\nwhile True: time.sleep(0.05)"
"""What a program uses that wakes as often as the guard does, and then does nothing."""


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far: fields 14 and 15 of /proc/PID/stat (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    """Resident memory of a process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main(seconds: float = 60) -> bool:
    with (
        experiment(["sh", "-c", TREE]) as file,
        start_session(file, "quiet") as launcher,
        subprocess.Popen([sys.executable, "-I", "-S", "-c", FLOOR]) as floor,
    ):
        _, acquisition = started(file, "quiet")
        pids = {"launcher": launcher.pid, "guard": acquisition["guard_pid"], "floor": floor.pid}
        time.sleep(SETTLE_S)
        cpu = {name: cpu_s(pid) for name, pid in pids.items()}
        memory = {name: rss_mb(pid) for name, pid in pids.items()}
        time.sleep(seconds)
        cpu = {name: cpu_s(pid) - cpu[name] for name, pid in pids.items()}
        grown = {name: rss_mb(pid) - memory[name] for name, pid in pids.items()}
        launcher.terminate()
        floor.terminate()
    used, most = cpu["launcher"] + cpu["guard"], max(grown["launcher"], grown["guard"])
    print(
        f"quiet: {used:.2f} s of processor time in {seconds:g} s "
        f"(launcher {cpu['launcher']:.2f}, guard {cpu['guard']:.2f}; limit {CPU_LIMIT_S:g}; "
        f"a program that only wakes 20 times a second: {cpu['floor']:.2f}): "
        f"{'ok' if used <= CPU_LIMIT_S else 'ABOVE ITS LIMIT'}"
    )
    print(
        f"quiet: memory grew by {grown['launcher']:.2f} MB from {memory['launcher']:.1f} MB in the "
        f"launcher, by {grown['guard']:.2f} MB from {memory['guard']:.1f} MB in the guard "
        f"(limit {GROWTH_LIMIT_MB:g} MB): {'ok' if most <= GROWTH_LIMIT_MB else 'ABOVE ITS LIMIT'}"
    )
    return used <= CPU_LIMIT_S and most <= GROWTH_LIMIT_MB


if __name__ == "__main__":
    sys.exit(not main())
