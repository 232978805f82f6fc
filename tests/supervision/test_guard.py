"""The guard: output, exit, stopping, limits, strays, a lost launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from openscope_experimental_launcher.engines import Ask
from openscope_experimental_launcher.errors import EngineError
from openscope_experimental_launcher.supervision.supervisor import Acquisition

Guarded = Callable[..., Acquisition]
SessionOf = Callable[[Acquisition], Path]

STUBBORN = """
import signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
print("ready")
while True: time.sleep(1)
"""
POLITE = """
import signal, sys, time
def end(*_):
    print("saving"); time.sleep(0.2); print("saved"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready")
while True: time.sleep(0.05)
"""


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def says(session: Path, text: str) -> Callable[[], bool]:
    """Whether the acquisition has printed `text`."""
    return lambda: text in (session / "stdout.log").read_text()


def named(acquisition: Acquisition, name: str) -> list[dict[str, Any]]:
    """The records of one name so far."""
    return [record["data"] for record in acquisition.new_records() if record["name"] == name]


@pytest.mark.parametrize("code", [0, 3, 255])
def test_the_exit_code_is_the_true_one(guarded: Guarded, code: int) -> None:
    acquisition = guarded(f"raise SystemExit({code})")
    assert acquisition.wait(60) == code
    assert acquisition.ended is not None and acquisition.ended["stop"] is None


def test_a_death_by_signal_is_told_as_one(guarded: Guarded) -> None:
    acquisition = guarded("import os; os.abort()")
    assert acquisition.wait(60) == -signal.SIGABRT
    assert acquisition.ended is not None and acquisition.ended["signal"] == signal.SIGABRT


def test_a_program_that_is_not_there(guarded: Guarded) -> None:
    with pytest.raises(EngineError, match="No such file"):
        guarded(["/nowhere/to be found"])


def test_output_is_stored_byte_for_byte(guarded: Guarded, session_of: SessionOf) -> None:
    acquisition = guarded(
        "import os; os.write(1, b'\\xff\\x00\\x1b[2J\\n'); os.write(2, bytes(range(256)))"
    )
    acquisition.wait(60)
    assert (session_of(acquisition) / "stdout.log").read_bytes() == b"\xff\x00\x1b[2J\n"
    assert (session_of(acquisition) / "stderr.log").read_bytes() == bytes(range(256))
    offset, when = (session_of(acquisition) / "stdout.times").read_text().split()
    assert offset == "7" and abs(float(when) - time.time()) < 60


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "stdout.log").symlink_to(victim)
    with pytest.raises(EngineError, match="exists"):
        _start_in(tmp_path)
    assert victim.read_text() == "precious"


def _start_in(folder: Path) -> None:
    from openscope_experimental_launcher.engines import Launch
    from openscope_experimental_launcher.supervision.supervisor import guard_spec

    spec = guard_spec(
        Launch(("/bin/echo", "overwritten"), "/"),
        session_folder=folder,
        stdout=folder / "stdout.log",
        stderr=folder / "stderr.log",
        limits={},
        watching={"sample_interval_s": 1, "on_launcher_lost": "continue", "unattended_minutes": 1},
    )
    Acquisition.start(folder / "run", spec, dict(os.environ))


def test_a_polite_child_is_asked_once_and_saves(guarded: Guarded, session_of: SessionOf) -> None:
    acquisition = guarded(POLITE)
    wait_for(says(session_of(acquisition), "ready"))
    for _ in range(3):
        acquisition.request_stop("operator", "enough")
    assert acquisition.wait(60) == 0
    assert (session_of(acquisition) / "stdout.log").read_text() == "ready\nsaving\nsaved\n"
    assert acquisition.ended is not None
    assert acquisition.ended["stop"]["by"] == "operator" and not acquisition.ended["killed"]


def test_a_stubborn_child_is_killed_when_the_grace_is_over(
    guarded: Guarded, session_of: SessionOf
) -> None:
    acquisition = guarded(STUBBORN, stop_grace_s=1.0)
    wait_for(says(session_of(acquisition), "ready"))
    began = time.monotonic()
    acquisition.request_stop("operator", "enough")
    assert acquisition.wait(60) == -signal.SIGKILL
    assert 0.9 < time.monotonic() - began < 4
    assert acquisition.ended is not None and acquisition.ended["killed"]


def test_a_kill_does_not_wait_for_the_grace(guarded: Guarded, session_of: SessionOf) -> None:
    acquisition = guarded(STUBBORN, stop_grace_s=60.0)
    wait_for(says(session_of(acquisition), "ready"))
    acquisition.request_stop("operator", "enough")
    acquisition.request_kill("operator", "now")
    began = time.monotonic()
    assert acquisition.wait(60) == -signal.SIGKILL
    assert time.monotonic() - began < 3


def test_a_stop_file_is_how_some_are_asked(
    guarded: Guarded, session_of: SessionOf, tmp_path: Path
) -> None:
    stop_file = tmp_path / "please stop"
    program = f"""
import pathlib, time
print("ready")
while not pathlib.Path({str(stop_file)!r}).exists(): time.sleep(0.02)
print("ended by itself")
"""
    acquisition = guarded(program, ask=Ask("stop_file", stop_file=str(stop_file)))
    wait_for(says(session_of(acquisition), "ready"))
    acquisition.request_stop("operator", "enough")
    assert acquisition.wait(60) == 0
    assert says(session_of(acquisition), "ended by itself")()


def test_a_stopped_child_is_flagged_and_can_still_save(
    guarded: Guarded, session_of: SessionOf
) -> None:
    acquisition = guarded(POLITE)
    wait_for(says(session_of(acquisition), "ready"))
    os.kill(acquisition.pid, signal.SIGSTOP)
    wait_for(lambda: named(acquisition, "acquisition.warned"))
    acquisition.request_stop("operator", "enough")
    assert acquisition.wait(60) == 0
    assert says(session_of(acquisition), "saved")()


def test_what_tries_to_get_away_is_swept(guarded: Guarded, session_of: SessionOf) -> None:
    program = """
import os, signal, sys, time
stay = "import time; time.sleep(600)"
if os.fork() == 0:
    os.setsid()
    [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]
    if os.fork(): os._exit(0)
    print("stray", os.getpid(), flush=True)
    os.execve(sys.executable, [sys.executable, "-c", stay], {})
time.sleep(0.5)
"""
    acquisition = guarded(program)
    assert acquisition.wait(60) == 0
    stray = int((session_of(acquisition) / "stdout.log").read_text().split()[1])
    assert not psutil.pid_exists(stray)
    assert acquisition.ended is not None and acquisition.ended["strays"] >= 1


def test_a_grandchild_that_keeps_the_output_open_is_not_waited_for(guarded: Guarded) -> None:
    acquisition = guarded("import subprocess; subprocess.Popen(['sleep', '600'])")
    began = time.monotonic()
    assert acquisition.wait(60) == 0
    assert time.monotonic() - began < 5


def test_a_memory_runaway_is_killed_within_half_a_second(guarded: Guarded) -> None:
    program = """
import time
kept = []
while True:
    kept.append(bytearray(b"x" * 5_000_000)); time.sleep(0.15)
"""
    acquisition = guarded(program, limits={"memory_limit_mb": 150})
    acquisition.wait(60)
    records = acquisition.new_records()
    crossed = next(
        (
            r["mono"]
            for r in records
            if r["name"] == "acquisition.sampled" and r["data"]["memory_mb"] > 150
        ),
        None,
    )
    ended = next(r for r in records if r["name"] == "acquisition.ended")
    assert ended["data"]["stop"]["limit"] == "memory_limit_mb" and ended["data"]["killed"]
    assert 150 <= ended["data"]["peak_memory_mb"] < 600
    assert crossed is None or ended["mono"] - crossed < 0.5
    assert any(r["name"] == "acquisition.warned" for r in records)


def test_the_maximum_duration_is_a_graceful_stop(guarded: Guarded) -> None:
    acquisition = guarded(POLITE, limits={"max_duration_s": 1.0})
    assert acquisition.wait(60) == 0
    assert acquisition.ended is not None
    assert acquisition.ended["stop"]["limit"] == "max_duration_s"


def test_samples_measure_the_whole_tree(guarded: Guarded) -> None:
    program = """
import subprocess, sys, time
hold = "kept = bytearray(b'x' * 60_000_000); import time; time.sleep(600)"
children = [subprocess.Popen([sys.executable, "-c", hold]) for _ in range(2)]
time.sleep(600)
"""
    acquisition = guarded(program)
    wait_for(
        lambda: any(
            sample["processes"] == 3 and sample["memory_mb"] > 120
            for sample in named(acquisition, "acquisition.sampled")
        )
    )


@pytest.mark.skipif(sys.platform != "linux", reason="handles of /proc")
def test_a_tree_too_large_for_open_handles_is_measured_all_the_same(guarded: Guarded) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        acquisition = guarded(["sh", "-c", "for i in $(seq 60); do sleep 60 & done; wait"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_for(lambda: any(s["processes"] == 61 for s in named(acquisition, "acquisition.sampled")))
    acquisition.request_kill("test", "enough")
    assert acquisition.wait(60) == -signal.SIGKILL
    assert acquisition.ended is not None and acquisition.ended["left_over"] == []
    assert (acquisition.run_folder / "guard.err").read_text() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="pidfds")
def test_a_pid_that_was_given_to_a_stranger_is_not_signalled() -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    # As when the pid was read from the list of the guard's own children, of whom it was one.
    program = f"""
import signal, os
from openscope_experimental_launcher.supervision.tree_linux import Tree
Tree()._signal_descendant({stranger.pid}, os.getpid(), signal.SIGKILL)
"""
    try:
        subprocess.run([sys.executable, "-c", program], check=True)
        time.sleep(0.1)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_guard_that_was_kept_from_its_work_says_so(guarded: Guarded) -> None:
    acquisition = guarded(
        "import time; time.sleep(60)", limits={"hang_timeout_s": 4, "on_hang": "stop"}
    )
    wait_for(lambda: acquisition.pid)
    guard = psutil.Process(acquisition.pid).parent()
    assert guard is not None
    guard.suspend()
    time.sleep(6)
    guard.resume()
    found: list[dict[str, Any]] = []
    wait_for(
        lambda: found.extend(acquisition.new_records()) or named_in(found, "acquisition.unwatched")
    )
    assert 5 < named_in(found, "acquisition.unwatched")[0]["for_s"] < 60
    # What was not seen does not count as silence.
    time.sleep(1)
    assert not named_in(acquisition.new_records(), "acquisition.stop_requested")


def named_in(records: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The data of the records of one name."""
    return [record["data"] for record in records if record["name"] == name]


def test_a_second_process_attaches_and_sees_the_end(
    guarded: Guarded, session_of: SessionOf
) -> None:
    acquisition = guarded(POLITE)
    wait_for(says(session_of(acquisition), "ready"))
    other = Acquisition.attach(acquisition.run_folder)
    assert other.pid == acquisition.pid and other.poll() is None
    other.request_stop("operator", "from elsewhere")
    assert other.wait(60) == 0
    assert other.ended is not None and other.ended["stop"]["reason"] == "from elsewhere"


LAUNCHER = """
import sys, time
from pathlib import Path
from openscope_experimental_launcher.engines import Launch
from openscope_experimental_launcher.supervision.supervisor import Acquisition, guard_spec
folder = Path({folder!r})
spec = guard_spec(
    Launch((sys.executable, "-c", {child!r}), "/"), session_folder=folder,
    stdout=folder / "stdout.log", stderr=folder / "stderr.log", limits={{}},
    watching={{"stop_grace_s": 5, "terminate_grace_s": 1, "sample_interval_s": 1,
              "on_launcher_lost": {policy!r}, "unattended_minutes": {minutes}, "recover": []}},
)
Acquisition.start(folder / "run", spec, {{"PATH": "/usr/bin", "PYTHONUNBUFFERED": "1"}})
print("started", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(
    ("policy", "minutes", "expected"),
    [("continue", 60, "finished"), ("stop", 60, "asked"), ("continue", 0.02, "asked")],
)
def test_a_lost_launcher(tmp_path: Path, policy: str, minutes: float, expected: str) -> None:
    child = """
import signal, sys, time
def end(*_): print("asked"); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready")
for _ in range(140): time.sleep(0.05)
print("finished")
"""
    script = LAUNCHER.format(folder=str(tmp_path), child=child, policy=policy, minutes=minutes)
    launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert launcher.stdout is not None
    with launcher.stdout as said:
        assert said.readline() == b"started\n"
        wait_for(says(tmp_path, "ready"))
        launcher.kill()
        launcher.wait()
    if policy == "continue" and minutes > 1:
        wait_for(lambda: "launcher.lost" in (tmp_path / "run" / "guard.jsonl").read_text())
    else:
        wait_for(says(tmp_path, "asked"))
    acquisition = Acquisition.attach(tmp_path / "run")
    assert acquisition.wait(60) == 0
    assert says(tmp_path, expected)()
    assert named(acquisition, "launcher.lost")
    acquisition.close()


def test_the_guard_imports_nothing_but_the_standard_library() -> None:
    guard = Path(__file__).parents[2] / "src/openscope_experimental_launcher/supervision/guard.py"
    program = f"""
import runpy, sys
sys.argv = [{str(guard)!r}]
try: runpy.run_path({str(guard)!r}, run_name="__main__")
except SystemExit: pass
for name in sorted(sys.modules):
    top = name.partition(".")[0]
    if top not in sys.stdlib_module_names and top != "openscope_experimental_launcher":
        print("foreign", name)
    if name.startswith("openscope_experimental_launcher."): print(name)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "foreign" not in done.stdout.replace("foreign __main__", "")
    rooms = {line.split(".")[1] for line in done.stdout.splitlines() if "." in line}
    assert rooms == {"jsonl", "locks", "supervision"}
