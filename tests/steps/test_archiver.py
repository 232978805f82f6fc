"""Archives: what goes where, and that it arrived."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.errors import StepError


@pytest.fixture
def session(lab: Any) -> Path:
    """A session folder with a bit of everything."""
    folder = Path(lab.folder.path)
    for name in (
        "video/Körper 1.mp4", "trials.csv", "notes.txt", "subject.json", "instrument.json",
        "manifest.json", "logs/stdout.log", "experiment_metadata/runtime_information.json",
    ):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"content of {name}", encoding="utf-8")
    (folder / "empty" / "deep").mkdir(parents=True)
    return folder


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    return {"network_dir": str(tmp_path / "net Ü"), "backup_dir": str(tmp_path / "backup")}


def copied(place: str, session: Path) -> set[str]:
    root = Path(place) / session.name
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return files - {"transfer_receipt.json", ".claimed_by.json"}


def everything(session: Path) -> set[str]:
    return {p.relative_to(session).as_posix() for p in session.rglob("*") if p.is_file()}


LAUNCHERS = {
    "journal.jsonl", "manifest.json", "logs/stdout.log", "subject.json", "instrument.json",
    "experiment_metadata/runtime_information.json",
}  # fmt: skip


def archive(lab: Any, **values: Any) -> Any:
    return lab.here("session_archiver", phase="after", **values)


class TestWhere:
    def test_without_a_routing_manifest_both_get_everything(
        self, lab: Any, session: Path, places: dict[str, str]
    ) -> None:
        result = archive(lab, **places)
        assert result.ok, result.message
        for place in places.values():
            assert copied(place, session) == everything(session)
            for name in everything(session):
                copy = Path(place) / session.name / name
                assert copy.read_bytes() == (session / name).read_bytes()
        assert "copied and verified" in result.message
        assert (session / "trials.csv").is_file()

    @pytest.mark.parametrize("named", [None, "routes/r.json"])
    def test_with_one_the_network_gets_what_it_lists(
        self, lab: Any, session: Path, places: dict[str, str], named: str | None
    ) -> None:
        file = session / (named or "routing_manifest.json")
        file.parent.mkdir(exist_ok=True)
        listed = [{"type": "notes", "files": ["notes.txt"]}, {"type": "v", "files": ["video"]}]
        file.write_text(json.dumps({"entries": listed}))
        result = archive(lab, **places, routing_manifest=named)
        assert result.ok, result.message
        own = {"notes.txt", "video/Körper 1.mp4", file.relative_to(session).as_posix()}
        assert copied(places["network_dir"], session) == LAUNCHERS | own
        assert copied(places["backup_dir"], session) == everything(session)

    def test_a_routing_manifest_that_is_not_there_or_lists_too_much(
        self, lab: Any, session: Path, places: dict[str, str]
    ) -> None:
        result = archive(lab, **places, routing_manifest="gone.json")
        assert (result.ok, "gone.json" in result.warnings[0]) == (True, True)
        assert copied(places["network_dir"], session) == everything(session)
        file = session / "routing_manifest.json"
        file.write_text('{"entries": [{"type": "x", "files": ["away.csv"]}]}')
        assert "away.csv" in archive(lab, **places).warnings[0]
        for broken in ('{"entries": [{"files": ["../x"]}]}', "{}", '{"entries": 5}', "["):
            file.write_text(broken)
            with pytest.raises(StepError) as caught:
                archive(lab, **places)
            assert caught.value.code == "routing-manifest-broken"

    def test_no_backup(self, lab: Any, session: Path, places: dict[str, str]) -> None:
        result = archive(lab, network_dir=places["network_dir"], copy_to_backup=False)
        assert result.ok
        assert not Path(places["backup_dir"]).exists()
        archive(lab, **places, copy_to_backup=False)
        assert not Path(places["backup_dir"]).exists()

    def test_patterns(self, lab: Any, session: Path, places: dict[str, str]) -> None:
        archive(lab, **places, include_patterns=["*.csv", "video/*"], exclude_patterns=["*1.mp4"])
        assert copied(places["backup_dir"], session) == {"trials.csv"}

    def test_another_folder(self, lab: Any, places: dict[str, str], tmp_path: Path) -> None:
        other = tmp_path / "old_session"
        other.mkdir()
        (other / "x.csv").write_text("1")
        assert archive(lab, **places, session_dir=str(other)).ok
        assert copied(places["network_dir"], other) == {"x.csv"}
        assert not archive(lab, **places, session_dir=str(tmp_path / "gone")).ok

    def test_a_rehearsal_stays_below_its_folder(
        self, lab: Any, session: Path, places: dict[str, str], workplace: Path
    ) -> None:
        result = archive(lab, network_dir="//server/share", backup_dir="E:/b", rehearsal=True)
        assert result.ok, result.message
        assert copied(str(workplace / "rehearsal/server/share"), session) == everything(session)
        assert archive(lab, **places, rehearsal=True).ok
        assert not Path(places["network_dir"]).exists()

    def test_an_archive_in_the_session_is_refused(self, lab: Any, session: Path) -> None:
        for folder in (session / "copy", session.parent):
            with pytest.raises(StepError) as caught:
                archive(lab, network_dir=str(folder), copy_to_backup=False)
            assert caught.value.code == "archive-folder-inside"

    @pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
    def test_links_are_not_followed(
        self, lab: Any, session: Path, places: dict[str, str], tmp_path: Path
    ) -> None:
        secret = tmp_path / "secret"
        secret.write_text("s")
        (session / "link").symlink_to(secret)
        (session / "folder").symlink_to(tmp_path)
        archive(lab, **places)
        assert not any("link" in name or "folder" in name for name in copied(
            places["network_dir"], session
        ))  # fmt: skip

    @pytest.mark.parametrize("remove", [True, False])
    def test_empty_folders(
        self, lab: Any, session: Path, places: dict[str, str], remove: bool
    ) -> None:
        before = everything(session)
        archive(lab, **places, remove_empty_dirs=remove)
        assert (session / "empty").exists() is not remove
        assert everything(session) == before


class TestArriving:
    def test_a_second_time_only_what_differs(
        self, lab: Any, session: Path, places: dict[str, str]
    ) -> None:
        archive(lab, **places)
        copy = Path(places["network_dir"]) / session.name / "trials.csv"
        copy.write_text("CONTENT of trials.csv")
        untouched = copy.with_name("notes.txt").stat().st_ino
        again = archive(lab, **places)
        count = len(everything(session))
        assert f"network: 2 files copied and verified, {count - 2} were there" in again.message
        assert copy.read_text() == "content of trials.csv"
        assert copy.with_name("notes.txt").stat().st_ino == untouched
        whole = archive(lab, **places, skip_completed=False)
        assert f"network: {count} files copied" in whole.message

    @pytest.mark.parametrize("algorithm", ["sha256", "SHA-512", "md5", "blake2b"])
    def test_checksums(self, lab: Any, session: Path, places: Any, algorithm: str) -> None:
        assert archive(lab, **places, checksum_algo=algorithm).ok

    def test_a_destination_that_is_away_waits(
        self, lab: Any, session: Path, places: dict[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        result = archive(
            lab, network_dir=str(tmp_path / "file" / "x"), backup_dir=places["backup_dir"]
        )
        assert (result.ok, result.pending) == (False, True)
        assert "network: " in result.message and "backup: " in result.message
        assert copied(places["backup_dir"], session) == everything(session)


class TestAnotherComputersArchive:
    """Computers of one synchronised session give their folders the same name."""

    @pytest.fixture
    def other(self, session: Path, tmp_path: Path) -> Path:
        """The session of the same name on another computer."""
        folder = tmp_path / "other computer" / session.name
        shutil.copytree(session, folder)
        (folder / "trials.csv").write_text("of the other computer")
        (folder / "logs/stdout.log").write_text("of the other computer")
        event = {"seq": 1, "time": "2026", "mono": 1.0, "name": "session.opened", "data": {}}
        (folder / "journal.jsonl").write_text(json.dumps(event) + "\n")
        event["data"] = {"host": "this one"}
        (session / "journal.jsonl").write_text(json.dumps(event) + "\n")
        return folder

    @pytest.mark.parametrize("theirs", [{}, {"exclude_patterns": ["*.jsonl"]}])
    @pytest.mark.parametrize("ours", [{}, {"exclude_patterns": ["*.jsonl"]}])
    def test_it_is_refused_before_anything_is_written(
        self,
        lab: Any,
        session: Path,
        other: Path,
        places: dict[str, str],
        theirs: dict[str, Any],
        ours: dict[str, Any],
    ) -> None:
        assert archive(lab, **places, **theirs, session_dir=str(other)).ok
        before = looks(Path(places["network_dir"]))
        result = archive(lab, **places, **ours)
        assert (result.ok, result.pending) == (False, False)
        assert "Another session of the same name" in result.message
        assert "another --to, network_dir or backup_dir" in result.message
        assert looks(Path(places["network_dir"])) == before
        assert archive(lab, **places, **theirs, session_dir=str(other)).ok
        assert archive(lab, **{name: f"{place} 2" for name, place in places.items()}).ok

    @pytest.mark.parametrize("theirs", [{}, {"exclude_patterns": ["*.jsonl"]}])
    def test_also_while_the_other_one_is_not_complete(
        self, lab: Any, session: Path, other: Path, tmp_path: Path, theirs: dict[str, Any]
    ) -> None:
        place = str(tmp_path / "net")
        blocked = tmp_path / "net" / session.name / "trials.csv"
        (blocked / "in the way").mkdir(parents=True)
        assert not archive(
            lab, network_dir=place, copy_to_backup=False, session_dir=str(other), **theirs
        ).ok
        before = looks(Path(place))
        result = archive(lab, network_dir=place, copy_to_backup=False)
        assert "Another session of the same name" in result.message
        assert looks(Path(place)) == before

    def test_a_claim_that_a_crash_cut_off_is_nobodys(
        self, lab: Any, session: Path, places: dict[str, str]
    ) -> None:
        copy = Path(places["network_dir"]) / session.name
        copy.mkdir(parents=True)
        (copy / ".claimed_by.json").write_text("")
        assert archive(lab, **places, exclude_patterns=["*.jsonl"]).ok
        assert json.loads((copy / ".claimed_by.json").read_bytes())["folder"] == str(session)
        (copy / "journal.jsonl").write_text("")
        assert archive(lab, **places).ok
        assert copied(places["network_dir"], session) == everything(session)


def looks(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_ino, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}
