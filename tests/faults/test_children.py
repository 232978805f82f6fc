"""Acquisitions that hang, flood, fork without end, or print what no terminal should see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faults.running import OPENSCOPE, Running, is_gone, peak_mb, processes_with, wait_for
from openscope_experimental_launcher.session.record import read_record

Begin = Callable[..., Running]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Experiment = Callable[..., Path]


# -- 15: silent or hung ----------------------------------------------------------------------------

HUNG = """
import signal, sys, time
def end(*_): print("asked", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
for _ in range({seconds} * 20): time.sleep(0.05)
"""


def test_a_hang_is_told_and_nothing_done_by_default(begin: Begin) -> None:
    session = begin(HUNG.format(seconds=2), hang_timeout_s=1)
    assert session.closed()["outcome"] == "completed"
    (warned,) = session.events("acquisition.warned")
    assert warned["about"] == "hang_timeout_s" and "No output" in warned["message"]
    session.launcher.wait(60)  # it tells what the journal has a little later
    assert "No output" in (session.data.parent / "launcher.txt").read_text("utf-8")


def test_a_hang_is_stopped_where_the_policy_says_so(begin: Begin) -> None:
    session = begin(HUNG.format(seconds=60), hang_timeout_s=1, on_hang="stop")
    closed = session.closed()
    assert closed["outcome"] == "killed" and "No output" in closed["reason"]
    assert session.output() == "ready\nasked\n"
    assert session.event("acquisition.stop_requested")["limit"] == "hang_timeout_s"


GROWS = """
import os, pathlib, time
video = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "videos", "eye.avi")
video.parent.mkdir()
with video.open("wb", buffering=0) as out:
    for _ in range(20): out.write(b"frame"); time.sleep(0.1)
time.sleep({rest})
"""


def test_a_file_that_grows_is_a_sign_of_life(begin: Begin) -> None:
    session = begin(GROWS.format(rest=0), hang_timeout_s=1, on_hang="stop")
    assert session.closed()["outcome"] == "completed"
    assert session.events("acquisition.warned") == []


def test_a_file_that_grows_no_more_is_none(begin: Begin) -> None:
    session = begin(GROWS.format(rest=60), hang_timeout_s=1, on_hang="stop")
    closed = session.closed()
    assert closed["outcome"] == "killed" and "no growing file" in closed["reason"]
    assert 2.9 < session.event("acquisition.ended")["duration_s"] < 7
    (warned,) = session.events("acquisition.warned")
    assert "is stopped" in warned["message"]


def test_what_prints_now_and_then_does_not_hang(begin: Begin) -> None:
    script = "import time\nfor n in range(6): print(n, flush=True); time.sleep(0.4)\n"
    session = begin(script, hang_timeout_s=1.2, on_hang="stop")
    assert session.closed()["outcome"] == "completed"
    assert session.events("acquisition.warned") == []


# -- 18: forking without end -----------------------------------------------------------------------

PIDS = Path("/sys/fs/cgroup/pids"), Path("/sys/fs/cgroup")
NOBODY = 61234
"""A user without processes, whose number of them can be limited alone."""


@contextmanager
def few(most: int) -> Iterator[Path]:
    """A control group that has so many processes at most; its members are killed at the end."""
    root = next((path for path in PIDS if (path / "cgroup.procs").is_file()), None)
    group = (root or Path("/nowhere")) / f"openscope-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "pids.max").write_text(str(most))
    except OSError as error:
        pytest.skip(f"no control group that limits processes can be made here: {error}")
    yield group
    members = group / "cgroup.procs"
    for pid in members.read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: not members.read_text())
    group.rmdir()


@pytest.fixture(params=["control group", "user"])
def joins_few(request: pytest.FixtureRequest) -> Iterator[str]:
    """Python lines by which a process joins those of whom there are 150 at most; without such a
    limit, a test of forking without end would take the machine down."""
    if request.param == "user":
        if os.geteuid() != 0:
            pytest.skip("the processes of another user can be limited by root only")
        limit = f"resource.setrlimit(resource.RLIMIT_NPROC, (150, 150)); os.setuid({NOBODY})"
        yield f"import resource; os.setgid({NOBODY}); {limit}"
        return
    with few(150) as group:
        yield f"open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"


FORKS = """
import os, time
time.sleep(1)  # the guard brings it into its own bound first, which takes a moment
{joins_few}
print("ready", flush=True)
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: time.sleep(0.001)
"""


def test_forking_without_end_is_held_and_swept(begin: Begin, joins_few: str) -> None:
    script = FORKS.format(joins_few=joins_few)
    # Should it be brought into the guard's own bound after all, that is 800.
    session = begin(script, max_duration_s=4, stop_grace_s=0.5, max_processes=200)
    assert session.closed()["outcome"] == "killed"
    assert max(sample["processes"] for sample in session.events("acquisition.sampled")) > 100
    assert session.event("acquisition.ended")["left_over"] == []
    assert processes_with(session.cookie()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="bounds the processes of another user, as root")
def test_too_many_processes_are_ended_and_the_system_holds_them_till_then(begin: Begin) -> None:
    # Should the bound not hold, the user's own does: 150.
    limit = f"resource.setrlimit(resource.RLIMIT_NPROC, (150, 150)); os.setuid({NOBODY})"
    forks = FORKS.format(joins_few=f"import resource; os.setgid({NOBODY}); {limit}")
    session = begin(forks, max_processes=10)
    closed = session.closed()
    assert closed["outcome"] == "killed" and "at most 10 are allowed" in closed["reason"]
    assert session.event("acquisition.stop_requested")["limit"] == "max_processes"
    samples = session.events("acquisition.sampled")
    assert all(sample["processes"] <= 40 for sample in samples)
    assert session.event("acquisition.ended")["left_over"] == []
    assert processes_with(session.cookie()) == []
    assert not any(Path("/sys/fs/cgroup").glob(f"**/openscope-{session.cookie()}"))


COMETS = """
import os
print("ready", flush=True)
for _ in range({several}):
    if os.fork() == 0: break
while True:
    if os.fork(): os._exit(0)
"""


@pytest.mark.parametrize("several", [0, 4])
def test_what_moves_on_from_process_to_process_is_swept(begin: Begin, several: int) -> None:
    session = begin(COMETS.format(several=several))
    session.closed()
    ended = session.event("acquisition.ended")
    assert ended["exit_code"] == 0 and ended["left_over"] == []
    assert processes_with(session.cookie()) == []


# -- 49: no process or thread left -----------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 4, 6, 8])
def test_a_system_without_room_for_a_process_is_told_and_nothing_lost(
    most: int, workplace: Path, openscope: Openscope
) -> None:
    given = {"subject_id": "614173", "user_id": "Frieda", "OutputFolder": str(workplace / "data")}
    file = workplace / "params.json"
    file.write_text(json.dumps({**given, "launcher": "command", "command": ["sleep", "0.2"]}))
    with few(most) as group:
        join = f"echo $$ > '{group}/cgroup.procs' && exec \"$@\""
        done = subprocess.run(
            ["sh", "-c", join, "sh", *OPENSCOPE, "run", str(file), "--yes"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        wait_for(lambda: not (group / "cgroup.procs").read_text())
        assert list(group.glob("openscope-*")) == []
    assert "Traceback" not in done.stderr and "unexpected" not in done.stderr
    assert done.returncode == 1 or most > 5, done.stdout
    if done.returncode == 1:
        assert "no process, thread or memory left" in done.stderr
    openscope("recover", str(workplace / "data"))
    for journal in workplace.glob("data/*/journal.jsonl"):
        assert read_record(journal).closed is not None


# -- 22: bytes that are no text --------------------------------------------------------------------


def test_hostile_bytes_are_stored_as_they_came_and_shown_safely(
    begin: Begin, openscope: Openscope
) -> None:
    hostile = b"\xff\xfe\x00nul \x1b[2J\x1b]0;title\x07 \xc3\x28 \xed\xa0\x80\r\x9b31m end\n"
    session = begin(f"import os\nos.write(1, {hostile!r})\nos.write(2, bytes(range(256)))\n")
    assert session.closed()["outcome"] == "completed"
    session.launcher.wait(60)
    assert (session.folder / "logs/stdout.log").read_bytes() == hostile
    assert (session.folder / "logs/stderr.log").read_bytes() == bytes(range(256))
    shown = (session.data.parent / "launcher.txt").read_bytes()
    assert b" end" in shown
    assert not set(shown.decode("utf-8")) & set(map(chr, [*range(9), *range(11, 32), 127, 0x9B]))


# -- 23: a line without end, a flood ---------------------------------------------------------------

FLOOD = """
import os, time
print("ready", flush=True)
time.sleep(0.5)
block = {block}
for _ in range({blocks}):
    left = block
    while left: left = left[os.write(1, left):]
time.sleep(0.7)
os.write(1, b"END")
time.sleep(1)
"""


@pytest.mark.parametrize(
    ("block", "blocks"),
    [
        ("b'x' * 1_048_576", 1024),
        ("b'a line of some length, as they are printed\\n' * 23256", 200),
    ],
    ids=["a line of 1 GiB", "many lines"],
)
def test_a_flood_is_kept_whole_in_flat_memory(begin: Begin, block: str, blocks: int) -> None:
    session = begin(FLOOD.format(block=block, blocks=blocks))
    session.says("ready")
    guard, launcher = session.guard(), session.launcher.pid
    before = peak_mb(guard), peak_mb(launcher)
    log = session.folder / "logs/stdout.log"
    expected = len("ready\n") + blocks * len(eval(block)) + len("END")
    wait_for(lambda: log.stat().st_size == expected)
    assert peak_mb(guard) - before[0] < 5
    assert peak_mb(launcher) - before[1] < 25
    assert session.closed(30)["outcome"] == "completed"
    with log.open("rb") as stream:
        stream.seek(-3, os.SEEK_END)
        assert stream.read() == b"END"
    manifest = json.loads((session.folder / "manifest.json").read_bytes())
    assert manifest["files"]["logs/stdout.log"]["size"] == expected
    assert is_gone(guard)
    log.unlink()
