"""Output that is closed, full, or read by nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Experiment = Callable[..., Path]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]

OPENSCOPE = [sys.executable, "-m", "openscope_experimental_launcher"]

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells and devices")
has_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110


def shell(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of bash, in which `$@` is the launcher with some arguments."""
    return subprocess.run(
        ["bash", "-c", command, "bash", *OPENSCOPE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def session(openscope: Openscope, write_parameters: Any, workplace: Path) -> Path:
    """A session that `last` can show."""
    file = write_parameters(
        launcher="base",
        subject_id="614173",
        user_id="ada",
        OutputFolder=str(workplace / "data"),
        session_report=False,
        session_metadata=False,
    )
    assert openscope("run", str(file), "--yes").returncode == 0
    (folder,) = (workplace / "data").iterdir()
    return folder


@posix_only
@pytest.mark.parametrize("verb", ["sessions", "schema", "steps", "--help"])
def test_a_reader_that_goes_away_is_no_error(verb: str) -> None:
    done = shell('"$@" | sleep 0; exit ${PIPESTATUS[0]}', verb)
    assert (done.returncode, done.stderr) == (0, "")


@posix_only
def test_an_error_that_nobody_reads_keeps_its_exit_code() -> None:
    done = shell('"$@" 2>&1 | sleep 0; exit ${PIPESTATUS[0]}', "nonsense")
    assert (done.returncode, done.stderr) == (1, "")


@posix_only
@has_full_device
@pytest.mark.parametrize("verb", [["sessions", "--csv"], ["last"], ["--help"], ["schema"]])
def test_output_that_is_lost_is_one_plain_error(session: Path, verb: list[str]) -> None:
    done = shell('"$@" > /dev/full', *verb)
    assert done.returncode == 1
    assert done.stderr.count("could be written: No space left on device.") == 1
    assert done.stderr.count("fix:") == 1 and "unexpected" not in done.stderr


@posix_only
@has_full_device
@pytest.mark.parametrize("where", [">&-", ">&- 2>&- <&-", "> /dev/full", "> /dev/full 2>&1"])
def test_a_session_is_run_whatever_becomes_of_its_output(
    python_experiment: Experiment, workplace: Path, where: str
) -> None:
    file = python_experiment("print('hello')")
    done = shell(f'"$@" {where}', "run", str(file), "--yes")
    assert done.returncode == 0, done.stderr
    assert "AttributeError" not in done.stderr
    (session,) = (workplace / "data").iterdir()
    last = json.loads((session / "journal.jsonl").read_bytes().splitlines()[-1])
    assert (last["name"], last["data"]["outcome"]) == ("session.closed", "completed")
    assert (session / "logs" / "stdout.log").read_text() == "hello\n"


@posix_only
def test_a_command_whose_output_is_closed_does_what_it_does(session: Path) -> None:
    done = shell('"$@" >&-', "last")
    assert (done.returncode, done.stderr) == (0, "")
