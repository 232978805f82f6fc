"""What the benchmarks share: a pinned command experiment, interleaved runs, medians and ratios."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
OPENSCOPE = [sys.executable, "-m", "openscope_experimental_launcher"]
_GIT = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]


def git(folder: Path, *arguments: str) -> str:
    """Run git; returns what it says."""
    done = subprocess.run(
        [*_GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@contextmanager
def experiment(command: list[str], **values: object) -> Iterator[Path]:
    """A parameter file of a command whose repository is present at its commit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["OPENSCOPE_STATE_DIRECTORY"] = str(folder / "state")
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        # Byte code is cached on any machine that runs a program twice.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        repository = folder / "repository"
        repository.mkdir()
        (repository / "README").write_text("bench")
        for arguments in (["init", "-q", "."], ["add", "."], ["commit", "-qm", "bench"]):
            git(repository, *arguments)
        commit = git(repository, "rev-parse", "HEAD")
        parameters = {
            "launcher": "command",
            "command": command,
            "repository_url": str(repository),
            "repository_commit_hash": commit,
            "local_repository_path": str(folder / "checkouts"),
            "OutputFolder": str(folder / "data"),
            "user_id": "bench",
            # Made afterwards, while the next run is timed.
            "session_report": False,
            "session_metadata": False,
            **values,
        }
        file = folder / "bench.json"
        file.write_text(json.dumps(parameters))
        yield file


def run_session(
    file: Path, subject: str, launcher: Sequence[str] = OPENSCOPE
) -> tuple[float, float, Path]:
    """Run one session; returns its monotonic start and end, and its folder."""
    start = time.monotonic()
    subprocess.run(
        [*launcher, "run", str(file), "--yes", "--subject", subject],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    end = time.monotonic()
    (folder,) = (file.parent / "data").glob(f"{subject}_*")
    return start, end, folder


def made_afterwards(folder: Path) -> bool:
    """Whether what is made of a closed session afterwards is made, and sealed with it."""
    return (folder / "report.html").is_file() and len(events(folder, "session.closed")) == 2


def start_session(file: Path, subject: str, **values: object) -> subprocess.Popen[bytes]:
    """A launcher that runs a session, with other values than its file's; it is not waited for."""
    settings = [f"--set={key}={json.dumps(value)}" for key, value in values.items()]
    return subprocess.Popen(
        [*OPENSCOPE, "run", str(file), "--yes", "--subject", subject, *settings],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], T], seconds: float = 60, every_s: float = 0.001) -> T:
    """Wait until something is so, and give it back."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come")
        time.sleep(every_s)
    return found


def events(session: Path | None, name: str = "") -> list[dict[str, Any]]:
    """The whole events of a session's journal so far, those of one name or all."""
    journal = session / "journal.jsonl" if session else None
    if journal is None or not journal.is_file():
        return []
    whole = journal.read_bytes().rpartition(b"\n")[0]
    found = [json.loads(line) for line in whole.splitlines() if line]
    return [event for event in found if name in ("", event["name"])]


def session_of(file: Path, subject: str) -> Path | None:
    """The folder of a subject's one session, once it is there."""
    return next((file.parent / "data").glob(f"{subject}_*"), None)


def started(file: Path, subject: str) -> tuple[Path, dict[str, Any]]:
    """Wait for a session's acquisition; its folder, and the data of `acquisition.started`."""
    folder = wait_for(lambda: session_of(file, subject))
    return folder, wait_for(lambda: events(folder, "acquisition.started"))[0]["data"]


def interleaved(runs: int, *measures: Callable[[int], float]) -> list[list[float]]:
    """`runs` values of each measure, taken in turn after one round that is not counted."""
    values: list[list[float]] = [[] for _ in measures]
    for number in range(-1, runs):
        for kept, measure in zip(values, measures, strict=True):
            value = measure(number)
            if number >= 0:
                kept.append(value)
    return values


def report(name: str, value_s: list[float], floor_s: list[float], limit: float) -> bool:
    """Print medians and their ratio; returns whether it is within the limit."""
    value, floor = statistics.median(value_s), statistics.median(floor_s)
    ratio = value / floor
    verdict = "ok" if ratio <= limit else "ABOVE ITS LIMIT"
    print(
        f"{name}: {1000 * value:.1f} ms against a floor of {1000 * floor:.1f} ms, "
        f"ratio {ratio:.2f} (limit {limit:g}), {len(value_s)} interleaved runs: {verdict}"
    )
    return ratio <= limit


def stamp_program(folder: Path) -> list[str]:
    """A compiled program that prints the monotonic time of its first instruction."""
    source = folder / "stamp.c"
    source.write_text(
        "#include <stdio.h>\n#include <time.h>\nint main(void){struct timespec t;"
        'clock_gettime(CLOCK_MONOTONIC,&t);printf("%ld.%09ld\\n",(long)t.tv_sec,t.tv_nsec);'
        "return 0;}\n"
    )
    subprocess.run(["cc", "-O2", str(source), "-o", str(folder / "stamp")], check=True)
    return [str(folder / "stamp")]
