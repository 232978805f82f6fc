"""The bundle has what a rig engineer needs, and nothing that should not leave the rig."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

Run = Callable[..., "CompletedProcess[str]"]

_FAILS = """
import os, pathlib
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
(folder / "video.avi").write_bytes(bytes(100_000))
(folder / "wheel.csv").write_text("1,2")
print("api_token = hunter2-from-the-script")
print("x" * 100 + "\\n", end="")
for n in range(60_000): print("a long line of output that nobody will ever read, number", n)
raise ValueError("no camera 7")
"""


def test_records_and_logs_are_packed_and_neither_data_nor_secrets(
    openscope: Run, python_experiment: Callable[..., Path], workplace: Path
) -> None:
    file = python_experiment(_FAILS, script_parameters={"api_token": "hunter2-from-the-file"})
    assert openscope("run", str(file), "--yes").returncode == 1
    (folder,) = (workplace / "data").iterdir()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    done = openscope("bundle", folder.name)
    assert done.returncode == 0, done.stderr
    bundle = workplace / f"{folder.name}_bundle.zip"
    assert done.stdout.splitlines()[0] == str(bundle)
    assert "left out: video.avi, wheel.csv" in done.stdout
    with zipfile.ZipFile(bundle) as archive:
        texts = {name.partition("/")[2]: archive.read(name).decode() for name in archive.namelist()}
    assert {"journal.jsonl", "manifest.json", "report.html", "logs/stderr.log"} <= set(texts)
    assert not {"video.avi", "wheel.csv"} & set(texts)
    assert "no camera 7" in texts["logs/stderr.log"]
    assert texts["LEFT_OUT.txt"].splitlines()[0].startswith("video.avi: 100")
    assert not [name for name, text in texts.items() if "hunter2" in text]
    events = [json.loads(line) for line in texts["journal.jsonl"].splitlines()]
    assert events[-1]["name"] == "session.closed"
    assert texts["logs/stdout.log"].endswith("number 59999\n")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before

    refused = openscope("bundle", str(folder), "--output", str(workplace / "no" / "b.zip"))
    assert refused.returncode == 1
    assert "The bundle cannot be written" in refused.stderr


def test_the_end_of_a_long_log_is_packed(
    openscope: Run, past: Callable[..., Any], tmp_path: Path
) -> None:
    folder = past().started().sampled(3).recorded().written()
    (folder / "logs" / "stdout.log").write_text("an early line\n" * 500_000 + "the last line\n")
    done = openscope("bundle", str(folder), "--output", "größe.zip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(done.stdout.splitlines()[0]) as archive:
        text = archive.read(f"{folder.name}/logs/stdout.log").decode()
    assert text.startswith("[the first ")
    assert text.endswith("an early line\nthe last line\n")
    assert len(text) < 4_100_000


def test_a_session_that_is_closed_gets_its_report_by_itself(
    openscope: Run, python_experiment: Callable[..., Path], workplace: Path
) -> None:
    file = python_experiment("print('ok')", session_report=True)
    assert openscope("run", str(file), "--yes").returncode == 0
    (folder,) = (workplace / "data").iterdir()
    deadline = time.monotonic() + 30
    while "report.html" not in json.loads((folder / "manifest.json").read_bytes())["files"]:
        assert time.monotonic() < deadline, "there is no report"
        time.sleep(0.1)
    while (folder / "journal.jsonl").read_text().count('"session.closed"') < 2:
        assert time.monotonic() < deadline, "it was not closed again"
        time.sleep(0.1)
    assert "614173" in (folder / "report.html").read_text("utf-8")
