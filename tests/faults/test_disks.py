"""Disks that are full, go away or cannot be written, and links planted on them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from faults.running import WAITS, Running, wait_for
from openscope_experimental_launcher.closing import Closing, close_session
from openscope_experimental_launcher.files import write_atomic
from openscope_experimental_launcher.jsonl import LineLog, read_lines
from openscope_experimental_launcher.session.folder import claim
from openscope_experimental_launcher.session.journal import AcquisitionJudged, Journal, NoteAdded
from openscope_experimental_launcher.session.record import read_record

Begin = Callable[..., Running]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Experiment = Callable[..., Path]
Disk = Callable[[int], Path]


# -- 24: full --------------------------------------------------------------------------------------


def test_a_disk_that_is_full_at_the_start_is_refused(
    openscope: Openscope, python_experiment: Experiment, small_disk: Disk
) -> None:
    disk = small_disk(8)
    file = python_experiment("print('ran')", OutputFolder=str(disk), disk_reserve_gb=0.01)
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 1
    assert "free" in done.stderr and "Make room" in done.stderr
    assert list(disk.iterdir()) == []


FILLS = """
import os, pathlib, signal, sys, time
out = open(pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "video.avi"), "wb", buffering=0)
def end(*_):
    out.write(b"the last frame"); print("saved", flush=True); sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    out.write(bytes(1_000_000)); time.sleep({pause})
"""


def test_a_disk_that_fills_up_is_a_graceful_stop_with_its_records_intact(
    begin: Begin, small_disk: Disk
) -> None:
    disk = small_disk(60)
    session = begin(FILLS.format(pause=0.08), OutputFolder=str(disk), disk_reserve_gb=0.02)
    closed = session.closed()
    warned = session.event("acquisition.warned")
    assert warned["about"] == "disk_reserve_gb" and "is stopped" in warned["message"]
    assert closed["outcome"] == "killed" and "left" in closed["reason"]
    assert session.event("acquisition.stop_requested")["limit"] == "disk_reserve_gb"
    assert "saved" in session.output()
    assert (session.folder / "video.avi").read_bytes().endswith(b"the last frame")
    manifest = json.loads((session.folder / "manifest.json").read_bytes())
    for name, entry in manifest["files"].items():
        content = (session.folder / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"], name


PRINTS = """
import time
while True: print("x" * 300_000, flush=True); time.sleep(0.035)
"""


def test_a_flood_of_output_is_warned_of_and_stopped_by_the_disk(
    begin: Begin, small_disk: Disk
) -> None:
    disk = small_disk(60)
    session = begin(PRINTS, OutputFolder=str(disk), disk_reserve_gb=0.01)
    assert session.closed(30)["outcome"] == "killed"
    assert session.event("acquisition.stop_requested")["limit"] == "disk_reserve_gb"
    warned = {event["about"]: event["message"] for event in session.events("acquisition.warned")}
    assert "MB a minute" in warned["output"]


FILLS_IT_WHOLLY = """
import os, pathlib, time
video = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"], "video.avi")
out = os.open(video, os.O_CREAT | os.O_WRONLY)
block = bytes(100_000)
while block:
    try: os.write(out, block)
    except OSError: block = block[:len(block) // 2]
time.sleep(2.5)
os._exit(5)
"""


def test_a_disk_that_is_full_to_the_last_byte_loses_no_record(
    begin: Begin, small_disk: Disk, openscope: Openscope, tmp_path: Path
) -> None:
    disk = small_disk(20)
    session = begin(FILLS_IT_WHOLLY, OutputFolder=str(disk), disk_reserve_gb=0)
    assert session.launcher.wait(60) == 1
    said = (tmp_path / "Über rig" / "launcher.txt").read_text("utf-8")
    assert "openscope recover" in said and "Traceback" not in said
    (session.folder / "video.avi").unlink()
    done = openscope("recover", str(session.folder))
    assert done.returncode == 0, done.stdout
    assert session.closed()["outcome"] == "failed"
    assert session.event("acquisition.ended")["exit_code"] == 5
    sequence = [event["guard_seq"] for event in session.events() if "guard_seq" in event]
    assert sequence == list(range(1, len(sequence) + 1))


def test_a_disk_that_is_full_at_the_last_record_leaves_the_session_open(
    small_disk: Disk, tmp_path: Path
) -> None:
    disk = small_disk(4)
    folder = claim(disk, "614173")
    for part in (folder.metadata, folder.logs):
        part.mkdir(exist_ok=True)
    journal = Journal(tmp_path / "fallback.jsonl")
    journal.open(folder.journal)
    journal.record(AcquisitionJudged("completed", 0, ""))

    def fill(_: object) -> None:
        size = folder.journal.stat().st_size
        journal.record(NoteAdded(""))
        empty = folder.journal.stat().st_size - size
        # The journal's last block keeps room for 50 bytes, which is less than any record.
        journal.record(NoteAdded("x" * (-(size + 2 * empty + 50) % 4096)))
        with suppress(OSError), (disk / "full").open("wb", buffering=0) as out:
            while True:
                out.write(bytes(4096))

    with pytest.raises(OSError):
        close_session(Closing(folder, journal, "launcher", archive=fill))
    journal.close()
    assert read_record(folder.journal).closed is None
    (disk / "full").unlink()
    again = Journal(tmp_path / "fallback.jsonl")
    again.open(folder.journal)
    again.close()
    assert read_record(folder.journal).closed is not None


FILLS_THE_STATE = """
import os, time
out = os.open({file!r}, os.O_CREAT | os.O_WRONLY)
block = bytes(100_000)
while block:
    try: os.write(out, block)
    except OSError: block = block[:len(block) // 2]
print("full", flush=True)
time.sleep(4)
os._exit(5)
"""


def test_where_even_the_state_folder_is_full_the_reserve_takes_the_end(
    begin: Begin, small_disk: Disk
) -> None:
    disk = small_disk(20)
    state = disk / "state"
    session = begin(
        FILLS_THE_STATE.format(file=str(disk / "full")),
        resource_log_interval=0.1,
        env={"OPENSCOPE_STATE_DIRECTORY": str(state)},
    )
    session.says("full")
    (run,) = (state / "runs").iterdir()
    assert (run / "reserve").stat().st_size > 0
    wait_for(lambda: not (run / "reserve").exists())
    assert session.closed()["outcome"] == "failed"
    assert session.event("acquisition.ended")["exit_code"] == 5
    sequence = [event["guard_seq"] for event in session.events() if "guard_seq" in event]
    assert sequence == list(range(1, len(sequence) + 1))


# -- 25: deleted, read-only, gone ------------------------------------------------------------------


def test_a_deleted_session_folder_is_told_and_its_records_are_kept(
    begin: Begin, own_state: Path, tmp_path: Path
) -> None:
    flag = tmp_path / "go on"
    session = begin(WAITS.format(flag=str(flag)))
    session.says("ready")
    run = Path(session.event("session.opened")["run_folder"])
    shutil.rmtree(session.folder)
    wait_for(lambda: "cannot be reached" in (run / "guard.jsonl").read_text())
    flag.touch()
    assert session.launcher.wait(60) == 1
    said = (session.data.parent / "launcher.txt").read_text("utf-8")
    assert "Traceback" not in said and "unplaced" in said
    (kept,) = (own_state / "unplaced").glob("*.jsonl")
    names = [record["name"] for record in read_lines(kept)]
    assert names.count("session.opened") == names.count("acquisition.ended") == 1
    ended = next(r for r in read_lines(kept) if r["name"] == "acquisition.ended")
    assert ended["data"]["exit_code"] == 0
    sequence = [record["seq"] for record in read_lines(kept)]
    assert sequence == list(range(1, len(sequence) + 1))


def test_a_disk_that_goes_away_is_told_and_the_session_recovered_when_it_is_back(
    begin: Begin, small_disk: Disk, openscope: Openscope, own_state: Path, tmp_path: Path
) -> None:
    disk, elsewhere, flag = small_disk(20), tmp_path / "elsewhere", tmp_path / "go on"
    elsewhere.mkdir()
    subprocess.run(["mount", "--bind", str(disk), str(elsewhere)], check=True)
    try:
        session = begin(WAITS.format(flag=str(flag)), OutputFolder=str(disk), disk_reserve_gb=0)
        session.says("ready")
        subprocess.run(["umount", "-l", str(disk)], check=True)
        flag.touch()
        assert session.launcher.wait(60) == 1
        assert "unplaced" in (tmp_path / "Über rig" / "launcher.txt").read_text("utf-8")
        assert list(disk.iterdir()) == []  # nothing was put where the disk was
        subprocess.run(["mount", "--bind", str(elsewhere), str(disk)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(elsewhere)], check=True)
    (kept,) = (own_state / "unplaced").glob("*.jsonl")
    acknowledged = list(read_lines(kept))
    done = openscope("recover", str(session.folder))
    assert done.returncode == 0, done.stdout
    assert session.closed()["outcome"] == "completed"
    # What was recorded elsewhere meanwhile is back where it belongs.
    assert "stage.entered" in [event["name"] for event in acknowledged]
    assert [event for event in acknowledged if event not in session.events()] == []
    assert [event["seq"] for event in session.events()] == list(range(1, len(session.events()) + 1))
    assert not kept.exists()


@pytest.fixture
def lock_folder() -> Iterator[Callable[[Path], None]]:
    """Make a folder read-only, for root too."""
    locked: list[Path] = []

    def lock(folder: Path) -> None:
        if os.geteuid() != 0:
            folder.chmod(0o555)
        elif subprocess.run(["chattr", "+i", str(folder)], capture_output=True).returncode != 0:
            pytest.skip("no folder can be made read-only for root here")
        locked.append(folder)

    yield lock
    for folder in locked:
        unlock(folder)


def unlock(folder: Path) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chattr", "-i", str(folder)], check=True)
    else:
        folder.chmod(0o755)


def test_an_output_folder_that_is_read_only_is_refused(
    openscope: Openscope,
    python_experiment: Experiment,
    workplace: Path,
    lock_folder: Callable[[Path], None],
) -> None:
    (workplace / "data").mkdir()
    lock_folder(workplace / "data")
    done = openscope("run", str(python_experiment("print('ran')")), "--yes")
    assert done.returncode == 1 and "cannot be written" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and list((workplace / "data").iterdir()) == []


def test_a_session_folder_that_becomes_read_only_is_told_and_closed_later(
    begin: Begin, openscope: Openscope, lock_folder: Callable[[Path], None], tmp_path: Path
) -> None:
    flag = tmp_path / "go on"
    session = begin(WAITS.format(flag=str(flag)))
    session.says("ready")
    lock_folder(session.folder)
    flag.touch()
    assert session.launcher.wait(60) == 1
    said = (session.data.parent / "launcher.txt").read_text("utf-8")
    assert "openscope recover" in said and "Traceback" not in said
    unlock(session.folder)
    assert openscope("recover", str(session.folder)).returncode == 0
    assert session.closed()["outcome"] == "completed"


# -- 40: planted links -----------------------------------------------------------------------------


def test_a_link_planted_at_a_records_name_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "journal.jsonl").symlink_to(victim)
    with pytest.raises(OSError):
        LineLog(tmp_path / "journal.jsonl")
    (tmp_path / "manifest.json").symlink_to(victim)
    write_atomic(tmp_path / "manifest.json", "{}")
    assert not (tmp_path / "manifest.json").is_symlink()
    (tmp_path / f".manifest.json.{os.getpid()}.tmp").symlink_to(victim)
    with pytest.raises(OSError):
        write_atomic(tmp_path / "manifest.json", "{}")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("name", ["stdout.log", "stderr.log", "stdout.times"])
def test_a_link_planted_at_an_output_files_name_is_refused(
    openscope: Openscope, python_experiment: Experiment, workplace: Path, name: str
) -> None:
    victim = workplace / "victim"
    victim.write_text("precious")
    plants = "import os, pathlib\n\ndef run_pre_acquisition(param_file):\n" + (
        f"    pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'], 'logs', {name!r})"
        f".symlink_to({str(victim)!r})\n    return 0\n"
    )
    # A step before the acquisition is the one who can plant something in the new folder.
    step = {"module_type": "script_module", "module_path": "task.py"}
    file = python_experiment(plants, pre_acquisition_pipeline=[step])
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 1 and "exists" in done.stderr, done.stdout
    assert victim.read_text() == "precious"
