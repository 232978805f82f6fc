"""Data are removed here only when two copies hold every byte, and a person says so."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from openscope_experimental_launcher.amending import close_again
from openscope_experimental_launcher.errors import LauncherError, TransferError
from openscope_experimental_launcher.freeing import apart, check_copy, free, known_copies, removable
from openscope_experimental_launcher.recovery import adopted
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.journal import ManifestSealed
from openscope_experimental_launcher.session.manifest import seal
from openscope_experimental_launcher.session.record import read_record
from transfer.conftest import MakeSession, content_of, files_in

Openscope = Callable[..., "CompletedProcess[str]"]
FILES = {"video/a.avi": content_of(100_000, 1), "trials.csv": b"1", "acquisition.json": b"{}"}


@pytest.fixture
def session(make_session: MakeSession) -> SessionFolder:
    return make_session(FILES)


@pytest.fixture
def copies(openscope: Openscope, session: SessionFolder, tmp_path: Path) -> list[Path]:
    """Two copies of the session."""
    roots = [tmp_path / "network", tmp_path / "backup"]
    for root in roots:
        root.mkdir()
    to = [argument for root in roots for argument in ("--to", str(root))]
    assert openscope("transfer", session.name, *to).returncode == 0
    return [root / session.name for root in roots]


def at_a_terminal(session: SessionFolder, answer: str) -> tuple[int, str]:
    """Run it at a real terminal and answer its question."""
    if sys.platform == "win32":
        pytest.skip("there is no pseudo-terminal here")
    import pexpect

    command = ["-m", "openscope_experimental_launcher", "transfer", session.name, "--free"]
    child = pexpect.spawn(
        sys.executable, command, encoding="utf-8", timeout=60, dimensions=(40, 200)
    )
    if child.expect(["Type the session's name", pexpect.EOF]) == 0:
        before = child.before
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        return child.exitstatus or 0, before + child.before
    child.close()
    return child.exitstatus or 0, child.before


def test_with_two_good_copies_the_data_go_and_the_records_stay(
    openscope: Openscope, session: SessionFolder, copies: list[Path]
) -> None:
    code, said = at_a_terminal(session, "yes")
    assert code == 1 and "Nothing was removed" in said, said
    assert files_in(session.path)["video/a.avi"]
    code, said = at_a_terminal(session, session.name)
    assert code == 0 and said.count("every byte is as it was sealed") == 2, said
    left = files_in(session.path)
    assert set(left) == {
        "acquisition.json", "manifest.json", "journal.jsonl",
        "experiment_metadata/runtime_information.json",
    }  # fmt: skip
    assert not (session.path / "video").exists()
    for copy in copies:
        assert files_in(copy)["video/a.avi"] == FILES["video/a.avi"]
    record = read_record(session.journal)
    assert record.freed and record.freed["copies"] == [str(copy) for copy in copies]
    verified = openscope("verify", session.name)
    assert verified.returncode == 0 and "2 of them were removed here" in verified.stdout
    done = openscope("transfer", session.name, "--to", str(session.path.parent.parent))
    assert done.returncode == 1 and str(copies[0]) in done.stderr
    (session.path / "acquisition.json").unlink()
    assert "missing    acquisition.json" in openscope("verify", session.name).stdout


@pytest.mark.parametrize("spoil", ["a bit", "missing", "gone", "older"])
def test_with_one_bad_copy_nothing_goes(
    openscope: Openscope, session: SessionFolder, copies: list[Path], spoil: str
) -> None:
    video = copies[0] / "video/a.avi"
    if spoil == "a bit":
        before = video.stat()
        video.write_bytes(FILES["video/a.avi"][:-1] + b"x")
        os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif spoil == "missing":
        video.unlink()
    elif spoil == "gone":
        copies[0].rename(copies[0].with_name("moved"))
    else:
        assert openscope("report", session.name).returncode == 0
    code, said = at_a_terminal(session, session.name)
    assert code == 1 and "Two good copies are needed" in said, said
    assert files_in(session.path)["video/a.avi"] == FILES["video/a.avi"]


def test_one_copy_under_two_names_is_one(session: SessionFolder, copies: list[Path]) -> None:
    checked = [check_copy(session, str(copies[0]), None)] * 2
    twice = [*checked, check_copy(session, f"{copies[0].parent}/../network/{session.name}", None)]
    assert not any(copy.problem for copy in twice) and len(apart(twice)) == 1
    assert check_copy(session, str(session.path), None).problem
    with pytest.raises(ValueError, match="two"):
        free(session, removable(session, None), apart(twice))


def test_data_that_no_copy_has_are_never_removed(
    session: SessionFolder, copies: list[Path]
) -> None:
    good = [check_copy(session, copy, None) for copy in known_copies(session)]
    (session.path / "new.csv").write_text("added after it was sealed")
    with pytest.raises(LauncherError) as caught:
        removable(session, None)
    assert caught.value.code == "free-not-as-sealed"
    (session.path / "new.csv").unlink()
    free(session, removable(session, None), good)
    assert not removable(session, None).files
    assert all(copy.exists() for copy in copies)


def sealed_anew(session: SessionFolder, name: str, content: bytes) -> None:
    """Change a file and seal the session again, as a step that is run later does."""
    with adopted(session) as journal:
        (session.path / name).write_bytes(content)
        manifest = json.loads(session.manifest.read_bytes())
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"size": len(content), "sha256": digest}
        journal.record(ManifestSealed(seal(session, manifest), len(manifest["files"]), 1))
        close_again(session, journal, None)


@pytest.mark.parametrize("what", ["sealed anew", "changed", "a copy is away", "a copy is older"])
def test_what_changed_while_the_question_was_read_is_not_removed(
    session: SessionFolder, copies: list[Path], what: str
) -> None:
    goes = removable(session, None)
    good = apart([check_copy(session, copy, None) for copy in known_copies(session)])
    before = files_in(session.path)
    if what == "sealed anew":
        sealed_anew(session, "trials.csv", b"new results")
    elif what == "changed":
        (session.path / "trials.csv").write_bytes(b"2")
    elif what == "a copy is away":
        copies[1].rename(copies[1].with_name("unplugged"))
    else:
        (copies[1] / "manifest.json").write_text("{}")
    with pytest.raises(TransferError) as caught:
        free(session, goes, good)
    assert caught.value.code == "free-changed-meanwhile"
    assert files_in(session.path).keys() == before.keys()
    assert read_record(session.journal).freed is None


def test_a_manifest_that_was_never_sealed_proves_nothing(
    session: SessionFolder, copies: list[Path]
) -> None:
    manifest = json.loads(session.manifest.read_bytes())
    (session.path / "trials.csv").write_bytes(b"new")  # a power cut before it was sealed anew
    digest = hashlib.sha256(b"new").hexdigest()
    manifest["files"]["trials.csv"] = {"size": 3, "sha256": digest}
    seal(session, manifest)
    with pytest.raises(TransferError) as caught:
        removable(session, None)
    assert caught.value.code == "free-not-as-sealed" and "manifest.json" in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_nothing_is_removed_through_a_link(
    session: SessionFolder, copies: list[Path], tmp_path: Path
) -> None:
    good = apart([check_copy(session, copy, None) for copy in known_copies(session)])
    goes = removable(session, None)
    moved = tmp_path / "moved"
    (session.path / "video").rename(moved)
    (session.path / "video").symlink_to(moved, target_is_directory=True)
    assert set(removable(session, None).files) == {"trials.csv"}
    free(session, goes, good)
    assert (moved / "a.avi").read_bytes() == FILES["video/a.avi"]
    assert not (session.path / "trials.csv").exists()
