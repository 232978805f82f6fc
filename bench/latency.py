"""From the child's exit to its event in the journal, and what a stop adds to a child's own end."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import experiment, interleaved, session_of, stamp_program, start_session, wait_for

EVENT_LIMIT_MS = 10.0
STOP_LIMIT_MS = 100.0
LOOK_S = 0.0003
POLITE = """
import signal, time
def end(*_):
    time.sleep(0.05)
    raise SystemExit
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True: time.sleep(60)
"""


def arrival(file: Path, subject: str) -> float:
    """The moment at which `acquisition.ended` can be read in the session's journal."""
    folder = wait_for(lambda: session_of(file, subject))
    journal = folder / "journal.jsonl"
    wait_for(
        lambda: journal.is_file() and b'"acquisition.ended"' in journal.read_bytes(), 60, LOOK_S
    )
    return time.monotonic()


def ready(log: Path | None) -> bool:
    """Whether the child can be asked to stop."""
    return log is not None and log.is_file() and log.read_text().startswith("ready")


def ctrl_c(file: Path, launcher: subprocess.Popen[bytes]) -> None:
    """Ask as a person at the terminal does."""
    launcher.send_signal(signal.SIGINT)


def request(file: Path, _: subprocess.Popen[bytes]) -> None:
    """Ask as `openscope stop` does."""
    (run,) = (file.parent / "state/runs").iterdir()
    with (run / "control.jsonl").open("a") as control:
        control.write(json.dumps({"request": "stop", "by": "operator", "reason": "bench"}) + "\n")


def main(runs: int = 20) -> bool:
    event_ms, sync_ms = exits(runs)
    event, sync = statistics.median(event_ms), statistics.median(sync_ms)
    ok = event - sync <= EVENT_LIMIT_MS
    print(
        f"latency: {event:.1f} ms from the child's last instruction to its event in the journal, "
        f"one fsync {sync:.1f} ms, {event - sync:.1f} ms above (limit {EVENT_LIMIT_MS:g} ms; "
        f"highest {max(event_ms):.1f} ms), {runs} runs: {'ok' if ok else 'ABOVE ITS LIMIT'}"
    )
    pressed, asked, alone = stops(runs)
    for name, value_ms in (("Ctrl-C", pressed), ("a request", asked)):
        value, own = statistics.median(value_ms), statistics.median(alone)
        fine = value - own <= STOP_LIMIT_MS
        ok = ok and fine
        print(
            f"latency: {value:.1f} ms from {name} to the end in the journal, the child alone "
            f"{own:.1f} ms, {value - own:.1f} ms added (limit {STOP_LIMIT_MS:g} ms; highest "
            f"{max(value_ms) - own:.1f} ms), {runs} runs: {'ok' if fine else 'ABOVE ITS LIMIT'}"
        )
    return ok


def exits(runs: int) -> list[list[float]]:
    """Milliseconds from exit to event, and of one fsync."""
    with tempfile.TemporaryDirectory() as name:
        command = ["sh", "-c", "sleep 1; exec " + stamp_program(Path(name))[0]]
        with experiment(command) as file:

            def session(number: int) -> float:
                subject = f"latency{number}"
                with start_session(file, subject):
                    seen = arrival(file, subject)
                folder = session_of(file, subject)
                assert folder is not None
                return 1000 * (seen - float((folder / "logs/stdout.log").read_text()))

            def fsync(_: int) -> float:
                with (file.parent / "sync").open("ab", buffering=0) as stream:
                    began = time.monotonic()
                    stream.write(b"x" * 300)
                    os.fsync(stream.fileno())
                    return 1000 * (time.monotonic() - began)

            return interleaved(runs, session, fsync)


def stops(runs: int) -> list[list[float]]:
    """Milliseconds from each way of asking to the end in the journal, and of the child alone."""
    with experiment([sys.executable, "-c", POLITE]) as file:

        def session(subject: str, ask: Callable[..., None]) -> float:
            with start_session(file, subject) as launcher:
                folder = wait_for(lambda: session_of(file, subject))
                wait_for(lambda: ready(folder / "logs/stdout.log"))
                time.sleep(0.3)
                began = time.monotonic()
                ask(file, launcher)
                return 1000 * (arrival(file, subject) - began)

        def alone(_: int) -> float:
            log = file.parent / "alone.log"
            with log.open("wb") as stream:
                child = subprocess.Popen([sys.executable, "-c", POLITE], stdout=stream)
            wait_for(lambda: ready(log))
            began = time.monotonic()
            child.terminate()
            child.wait()
            return 1000 * (time.monotonic() - began)

        return interleaved(
            runs,
            lambda number: session(f"pressed{number}", ctrl_c),
            lambda number: session(f"asked{number}", request),
            alone,
        )


if __name__ == "__main__":
    sys.exit(not main())
