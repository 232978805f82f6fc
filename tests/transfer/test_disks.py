"""Destinations that are full, that drop in the middle and come back, and that were never there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openscope_experimental_launcher.amending import close_again
from openscope_experimental_launcher.freeing import known_copies
from openscope_experimental_launcher.recovery import adopted
from openscope_experimental_launcher.session.journal import StepFinished
from openscope_experimental_launcher.session.record import read_record
from openscope_experimental_launcher.transfer.queue import jobs
from transfer.conftest import MB, MakeSession, bytes_in, content_of, files_in, fill, wait_for
from transfer.test_freeing import at_a_terminal

Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Begin = Callable[..., "subprocess.Popen[str]"]
Disk = Callable[[int], Path]


def sh(*arguments: str) -> None:
    subprocess.run(arguments, check=True, capture_output=True)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A second way to a disk, by which it outlives being unmounted."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def test_a_destination_without_room_is_refused_before_anything_is_written(
    openscope: Openscope, make_session: MakeSession, small_disk: Disk
) -> None:
    session, disk = make_session({"video.avi": content_of(30 * MB)}), small_disk(20)
    done = openscope("transfer", session.name, "--to", str(disk))
    assert done.returncode == 1
    assert "needs 0.03 GB and has 0.02 GB free" in done.stderr and "Make room" in done.stderr
    assert [name for name in files_in(disk) if not name.endswith("journal.jsonl")] == []
    assert "needs 0.03 GB" in openscope("transfer", "--list").stdout


def test_a_destination_that_fills_up_is_told_and_gone_on_with_when_there_is_room(
    begin_transfer: Begin, openscope: Openscope, make_session: MakeSession, small_disk: Disk
) -> None:
    frames = {f"frames/{n}.png": content_of(100_000, n) for n in range(100)}
    session = make_session({"video.avi": content_of(100 * MB), **frames})
    disk = small_disk(140)
    transfer = begin_transfer(session.name, "--to", disk)
    wait_for(lambda: bytes_in(disk) > MB)
    hog = disk / "hog"
    with hog.open("wb", buffering=0) as stream:  # somebody else fills it meanwhile
        try:
            while True:
                stream.write(bytes(MB))
        except OSError:
            pass
    said, _ = transfer.communicate(timeout=100)
    assert transfer.returncode == 1 and "is full" in said and "Traceback" not in said, said
    wanted = files_in(session.path)
    for name, content in files_in(disk / session.name).items():
        if not name.endswith((".partial", "journal.jsonl")):
            assert content == wanted[name]
    assert files_in(session.path) == wanted
    hog.unlink()
    done = openscope("catch-up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_in(disk / session.name) == files_in(session.path)


def test_a_destination_that_vanishes_is_waited_for_and_gone_on_with(
    begin_transfer: Begin, make_session: MakeSession, small_disk: Disk, elsewhere: Path
) -> None:
    frames = {f"frames/{n}.png": content_of(100_000, n) for n in range(50)}
    session = make_session({"video.avi": content_of(150 * MB), **frames})
    disk = small_disk(300)
    sh("mount", "--bind", str(disk), str(elsewhere))
    transfer = begin_transfer(session.name, "--to", disk)
    wait_for(lambda: bytes_in(disk) > 20 * MB)
    sh("umount", "-l", str(disk))
    with pytest.raises(subprocess.TimeoutExpired):
        transfer.communicate(timeout=3)
    assert list(disk.iterdir()) == [], "the copy went to this computer's own disk"
    sh("mount", "--bind", str(elsewhere), str(disk))
    said, _ = transfer.communicate(timeout=100)
    assert transfer.returncode == 0, said
    assert files_in(disk / session.name) == files_in(session.path)
    assert not jobs()


def test_a_folder_that_a_share_was_mounted_on_is_no_destination(
    openscope: Openscope, make_session: MakeSession, small_disk: Disk, elsewhere: Path
) -> None:
    disk = small_disk(50)
    sh("mount", "--bind", str(disk), str(elsewhere))
    first = make_session({"a.csv": b"1"})
    assert openscope("transfer", first.name, "--to", str(disk)).returncode == 0
    sh("umount", "-l", str(disk))
    second = make_session({"b.csv": b"2"}, subject="614174")
    done = openscope("transfer", second.name, "--to", str(disk))
    assert done.returncode == 1 and "not mounted" in done.stderr
    assert list(disk.iterdir()) == []
    sh("mount", "--bind", str(elsewhere), str(disk))
    assert openscope("catch-up").returncode == 0
    assert files_in(disk / second.name) == files_in(second.path)


@pytest.mark.parametrize("state", ["elsewhere", "on the same disk"])
def test_a_full_session_disk_is_told_and_freeing_makes_room(
    openscope: Openscope,
    make_session: MakeSession,
    small_disk: Disk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
) -> None:
    disk, places = small_disk(8), [tmp_path / "a", tmp_path / "b"]
    if state == "on the same disk":
        monkeypatch.setenv("OPENSCOPE_STATE_DIRECTORY", str(disk / "state"))
    files = {"video.avi": content_of(2 * MB), "trials.csv": b"1"}
    session = make_session(files, root=disk)
    for place in places:
        place.mkdir()
    if state == "on the same disk":  # no copy can be asked for then: both were made before
        to = [argument for place in places for argument in ("--to", str(place))]
        assert openscope("transfer", session.name, *to).returncode == 0
    with session.journal.open("ab") as journal:  # the last block of it has no room either
        journal.write(b"\n" * (-session.journal.stat().st_size % 4096))
    fill(disk)
    for place in places:
        done = openscope("transfer", session.name, "--to", str(place))
        assert done.returncode == 1 and "No space left" in done.stderr, done.stderr
        assert "--free" in done.stderr and "Traceback" not in done.stderr
        assert (place / session.name / "transfer_receipt.json").is_file()
    assert openscope("catch-up", session.name).returncode in (0, 1)
    copies = [str(place / session.name) for place in places]
    assert sorted(known_copies(session)) == copies
    code, said = at_a_terminal(session, session.name)
    assert code == 0 and "Removed." in said, said
    assert not (session.path / "video.avi").exists()
    record = read_record(session.journal)
    assert record.closed and record.freed and record.freed["copies"] == copies
    assert not jobs(), "nothing can be copied from here any more"
    assert openscope("verify", session.name).returncode == 0


def test_a_late_step_on_a_full_disk_is_told_and_its_end_is_kept(
    openscope: Openscope, make_session: MakeSession, small_disk: Disk
) -> None:
    disk = small_disk(8)
    parameters = {
        "subject_id": "614173",
        "user_id": "ada",
        "post_acquisition_pipeline": ["disk_space_check"],
        "required_free_gb": 0,
    }
    kept = "experiment_metadata/processed_parameters.json"
    session = make_session({kept: json.dumps(parameters).encode()}, root=disk)
    with adopted(session) as journal:
        journal.record(StepFinished("after", 0, "disk_space_check", "pending", "", 0.0))
        close_again(session, journal, None)
    with session.journal.open("ab") as stream:
        stream.write(b"\n" * (-session.journal.stat().st_size % 4096))
    fill(disk)
    done = openscope("catch-up", session.name)
    assert done.returncode == 1 and "No space left" in done.stderr, done.stdout + done.stderr
    assert f"openscope catch-up {session.path}" in done.stderr and "Traceback" not in done.stderr
    (disk / "hog").unlink()
    done = openscope("catch-up", session.name)
    assert done.returncode == 0, done.stdout + done.stderr
    record = read_record(session.journal)
    assert record.closed and not record.pending_steps()
