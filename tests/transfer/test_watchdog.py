"""The manifest for a service that watches a folder: right, whole, noticed, and last of all."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from openscope_experimental_launcher.errors import TransferError
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.journal import read_journal
from openscope_experimental_launcher.transfer.flags import (
    Flag,
    as_yaml,
    flags,
    keep_flag,
    raise_flag,
)
from openscope_experimental_launcher.transfer.modalities import MODALITIES, modality_meant
from openscope_experimental_launcher.transfer.queue import jobs
from transfer.conftest import MakeSession, files_in, wait_for

Openscope = Callable[..., "subprocess.CompletedProcess[str]"]


class Service(FileSystemEventHandler):
    """Does as aind-watchdog-service does: takes files that are made in the folder it watches."""

    def __init__(self) -> None:
        self.found: list[tuple[str, Any]] = []
        self.when: list[float] = []

    def on_created(self, event: FileSystemEvent) -> None:
        path = Path(str(event.src_path))
        if (
            event.is_directory
            or "manifest" not in path.name
            or path.suffix not in (".yml", ".yaml")
        ):
            return
        self.when.append(time.time())
        self.found.append((path.name, yaml.safe_load(path.read_text(encoding="utf-8"))))


@pytest.fixture
def flag_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "flags"
    folder.mkdir()
    return folder


@pytest.fixture
def service(flag_dir: Path) -> Iterator[Service]:
    made, observer = Service(), Observer()
    observer.schedule(made, str(flag_dir))
    observer.start()
    yield made
    observer.stop()
    observer.join()


def flag_for(session: SessionFolder, folder: Path, **changes: Any) -> Flag:
    given: dict[str, Any] = {
        "session": str(session.path),
        "folder": str(folder),
        "subject": "614173",
        "project": "OpenScope: größer #1",
        "destination": "\\\\server\\scratch\\test",
        "modalities": {"behavior": ["trials.csv"], "behavior-videos": ["video"]},
        **changes,
    }
    return Flag(**given)


FILES = {"trials.csv": b"1", "video/ä 1.avi": b"2", "acquisition.json": b"{}", "subject.json": b""}


def test_the_service_finds_it_once_whole_and_right(
    make_session: MakeSession, flag_dir: Path, service: Service
) -> None:
    session = make_session(FILES)
    others = {"platform": "behavior", "s3_bucket": "private", "extra_identifying_info": {"a": [1]}}
    flag = flag_for(session, flag_dir, schedule_time="03:00:00", others=others)
    raise_flag(flag)
    wait_for(lambda: service.found)
    ((name, content),) = service.found
    assert name == f"manifest_{session.name}.yml"
    when = session.name.split("_", 1)[1].replace("_", "T")
    assert content == {
        "name": session.name,
        "subject_id": "614173",
        "acquisition_datetime": when[:11] + when[11:].replace("-", ":"),
        "project_name": "OpenScope: größer #1",
        "destination": "//server/scratch/test",
        "modalities": {
            "behavior": [(session.path / "trials.csv").as_posix()],
            "behavior-videos": [(session.path / "video").as_posix()],
        },
        "schemas": [(session.path / s).as_posix() for s in ("acquisition.json", "subject.json")],
        "schedule_time": "03:00:00",
        **others,
    }
    assert [path.name for path in flag_dir.iterdir()] == [name]


@pytest.mark.parametrize("name", ["away", "../outside", "/etc"])
def test_what_it_names_must_be_in_the_session(
    make_session: MakeSession, flag_dir: Path, name: str
) -> None:
    flag = flag_for(make_session(FILES), flag_dir, modalities={"behavior": [name]})
    with pytest.raises(TransferError) as caught:
        raise_flag(flag)
    assert caught.value.code == "watchdog-file-missing"
    assert list(flag_dir.iterdir()) == []


def test_it_waits_for_the_copies_and_for_its_folder(
    openscope: Openscope, make_session: MakeSession, place: Path, tmp_path: Path
) -> None:
    session, away, folder = make_session(FILES), tmp_path / "away", tmp_path / "flags"
    keep_flag(flag_for(session, folder))
    assert openscope("transfer", session.name, "--to", str(away)).returncode == 1
    listed = openscope("transfer", "--list").stdout
    assert "waits for the session's copies" in listed and f"manifest_{session.name}" in listed
    away.mkdir()
    done = openscope("catch-up")
    assert done.returncode == 1 and "cannot be written" in done.stderr
    assert files_in(away / session.name) and not jobs()
    folder.mkdir()
    done = openscope("catch-up")
    assert done.returncode == 0 and "was written" in done.stdout
    assert [path.name for path in folder.iterdir()] == [f"manifest_{session.name}.yml"]
    assert "Nothing waits" in openscope("catch-up").stdout


def test_texts_that_yaml_would_misread(tmp_path: Path) -> None:
    value = {
        "a": "no", "b": "1e3", "c": "x: y #z", "d": 'q"uo\\te\n', "e": [], "f": {}, "g: h": None,
        "i": ["- a", True, 1.5], "j": {"k": {"l": ["ü"]}}, "time": "12:30:00",
    }  # fmt: skip
    assert yaml.safe_load(as_yaml(value)) == value


def test_the_modalities_are_those_of_the_schema() -> None:
    library = pytest.importorskip("aind_data_schema_models.modalities")
    known = {m().abbreviation: m().name for m in library.Modality.ALL}
    assert dict(MODALITIES) == known
    assert modality_meant("Behavior Videos") == "behavior-videos"
    assert modality_meant("ophys") == "pophys" and modality_meant("poetry") == ""


def test_in_a_session_it_is_the_last_thing_that_happens(
    openscope: Openscope,
    python_experiment: Callable[..., Path],
    workplace: Path,
    flag_dir: Path,
    service: Service,
    place: Path,
) -> None:
    script = (
        "import os, pathlib\n"
        "pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'], 'trials.csv').write_text('1')\n"
    )
    values: dict[str, Any] = {
        "session_report": True,
        "project_name": "OpenScope",
        "watchdog_flag_dir": str(flag_dir),
        "watchdog_destination": "//server/data",
        "transfer_to": [str(place)],
        "post_acquisition_pipeline": ["watchdog_manifest", "session_transfer"],
    }
    wrong = python_experiment(script, **values, watchdog_modalities={"ophys": ["trials.csv"]})
    done = openscope("check", str(wrong))
    assert done.returncode == 1 and "no modality ophys" in done.stdout + done.stderr
    assert "Use pophys." in done.stdout + done.stderr
    file = workplace / "right.json"
    right = {**json.loads(wrong.read_bytes()), "watchdog_modalities": {"behavior": ["trials.csv"]}}
    file.write_text(json.dumps(right))
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    (session,) = (workplace / "data").iterdir()
    wait_for(lambda: service.found, 110)
    assert (session / "report.html").is_file()
    assert files_in(place / session.name) == files_in(session)
    content = service.found[0][1]
    assert content["modalities"] == {"behavior": [(session / "trials.csv").as_posix()]}
    wait_for(lambda: not flags())
    assert not jobs()
    last = list(read_journal(session / "journal.jsonl"))[-1]
    assert last["name"] == "session.closed"
    assert (session / "journal.jsonl").stat().st_mtime <= service.when[0]
    again = openscope("report", str(session))
    assert again.returncode == 0
    assert not flags(), "the service would be told twice"
    assert len(service.found) == 1
