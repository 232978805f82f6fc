"""`openscope transfer`: closed sessions go to other disks, whatever happens on the way."""

from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from openscope_experimental_launcher.amending import close_again
from openscope_experimental_launcher.delivery import deliver
from openscope_experimental_launcher.display.transfer import TransferProgress
from openscope_experimental_launcher.errors import SessionError
from openscope_experimental_launcher.files import sha256_of, write_json
from openscope_experimental_launcher.jsonl import LineLog
from openscope_experimental_launcher.recovery import adopted
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.journal import ManifestSealed
from openscope_experimental_launcher.session.manifest import build_manifest, seal
from openscope_experimental_launcher.session.record import read_record
from openscope_experimental_launcher.transfer.disk import BLOCK
from openscope_experimental_launcher.transfer.queue import add_job, jobs
from openscope_experimental_launcher.transfer.tally import Progress
from transfer.conftest import MB, MakeSession, bytes_in, content_of, files_in, wait_for

Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Begin = Callable[..., "subprocess.Popen[str]"]
FILES = {
    "video/Körper 1.avi": content_of(2 * BLOCK + 99, 1),
    "trials.csv": b"trial,reward\n1,3\n",
    "leer.txt": b"",
}


def sound(copy: Path, session: SessionFolder) -> bool:
    return files_in(copy) == files_in(session.path)


def test_a_session_is_copied_and_told_everywhere(
    openscope: Openscope, make_session: MakeSession, place: Path, tmp_path: Path
) -> None:
    session = make_session(FILES)
    other = tmp_path / "backup"
    other.mkdir()
    done = openscope("transfer", session.name, "--to", str(place), "--to", str(other))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("verified") == 2
    for root in (place, other):
        copy = root / session.name
        assert sound(copy, session)
        receipt = json.loads((copy / "transfer_receipt.json").read_bytes())
        assert receipt["from"]["folder"] == str(session.path)
        assert receipt["to"] == str(copy)
        assert receipt["manifest_sha256"] == (read_record(session.journal).sealed or {})["sha256"]
        assert receipt["files"] == len(files_in(copy)) - 1  # the journal comes by itself
        assert receipt["size_bytes"] == sum(
            len(content) for name, content in files_in(copy).items() if name != "journal.jsonl"
        )
        assert receipt["launcher_version"] and receipt["begun"] <= receipt["verified"]
        assert openscope("verify", str(copy)).returncode == 0
    record = read_record(session.journal)
    assert {copy["folder"] for copy in record.copies} == {
        str(place / session.name),
        str(other / session.name),
    }
    last = session.journal.read_text("utf-8").splitlines()[-1]
    assert json.loads(last)["name"] == "session.closed"
    assert not jobs()
    again = openscope("transfer", session.name, "--to", str(place))
    assert again.returncode == 0 and "there before" in again.stdout
    shown = openscope("show", session.name).stdout
    assert f"{other / session.name}  verified 20" in shown and "older" not in shown


def test_what_is_away_waits_and_is_caught_up(
    openscope: Openscope, make_session: MakeSession, place: Path, tmp_path: Path
) -> None:
    session = make_session(FILES)
    away = tmp_path / "Laufwerk E"
    done = openscope("transfer", session.name, "--to", str(away), "--to", str(place))
    assert done.returncode == 1
    assert "openscope catch-up" in done.stderr and "Traceback" not in done.stderr
    assert sound(place / session.name, session) and not away.exists()
    for listed in (openscope("transfer", "--list"), openscope("catch-up", "--list")):
        assert str(away) in listed.stdout and str(place) not in listed.stdout
        assert "cannot be used now" in listed.stdout
    first = jobs()[0].since
    time.sleep(0.01)
    assert openscope("catch-up").returncode == 1
    assert openscope("transfer", session.name).returncode == 1
    assert openscope("transfer", session.name, "--to", str(away)).returncode == 1
    assert jobs()[0].since == first, "it was asked for when it was first asked for"
    asked = openscope("catch-up", session.name)
    assert f"waits for: a copy to {away}" in asked.stdout
    away.mkdir()
    done = openscope("catch-up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sound(away / session.name, session)
    assert "Nothing waits" in openscope("catch-up").stdout
    assert "No copy waits" in openscope("transfer").stdout


def test_a_session_that_is_away_itself_is_told(
    openscope: Openscope, make_session: MakeSession, place: Path, tmp_path: Path
) -> None:
    session = make_session(FILES)
    openscope("transfer", session.name, "--to", str(tmp_path / "later"))
    (tmp_path / "later").mkdir()
    session.path.rename(tmp_path / "moved")
    done = openscope("catch-up")
    assert done.returncode == 1 and "session folder is not there" in done.stderr
    (tmp_path / "moved").rename(session.path)
    assert openscope("catch-up").returncode == 0
    assert sound(tmp_path / "later" / session.name, session)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pseudo-terminal here")
def test_at_a_terminal_a_bar_shows_the_rate_and_what_is_left(
    make_session: MakeSession, place: Path
) -> None:
    import pexpect

    session = make_session({"video.avi": content_of(300 * MB)})
    command = [
        "-m",
        "openscope_experimental_launcher",
        "transfer",
        session.name,
        "--to",
        str(place),
    ]
    child = pexpect.spawn(
        sys.executable, command, encoding="utf-8", timeout=100, dimensions=(30, 120)
    )
    child.expect(pexpect.EOF)
    child.close()
    shown = child.before
    assert child.exitstatus == 0, shown
    assert re.search(r"\d/30[0-9.]+ MB", shown) and re.search(r"[kMG]B/s", shown), shown
    assert "files, 300 MB, verified" in shown


def test_without_one_there_is_a_line_now_and_then() -> None:
    stream = io.StringIO()
    with TransferProgress("614173", stream) as progress:
        progress(Progress(0, 4000 * MB, 0))
        assert stream.getvalue() == ""
        progress(Progress(1000 * MB, 4000 * MB, 1, "//server: the network name is gone"))
        progress._next = 0.0
        progress(Progress(2000 * MB, 4000 * MB, 1))
    waiting, going = stream.getvalue().splitlines()
    assert waiting == "614173: 1.0 GB of 4.0 GB, waiting: //server: the network name is gone"
    assert going.startswith("614173: 2.0 GB of 4.0 GB, ") and going.endswith(" left")


def test_a_copy_can_be_waited_for_no_longer(
    openscope: Openscope, make_session: MakeSession, tmp_path: Path
) -> None:
    session = make_session(FILES)
    openscope("transfer", session.name, "--to", str(tmp_path / "typo"))
    assert len(jobs()) == 1
    done = openscope("transfer", session.name, "--to", str(tmp_path / "other"), "--forget")
    assert done.returncode == 0 and "No copy waits there." in done.stdout and len(jobs()) == 1
    assert openscope("transfer", session.name, "--forget").returncode == 0
    assert not jobs() and files_in(session.path)["trials.csv"]
    openscope("transfer", session.name, "--to", str(tmp_path / "typo"))
    session.path.rename(tmp_path / "moved")
    assert openscope("transfer", session.name, "--forget").returncode == 0 and not jobs()


def test_mistakes_are_told(
    openscope: Openscope, make_session: MakeSession, place: Path, tmp_path: Path
) -> None:
    session = make_session(FILES)
    for arguments, words in (
        (["--to", str(place)], "session is missing"),
        ([session.name], "destination is missing"),
        ([session.name, "--to", "//server/share"], "drive or share"),
        ([session.name, "--to", str(session.path / "video")], "in the session itself"),
        ([session.name, "--to", str(session.path.parent)], "in the session itself"),
        (["nobody", "--to", str(place)], "no session"),
        ([session.name, "--free"], "person at a terminal"),
        ([session.name, "--to", str(place), "--free"], "--to does not go with --free"),
    ):
        done = openscope("transfer", *arguments)
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "Traceback" not in said, said
        if sys.platform != "win32" or "share" not in words:
            assert words in said, said
    open_one = tmp_path / "open"
    open_one.mkdir()
    (open_one / "journal.jsonl").write_text("")
    done = openscope("transfer", str(open_one), "--to", str(place))
    assert done.returncode == 1 and "never closed" in done.stderr
    assert list(place.iterdir()) == []


def test_another_session_of_the_same_name_is_not_mixed_with_this_one(
    openscope: Openscope, make_session: MakeSession, place: Path
) -> None:
    session = make_session(FILES)
    taken = place / session.name
    taken.mkdir()
    (taken / "journal.jsonl").write_text('{"seq":1,"name":"session.opened"}\n')
    (taken / "trials.csv").write_text("theirs")
    done = openscope("transfer", session.name, "--to", str(place))
    assert done.returncode == 1 and "Another session" in done.stderr
    assert (taken / "trials.csv").read_text() == "theirs"


def test_a_file_that_changed_after_it_was_sealed_is_not_passed_on(
    openscope: Openscope, make_session: MakeSession, place: Path
) -> None:
    session = make_session(FILES)
    assert openscope("transfer", session.name, "--to", str(place)).returncode == 0
    video = session.path / "video/Körper 1.avi"
    before = video.stat()
    with video.open("r+b") as stream:  # one bit, at the same time and size
        stream.seek(BLOCK)
        stream.write(bytes([FILES["video/Körper 1.avi"][BLOCK] ^ 1]))
    os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    other = place.parent / "other"
    other.mkdir()
    done = openscope("transfer", session.name, "--to", str(other), "--to", str(place))
    assert done.returncode == 1
    assert "not what it was when the session was sealed" in done.stderr
    good = (place / session.name / "video/Körper 1.avi").read_bytes()
    assert good == FILES["video/Körper 1.avi"], "the good copy was overwritten"
    assert not (other / session.name / "video/Körper 1.avi").exists()
    assert (other / session.name / "trials.csv").read_bytes() == FILES["trials.csv"]
    assert not (other / session.name / "transfer_receipt.json").exists()
    done = openscope("transfer", session.name, "--to", str(other), "--as-is")
    assert done.returncode == 0, done.stdout + done.stderr
    receipt = json.loads((other / session.name / "transfer_receipt.json").read_bytes())
    assert receipt["not_sealed"] == ["video/Körper 1.avi"]
    assert sound(other / session.name, session)


def test_a_file_that_still_grows_waits_until_it_is_still(
    begin_transfer: Begin, make_session: MakeSession, place: Path
) -> None:
    session = make_session(FILES)
    late, over = session.path / "late.log", threading.Event()

    def grow() -> None:
        with late.open("ab", buffering=0) as stream:
            while not over.is_set():
                stream.write(b"x" * 1000)
                time.sleep(0.0005)

    late.write_bytes(content_of(40 * MB))  # reading it takes longer than its writer ever rests
    writer = threading.Thread(target=grow, daemon=True)
    writer.start()
    transfer = begin_transfer(session.name, "--to", place)
    wait_for(lambda: (place / session.name / "trials.csv").exists())
    time.sleep(0.5)
    assert not (place / session.name / "late.log").exists()
    over.set()
    writer.join()
    said, _ = transfer.communicate(timeout=100)
    assert transfer.returncode == 0, said
    assert sound(place / session.name, session)
    receipt = json.loads((place / session.name / "transfer_receipt.json").read_bytes())
    assert receipt["not_sealed"] == ["late.log"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_that_leave_the_folder_are_refused_and_told(
    openscope: Openscope, make_session: MakeSession, place: Path, tmp_path: Path
) -> None:
    session = make_session(FILES)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    (session.path / "out").symlink_to(secret, target_is_directory=True)
    (session.path / "video" / "key.txt").symlink_to(secret / "key")
    (session.path / "inside.csv").symlink_to("trials.csv")
    done = openscope("transfer", session.name, "--to", str(place))
    assert done.returncode == 1
    assert done.stderr.count("leads out of the session folder") == 2
    assert set(files_in(place / session.name)) == {*FILES, "manifest.json", "journal.jsonl"} | {
        "experiment_metadata/runtime_information.json"
    }
    receipt = json.loads((place / session.name / "transfer_receipt.json").read_bytes())
    assert receipt["links_left_out"] == ["out", "video/key.txt"]


def test_what_is_sealed_anew_while_it_is_copied_is_copied_too(
    begin_transfer: Begin, make_session: MakeSession, openscope: Openscope, place: Path
) -> None:
    session = make_session({**FILES, "big": content_of(200 * MB, 5)})
    transfer = begin_transfer(session.name, "--to", place)
    wait_for(lambda: bytes_in(place) > MB)
    assert openscope("report", session.name).returncode == 0
    said, _ = transfer.communicate(timeout=100)
    assert transfer.returncode == 0, said
    assert openscope("transfer").returncode == 0
    done = openscope("transfer", session.name, "--to", str(place))
    assert done.returncode == 0
    assert sound(place / session.name, session)
    assert (place / session.name / "report.html").is_file()


def test_what_is_sealed_anew_all_the_time_waits_and_is_copied_later(
    openscope: Openscope, make_session: MakeSession, place: Path
) -> None:
    session = make_session(FILES)
    job, rounds = add_job(session.path, str(place)), 0

    def look(progress: Progress) -> None:
        nonlocal rounds
        manifest = session.manifest.read_bytes()
        if progress.done == progress.total and changing:
            rounds += 1
            write_json(session.manifest, {**json.loads(manifest), "round": rounds})
            journal = LineLog(session.journal)
            sealed = {"sha256": sha256_of(session.manifest), "files": 1, "size_bytes": 1}
            event = {"seq": 1000 + rounds, "time": "2026", "mono": 1.0, "data": sealed}
            journal.append({**event, "name": "manifest.sealed"}, sync=True)
            journal.close()

    changing = True
    with pytest.raises(SessionError) as caught:
        deliver(session, [job], on_progress=look, patience_s=())
    assert caught.value.code == "copy-session-changed" and rounds >= 3
    assert "again and again" in jobs()[0].why and not read_record(session.journal).copies
    changing = False
    assert openscope("catch-up").returncode == 0
    assert sound(place / session.name, session) and not jobs()


def test_what_is_sealed_anew_while_the_copy_is_finished_waits(
    begin_transfer: Begin, make_session: MakeSession, openscope: Openscope, place: Path
) -> None:
    session = make_session(FILES)
    for number in range(20_000):  # looking for what was left there takes its time
        (place / session.name / f"old/{number}").mkdir(parents=True)
    transfer = begin_transfer(session.name, "--to", place)
    wait_for(lambda: read_record(session.journal).copies)
    with adopted(session) as journal:
        (session.path / "late.csv").write_bytes(b"late")
        manifest = build_manifest(session, session={})
        journal.record(ManifestSealed(seal(session, manifest), len(manifest["files"]), 1))
        add_job(session.path, str(place), why="The session was changed.")
        close_again(session, journal, None)
    said, _ = transfer.communicate(timeout=100)
    assert len(jobs(session.path)) == 1, said
    assert openscope("catch-up").returncode == 0
    assert not jobs() and (place / session.name / "late.csv").read_bytes() == b"late"


def test_one_that_is_about_to_end_with_the_same_copy_is_waited_for(
    begin_transfer: Begin, make_session: MakeSession, place: Path
) -> None:
    session = make_session(FILES)
    lock = add_job(session.path, str(place)).lock()
    assert lock.acquire()
    transfer = begin_transfer(session.name)
    with pytest.raises(subprocess.TimeoutExpired):
        transfer.wait(1.5)
    lock.release()
    said, _ = transfer.communicate(timeout=60)
    assert transfer.returncode == 0, said
    assert sound(place / session.name, session)


def test_two_processes_do_not_make_the_same_copy(
    begin_transfer: Begin, make_session: MakeSession, openscope: Openscope, place: Path
) -> None:
    session = make_session({"big": content_of(200 * MB, 5)})
    transfer = begin_transfer(session.name, "--to", place)
    wait_for(lambda: bytes_in(place) > MB)
    transfer.send_signal(signal.SIGSTOP)
    done = openscope("transfer", session.name, "--to", str(place))
    transfer.send_signal(signal.SIGCONT)
    assert done.returncode == 1 and "Another process makes this copy" in done.stderr
    said, _ = transfer.communicate(timeout=100)
    assert transfer.returncode == 0, said
    assert sound(place / session.name, session)


def test_what_a_killed_transfer_left_is_gone_when_the_copy_is_complete(
    openscope: Openscope, make_session: MakeSession, place: Path
) -> None:
    session = make_session(FILES)
    copy = place / session.name
    (copy / "video").mkdir(parents=True)
    for name in (".journal.jsonl.77.tmp", ".transfer_receipt.json.8.tmp"):
        (copy / name).write_text("half")
    (copy / "video" / ".0123456789abcdef.partial").write_text("half")
    (copy / "video" / ".mine.tmp").write_text("somebody's own")
    assert openscope("transfer", session.name, "--to", str(place)).returncode == 0
    extra = files_in(copy).keys() - files_in(session.path).keys()
    assert extra == {"video/.mine.tmp"}


def test_killed_at_any_byte_it_goes_on_and_nothing_half_is_published(
    begin_transfer: Begin, make_session: MakeSession, openscope: Openscope, place: Path
) -> None:
    large = {f"video {n}.avi": content_of(40 * MB + n, n) for n in range(3)}
    small = {f"frames/{n}.png": content_of(20_000, n + 10) for n in range(300)}
    session = make_session({**large, **small})
    wanted = files_in(session.path)
    copy, total = place / session.name, sum(map(len, wanted.values()))
    chance, known, kills = random.Random(7), dict[str, int](), 0
    while kills < 20:
        transfer = begin_transfer(session.name, "--to", place)
        limit = bytes_in(place) + chance.random() * max(total - bytes_in(place), 0)
        wait_for(lambda: bytes_in(place) >= limit or transfer.poll() is not None)  # noqa: B023
        time.sleep(chance.uniform(0, 0.8))
        if transfer.poll() is not None:
            said, _ = transfer.communicate()
            assert transfer.returncode == 0, said
            (copy / "video 1.avi").unlink()  # there is something to do again
            known.pop("video 1.avi", None)
            continue
        transfer.kill()
        transfer.wait()
        kills += 1
        for name, content in files_in(copy).items() if copy.exists() else ():
            if not name.endswith(".partial") and not name.endswith(".tmp"):
                assert content == wanted[name] or name == "journal.jsonl", name
                inode = (copy / name).stat().st_ino
                if name != "journal.jsonl":
                    assert known.setdefault(name, inode) == inode, f"{name} was copied again"
    done = openscope("catch-up")
    if (copy / "transfer_receipt.json").exists() and not sound(copy, session):
        done = openscope("transfer", session.name, "--to", str(place))
    assert done.returncode == 0, done.stdout + done.stderr
    assert sound(copy, session)
    assert not list(copy.rglob(".*.partial"))
    assert openscope("verify", str(copy)).returncode == 0
