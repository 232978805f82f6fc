"""Launchers and guards killed after every kind of event and at random: what is lost of a session.

`python bench/crashpoints.py [KILLS [SESSIONS AT A TIME [SEED]]]`. Every moment is met with every
choice of victims once in 140 kills. A second part kills a process that writes nothing but
milestones, as fast as the disk takes them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import product, repeat
from pathlib import Path
from typing import Any

import psutil
from common import OPENSCOPE, events, experiment, session_of, start_session, wait_for

LINES = 28
CHILD = f"""
import os, pathlib, signal, sys, time
out = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "counts.txt").open("w")
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"asked\\n"), os._exit(0)))
for n in range({LINES}):
    print(n, file=out, flush=True); print(n, flush=True); time.sleep(0.05)
print("finished", flush=True)
"""
WRITER = """
import sys
from pathlib import Path
from openscope_experimental_launcher.session.journal import Journal, NoteAdded
journal = Journal(Path(sys.argv[1] + ".fallback"))
journal.open(Path(sys.argv[1]))
number = 0
while True:
    journal.record(NoteAdded(str(number), sys.argv[2]))
    print(number, flush=True)
    number += 1
"""
MOMENTS = [
    "stage.entered checks",
    "session.opened",
    "repository.ready",
    "step.finished before",
    "stage.entered acquisition",
    "guard ordered",
    "output opened",
    "acquisition.started",
    "acquisition.sampled",
    "acquisition.warned",
    "acquisition.stop_requested",
    "acquisition.ended",
    "acquisition.ended imported",
    "acquisition.judged",
    "stage.entered post-processing",
    "stage.entered closing",
    "step.finished after",
    "manifest.sealed",
    "session.closed",
    *["at random"] * 9,
]
"""When to kill: after an event of the launcher or guard, between two of them, or at random."""
OF_THE_GUARD = {
    "acquisition.started",
    "acquisition.sampled",
    "acquisition.warned",
    "acquisition.stop_requested",
    "acquisition.ended",
}
VICTIMS = {
    "launcher": ("launcher",),
    "guard": ("guard",),
    "launcher and guard": ("launcher", "guard"),
    "guard and understudy": ("understudy", "guard"),
    "all three": ("launcher", "understudy", "guard"),
}


def processes_of(launcher: int) -> dict[str, int]:
    """The pids of a launcher, its guard and the guard's understudy, as far as they are there."""
    found = {"launcher": launcher}
    # Its child's child: what a guard starts looks like itself for an instant.
    for name, parent in (("understudy", "launcher"), ("guard", "understudy")):
        with suppress(psutil.Error):
            for child in psutil.Process(found.get(parent)).children():
                if parent in found and any(word.endswith("guard.py") for word in child.cmdline()):
                    found[name] = child.pid
    return found


def marked(session: Path) -> list[int]:
    """Living processes of a session's acquisition."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            marked = process.environ().get("OPENSCOPE_RUN", "").startswith(session.name)
            if marked and process.status() != "zombie":
                found.append(process.pid)
    return found


def guard_records(state: Path) -> dict[tuple[str, int], tuple[str, Any]]:
    """What the guards of a state folder have recorded so far."""
    found = {}
    for file in (state / "runs").glob("*/guard.jsonl"):
        with suppress(FileNotFoundError):
            for line in file.read_bytes().rpartition(b"\n")[0].splitlines():
                record = json.loads(line)
                found[file.parent.name, record["seq"]] = (record["name"], record["data"])
    return found


class Crash:
    """One session, one kill, and what came of it."""

    def __init__(self, file: Path, number: int, seed: int) -> None:
        self.file, self.subject = file, f"crash{number}"
        cases = list(product(MOMENTS, VICTIMS))
        random.Random(seed).shuffle(cases)
        self.moment, self.victim = cases[number % len(cases)]
        self.chance = random.Random(f"{seed} {number}")
        self.policy = self.chance.choice(["continue", "continue", "stop"])
        self.state = file.parent / "state"
        self.problems: list[str] = []

    def run(self) -> tuple[int, int]:
        """Carry it out; events acknowledged before the kill, and those of them lost."""
        stopped = {"max_duration_s": 1.0} if self.chance.random() < 0.5 else {}
        if self.moment.endswith(("warned", "stop_requested")):
            stopped = {"max_duration_s": 1.0}
        launcher = start_session(
            self.file,
            self.subject,
            on_launcher_lost=self.policy,
            **stopped,
        )
        processes = self._await_moment(launcher)
        for name in VICTIMS[self.victim]:
            if name in processes:
                with suppress(ProcessLookupError):
                    os.kill(processes[name], signal.SIGKILL)
        if "launcher" in VICTIMS[self.victim]:
            launcher.wait()
        acknowledged, recorded = events(self._session()), guard_records(self.state)
        self._finish(launcher, processes)
        session = self._session()
        if session is None:
            return 0, len(acknowledged)
        lost = self._lost(session, acknowledged, recorded)
        self._check(session)
        return len(acknowledged) + len(recorded), lost

    def _session(self) -> Path | None:
        session = session_of(self.file, self.subject)
        return session if session and (session / "journal.jsonl").is_file() else None

    def _await_moment(self, launcher: subprocess.Popen[bytes]) -> dict[str, int]:
        """Wait for it; returns the processes, which are looked for before, since that takes
        longer than the moment lasts."""
        processes = processes_of(launcher.pid)
        if self.moment == "at random":
            time.sleep(self.chance.uniform(0, 2.5))
            return processes_of(launcher.pid)

        def has_come() -> bool:
            nonlocal processes
            if len(processes) < len(VICTIMS["all three"]):
                processes = processes_of(launcher.pid)
            return self._has_come() or launcher.poll() is not None

        with suppress(TimeoutError):
            wait_for(has_come, 20, 0.0005)
        return processes

    def _has_come(self) -> bool:
        session = session_of(self.file, self.subject)
        if self.moment == "guard ordered":
            return any((self.state / "runs").glob(f"{self.subject}_*/spec.json"))
        if self.moment == "output opened":
            return bool(session and (session / "logs/stderr.log").exists())
        name, _, detail = self.moment.partition(" ")
        if detail == "imported":
            return bool(events(session, name))
        if name in OF_THE_GUARD:  # the launcher takes them over some time later
            word = f'"name":"{name}"'.encode()
            return any(
                word in file.read_bytes()
                for file in (self.state / "runs").glob(f"{self.subject}_*/guard.jsonl")
            )
        return any(
            not detail or detail in event["data"].values() for event in events(session, name)
        )

    def _finish(self, launcher: subprocess.Popen[bytes], processes: dict[str, int]) -> None:
        """Let whoever is left finish; then recover what is still open."""
        left = [pid for name, pid in processes.items() if name not in VICTIMS[self.victim]]
        if launcher.pid in left:
            launcher.wait(60)
        with suppress(TimeoutError):  # one that was killed before it gave its order
            wait_for(lambda: not any(map(psutil.pid_exists, left)), 30, 0.02)
        if (session := self._session()) is None:
            return

        def closed() -> bool:
            subprocess.run([*OPENSCOPE, "recover", str(session)], capture_output=True, check=False)
            return bool(events(session, "session.closed"))

        with suppress(TimeoutError):
            wait_for(closed, 30, 0.2)  # the guard's own recovery may be at work
        alive = marked(session)
        if alive:
            self.problems.append(f"processes {alive} live on")

    def _lost(
        self,
        session: Path,
        acknowledged: list[dict[str, Any]],
        recorded: dict[tuple[str, int], tuple[str, Any]],
    ) -> int:
        found = events(session)
        imported = {
            (event["guard_run"], event["guard_seq"]): (event["name"], event["data"])
            for event in found
            if "guard_run" in event
        }
        by_number = {event["seq"]: event for event in found}
        lost = [event for event in acknowledged if by_number.get(event["seq"]) != event]
        lost_of_guard = [key for key, record in recorded.items() if imported.get(key) != record]
        if lost or lost_of_guard:
            self.problems.append(f"lost {lost} {lost_of_guard}")
        return len(lost) + len(lost_of_guard)

    def _check(self, session: Path) -> None:
        found = events(session)
        names = [event["name"] for event in found]
        if names.count("session.closed") != 1 or names[-1] != "session.closed":
            self.problems.append(f"not closed once: {names}")
            return
        if [event["seq"] for event in found] != list(range(1, len(found) + 1)):
            self.problems.append("the numbers of its events have a gap")
        self._check_manifest(session)
        if "acquisition.started" in names:
            self._check_output(
                session, stopped="acquisition.stop_requested" in names or self.policy == "stop"
            )

    def _check_manifest(self, session: Path) -> None:
        listed = json.loads((session / "manifest.json").read_bytes())["files"]
        there = {
            str(path.relative_to(session)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in session.rglob("*")
            if path.is_file() and path.name not in ("manifest.json", "journal.jsonl")
        }
        if there != {name: entry["sha256"] for name, entry in listed.items()}:
            self.problems.append("the manifest is not true")

    def _check_output(self, session: Path, *, stopped: bool) -> None:
        *printed, last = (session / "logs/stdout.log").read_text().split() or [""]
        counts = session / "counts.txt"
        counted = counts.read_text().split() if counts.exists() else []
        whole = last == "finished" and len(printed) == LINES
        # It may be asked before it listens.
        if not whole and not (stopped and (last == "asked" or not printed)):
            self.problems.append(f"the output ends with {last!r} after {len(printed)} lines")
        if printed != [str(n) for n in range(len(printed))] or counted[: len(printed)] != printed:
            self.problems.append("the output has a gap")


def crash(number: int, seed: int) -> tuple[str, int, int, list[str]]:
    """One kill in a place of its own: what was killed, events, events lost, problems."""
    step = {"module_path": "disk_space_check", "module_parameters": {"required_free_gb": 0.1}}
    with experiment(
        [sys.executable, "-c", CHILD],
        rig_id=f"rig{number}",
        resource_log_interval=0.2,
        pre_acquisition_pipeline=[step],
        post_acquisition_pipeline=[step],
    ) as file:
        one = Crash(file, number, seed)
        acknowledged, lost = one.run()
    what = f"{one.victim}, {one.moment}"
    return one.victim, acknowledged, lost, [f"{what}: {problem}" for problem in one.problems]


def sessions(kills: int, workers: int, seed: int) -> bool:
    """Kill the processes of one session after another, each at another moment."""
    with ProcessPoolExecutor(workers) as pool:
        done = list(pool.map(crash, range(kills), repeat(seed)))
    victims = Counter(victim for victim, *_ in done)
    acknowledged, lost = (sum(one[n] for one in done) for n in (1, 2))
    problems = [problem for *_, found in done for problem in found]
    for problem in problems:
        print("  " + problem)
    print(
        f"crashpoints: {kills} kills ({', '.join(f'{n} of {who}' for who, n in victims.items())}), "
        f"{acknowledged} acknowledged events, {lost} lost, {len(problems)} problems (seed {seed}): "
        f"{'ok' if not problems else 'NOT AS REQUIRED'}"
    )
    return not problems


def writers(lives: int, wanted: int) -> bool:
    """Kill a process that writes milestones, again and again over the same journal."""
    kills, acknowledged = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        journal = Path(name, "journal.jsonl")
        while kills < lives or acknowledged.total() < wanted:
            acknowledged[str(kills)] = one_life(journal, str(kills))
            kills += 1
        found = events(Path(name))
    written = Counter(event["data"]["by"] for event in found)
    each = {(event["data"]["by"], int(event["data"]["text"])) for event in found}
    lost = sum((life, n) not in each for life, most in acknowledged.items() for n in range(most))
    in_order = [event["seq"] for event in found] == list(range(1, len(found) + 1))
    ok = lost == 0 and in_order and written.total() == len(each)
    print(
        f"crashpoints: {kills} kills of a journal's writer, {acknowledged.total()} acknowledged "
        f"milestones, {lost} lost: {'ok' if ok else 'NOT AS REQUIRED'}"
    )
    return ok


def one_life(journal: Path, life: str) -> int:
    """Let a writer write, and kill it; how many events it acknowledged."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(journal), life], stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(random.uniform(0, 0.2))
        writer.kill()
        return len((first + writer.stdout.read()).rpartition(b"\n")[0].splitlines())


def main(kills: int = 200, workers: int = 2, seed: int | None = None) -> bool:
    wanted = 10_000 if kills >= 200 else 50 * kills
    seed = random.randrange(1_000_000) if seed is None else seed
    return all([writers(kills // 2, wanted), sessions(kills, workers, seed)])


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
