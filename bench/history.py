"""The history of 100,000 sessions: listing, filtering and searching words, each against the bare
SQL for the same sessions on the same file; looking back at a subject before a run; and making the
history again from 1,000 session folders.

The searches are made in one process; the whole command, with the start of Python, is printed too.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common import OPENSCOPE, experiment, interleaved, report, run_session

from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.base.options import RunOptions
from openscope_experimental_launcher.plan import Plan
from openscope_experimental_launcher.session.index import (
    History,
    Query,
    open_history,
    sessions_below,
    write,
)
from openscope_experimental_launcher.session.summary import Described, describe
from openscope_experimental_launcher.session.surprises import look_back

LIMIT, LOOK_BACK_S = 4.0, 0.1
SESSIONS, FOLDERS, SUBJECTS = 100_000, 1_000, 500
_FIRST = datetime(2020, 1, 6, 9, 0, tzinfo=UTC)
_SAMPLE = (
    '{"seq":9,"time":"2026-03-14T10:30:00.000+00:00","mono":1.0,"name":"acquisition.sampled","data":'
    '{"elapsed_s":1.0,"memory_mb":412.5,"cpu_s":0.7,"processes":2,"system_percent":31.0,'
    '"disk_free_mb":900000,"stdout_bytes":20,"stderr_bytes":0}}\n'
)
_OUTCOMES = ("completed",) * 16 + ("failed", "aborted", "killed", "lost")
_WORDS = [
    f"{word}{ending}"
    for word in ("camera", "laser", "lick", "mouse", "pump", "pupil", "screen", "spout", "wheel")
    for ending in ("", "s", "less", "like", "ward")
]


def main(runs: int = 15) -> bool:
    """Print the figures; returns whether all are within their limits."""
    with experiment(["true"], rig_id="BEH.C", script_parameters={"reward": 3}) as file:
        _, _, like = run_session(file, "600007")
        plan = _plan(file)
        root = file.parent / "many"
        rebuilt = _rebuild(like, root)
        with open_history() as history:
            _fill(history, root)
            return all([rebuilt, *_searches(history, runs), _look_back(plan, runs)])


def _plan(file: Path) -> Plan:
    asked = {"subject_id": "600007", "script_parameters.reward": 99}
    loaded = BaseExperiment(RunOptions(overrides=asked))
    loaded.load_parameters(file)
    return loaded.make_plan()


# 1,000 folders


def _rebuild(like: Path, root: Path) -> bool:
    """Make the history from copies of a real session, with two hours of samples in its journal."""
    lines = (like / "journal.jsonl").read_text().splitlines(keepends=True)
    sample = next((line for line in lines if "acquisition.sampled" in line), _SAMPLE)
    journal = "".join([*lines[:-3], *([sample] * 7200), *lines[-3:]])
    for number in range(FOLDERS):
        began = _FIRST - timedelta(hours=number + 1)
        folder = root / f"{600_000 + number % SUBJECTS}_{began:%Y-%m-%d_%H-%M-%S}"
        shutil.copytree(like, folder)
        (folder / "journal.jsonl").write_text(journal.replace(like.name, folder.name))
    said: list[int] = []
    begin = time.perf_counter()
    with open_history(lambda done, _: said.append(done)) as history:
        number = history.add_root(root)
    taken = time.perf_counter() - begin
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    print(
        f"made from {number:,} folders of {size / number / 1e6:.1f} MB in {taken:.1f} s, "
        f"told how far it was {len(said):,} times"
    )
    return number == FOLDERS == max(said)


# 100,000 sessions


def _fill(history: History, root: Path) -> None:
    begin = time.monotonic()
    with closing(sqlite3.connect(history.path, isolation_level=None)) as db:
        sessions = _described(root)
        while write(db, [session for _, session in zip(range(1000), sessions, strict=False)]):
            pass
    number, size = history.count(), history.path.stat().st_size
    taken = time.monotonic() - begin
    print(f"index of {number:,} sessions: {size / 1e6:.0f} MB, written in {taken:.0f} s")


def _described(root: Path) -> Iterator[Described]:
    chance = random.Random(7)
    like = describe(sessions_below(root)[0])
    assert like is not None
    for number in range(SESSIONS - FOLDERS):
        began = _FIRST + timedelta(minutes=30 * number)
        subject = str(600_000 + chance.randrange(SUBJECTS))
        name = f"{subject}_{began:%Y-%m-%d_%H-%M-%S}"
        outcome = chance.choice(_OUTCOMES)
        summary = like.summary._replace(
            folder=str(root / name),
            name=name,
            subject=subject,
            rig=f"BEH.{chance.choice('ABCDEFGH')}",
            outcome=outcome,
            reason="" if outcome == "completed" else _sentence(chance),
            began=began.isoformat(),
            began_s=began.timestamp(),
            code=f"{chance.randrange(40):040x}",
        )
        words = "\n".join((name, subject, summary.rig, outcome, summary.code, _sentence(chance)))
        parameters = {**like.parameters, "script_parameters.reward": 30}
        yield Described(summary, words, parameters, 4096)


def _sentence(chance: random.Random) -> str:
    return " ".join(chance.choices(_WORDS, k=8))


def _searches(history: History, runs: int) -> Iterator[bool]:
    since = (_FIRST + timedelta(days=1500)).timestamp()
    newest = "ORDER BY began_s DESC, id DESC"
    failed = f"rig = 'BEH.C' COLLATE NOCASE AND outcome = 'failed' AND began_s >= {since}"
    words = "id IN (SELECT rowid FROM words WHERE words MATCH 'pump* camera*')"
    asked: dict[str, tuple[Query, str]] = {
        "list the newest 25": (Query(limit=25), f"{newest} LIMIT 25"),
        "list all": (Query(), newest),
        "one subject's": (Query("600007"), f"WHERE subject = '600007' COLLATE NOCASE {newest}"),
        "failed on a rig since": (
            Query(rig="BEH.C", outcome="failed", since_s=since, limit=25),
            f"WHERE {failed} {newest} LIMIT 25",
        ),
        "words": (Query(text="pump camera", limit=25), f"WHERE {words} {newest} LIMIT 25"),
    }
    with closing(sqlite3.connect(history.path)) as db:
        for name, (query, sql) in asked.items():
            bare = f"SELECT * FROM sessions {sql}"
            found = history.find(query)
            assert len(found) == len(db.execute(bare).fetchall()) > 0
            with_history = _timed(lambda q=query: history.find(q))
            value, floor = interleaved(
                runs, with_history, _timed(lambda b=bare: db.execute(b).fetchall())
            )
            yield report(f"{name} ({len(found):,} found)", value, floor, LIMIT)
    whole = min(_timed(_command)(0) for _ in range(3))
    print(f"openscope sessions --text 'pump camera', the whole command: {1000 * whole:.0f} ms")


def _look_back(plan: Plan, runs: int) -> bool:
    """What the confirmation before a run waits for."""
    taken = []
    for _ in range(runs):
        begin = time.perf_counter()
        found = look_back(plan, within_s=60)
        taken.append(time.perf_counter() - begin)
        assert found is not None and found.last is not None
        assert any("reward" in surprise.message for surprise in found.surprises)
    middle = statistics.median(taken)
    verdict = "ok" if middle <= LOOK_BACK_S else "ABOVE ITS LIMIT"
    limit = f"limit {1000 * LOOK_BACK_S:.0f} ms"
    print(f"looking back before a run: {1000 * middle:.0f} ms ({limit}): {verdict}")
    return middle <= LOOK_BACK_S


def _command() -> None:
    asked = [*OPENSCOPE, "sessions", "--text", "pump camera"]
    subprocess.run(asked, check=True, stdout=subprocess.DEVNULL)


def _timed(work: Callable[[], Any]) -> Callable[[int], float]:
    def seconds(_: int) -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return seconds


if __name__ == "__main__":
    sys.exit(not main())
