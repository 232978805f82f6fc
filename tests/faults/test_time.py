"""Power that is cut, and clocks that jump."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.running import Running
from openscope_experimental_launcher.recovery import look_at, recover
from openscope_experimental_launcher.session.folder import SessionFolder

Begin = Callable[..., Running]

# -- 4: power lost at any byte ---------------------------------------------------------------------


def test_a_session_cut_at_any_byte_is_recovered(begin: Begin, tmp_path: Path) -> None:
    session = begin("print('ran')")
    session.closed()
    session.launcher.wait(60)
    whole = (session.folder / "journal.jsonl").read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    chance = random.Random(11)
    cuts = {0, *(end + by for end in ends for by in (-1, 0, 1) if end + by <= len(whole))}
    cuts |= {chance.randrange(len(whole)) for _ in range(200)}
    for cut in sorted(cuts):
        copy = tmp_path / "cut" / session.folder.name
        shutil.copytree(session.folder, copy)
        folder = SessionFolder(copy)
        folder.journal.write_bytes(whole[:cut])
        acknowledged = whole[: max((end for end in ends if end <= cut), default=0)]
        state = look_at(folder).state
        assert state == ("closed" if cut >= len(whole) - 1 else "interrupted"), cut
        record = recover(folder)
        assert record.closed is not None and record.sealed is not None, cut
        after = folder.journal.read_bytes()
        assert after.startswith(acknowledged)
        names = [
            json.loads(line)["name"]
            for line in after[len(acknowledged) :].splitlines()
            if _is_whole(line)
        ]
        assert (names.count("session.closed"), names[-1:]) in ((1, ["session.closed"]), (0, [])), (
            cut
        )
        manifest = json.loads(folder.manifest.read_bytes())
        assert manifest["outcome"] == record.outcome
        shutil.rmtree(copy)


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


# -- 42: the clock jumps ---------------------------------------------------------------------------

SHIFTED_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    const char *name = getenv("SHIFT_FILE");
    FILE *file = clock == CLOCK_REALTIME && name ? fopen(name, "r") : NULL;
    long shift;
    if (file) {
        if (fscanf(file, "%ld", &shift) == 1) now->tv_sec += shift;
        fclose(file);
    }
    return result;
}
"""


@pytest.fixture
def shifted_clock(tmp_path: Path) -> tuple[Path, Path]:
    """A library under which the wall clock can be set, alone, and the file that says how far."""
    if sys.platform != "linux" or shutil.which("cc") is None:
        pytest.skip("a clock of its own needs a C compiler on Linux")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(SHIFTED_CLOCK)
    command = ["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True)
    return library, tmp_path / "shift"


@pytest.mark.parametrize("shift_s", [7200, -7200])
def test_a_clock_that_jumps_is_noted_and_moves_no_limit(
    begin: Begin, shifted_clock: tuple[Path, Path], shift_s: int
) -> None:
    library, shift = shifted_clock
    script = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"
    session = begin(
        script,
        max_duration_s=2.5,
        hang_timeout_s=30,
        on_hang="stop",
        env={"LD_PRELOAD": str(library), "SHIFT_FILE": str(shift)},
    )
    session.says("ready")
    began = time.monotonic()
    shift.write_text(str(shift_s))
    closed = session.closed()
    assert 1 < time.monotonic() - began < 8
    assert closed["outcome"] == "killed" and "maximum duration" in closed["reason"]
    (jump,) = session.events("clock.jumped")
    assert abs(jump["by_s"] - shift_s) < 2
    assert 2.4 < session.event("acquisition.ended")["duration_s"] < 6
    assert [event["seq"] for event in session.events()] == list(range(1, len(session.events()) + 1))


def test_daylight_saving_that_begins_meanwhile_changes_the_offset_alone(begin: Begin) -> None:
    from datetime import UTC, datetime, timedelta

    # A zone whose summer begins some seconds from now (POSIX's way of writing one).
    change = datetime.now(UTC) + timedelta(seconds=6)
    day, clock = change.timetuple().tm_yday - 1, change.strftime("%H:%M:%S")
    zone = f"WIN0SUM-1,{day}/{clock},{(day + 100) % 365}/0"
    script = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"
    session = begin(script, max_duration_s=9, env={"TZ": zone})
    assert session.closed()["outcome"] == "killed"
    assert 8.9 < session.event("acquisition.ended")["duration_s"] < 15
    assert session.events("clock.jumped") == []
    times = [datetime.fromisoformat(event["time"]) for event in session.events()]
    offsets = [at.utcoffset() for at in times]
    assert offsets[0] == timedelta(0) and offsets[-1] == timedelta(hours=1)
    samples = [
        datetime.fromisoformat(event["time"])
        for event in session.events()
        if event["name"] == "acquisition.sampled"
    ]
    steps = [(b - a).total_seconds() for a, b in itertools.pairwise(samples)]
    assert all(0 < step < 10 for step in steps)


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Kolkata", "UTC"])
def test_every_time_has_its_offset(begin: Begin, zone: str) -> None:
    from datetime import datetime

    session = begin("print('ran')", env={"TZ": zone})
    session.closed()
    now = datetime.now().astimezone()
    for event in session.events():
        at = datetime.fromisoformat(event["time"])
        assert at.tzinfo is not None and abs((now - at).total_seconds()) < 60, event
