"""What a person asks of sessions that were: listing, finding and showing them."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from openscope_experimental_launcher.cli.sessions import since
from openscope_experimental_launcher.errors import ParameterError

Openscope = Callable[..., "subprocess.CompletedProcess[str]"]
Experiment = Callable[..., Path]

_FAILS_FOR_ONE = """
import os
raise SystemExit(3 if os.environ["OPENSCOPE_SUBJECT_ID"] == "700001" else 0)
"""
_NOW = datetime(2026, 3, 14, 10, 30)


def _listed(openscope: Openscope, *arguments: str) -> list[dict[str, object]]:
    done = openscope("sessions", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_sessions_are_listed_found_and_shown(
    openscope: Openscope, python_experiment: Experiment, workplace: Path
) -> None:
    empty = openscope("sessions")
    assert (empty.returncode, "No session is known here yet." in empty.stdout) == (0, True)
    file = python_experiment(_FAILS_FOR_ONE, script_parameters={"reward": "grapefruit"})
    assert openscope("run", str(file), "--yes").returncode == 0
    assert openscope("run", str(file), "--yes", "--subject", "700001").returncode == 1

    newest, oldest = _listed(openscope)
    assert (newest["subject"], newest["outcome"]) == ("700001", "failed")
    assert (oldest["subject"], oldest["outcome"]) == ("614173", "completed")
    assert _listed(openscope, "--subject", "614173") == [oldest]
    assert _listed(openscope, "--outcome", "failed", "--since", "1h") == [newest]
    assert _listed(openscope, "--text", "grapef complet") == [oldest]
    assert _listed(openscope, "--limit", "1") == [newest]
    rows = list(csv.DictReader(openscope("sessions", "--csv").stdout.splitlines()))
    assert [row["name"] for row in rows] == [newest["name"], oldest["name"]]

    refused = openscope("sessions", "--limit", "-1")
    assert (refused.returncode, "--limit -1" in refused.stderr) == (1, True)

    table = openscope("sessions", "--limit", "1").stdout
    assert str(newest["name"]) in table
    assert str(newest["reason"]) in table
    assert "1 of 2 sessions" in table
    assert "mean '614173'" in openscope("sessions", "--subject", "614174").stdout

    shown = openscope("show", str(oldest["name"])).stdout
    assert "completed" in shown.splitlines()[0]
    assert "Frieda Müller" in shown
    assert str(oldest["code"]) in shown
    last = openscope("last")
    assert str(newest["name"]) in last.stdout.splitlines()[0]
    told = json.loads(openscope("last", "--subject", "614173", "--json").stdout)
    assert told["parameters"]["script_parameters.reward"] == "grapefruit"

    shutil.rmtree(str(newest["folder"]))
    assert "its folder is gone" in openscope("sessions").stdout
    assert str(oldest["name"]) in openscope("last").stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("sessions", "--since", "soon"), "no time since when"),
        (("sessions", "nowhere"), "no session in this folder"),
        (("show", "nobody"), "no session of this name"),
        (("last",), "No session is known here"),
    ],
)
def test_what_cannot_be_found_is_said_in_one_sentence(
    openscope: Openscope, arguments: tuple[str, ...], code: str
) -> None:
    done = openscope(*arguments)
    assert done.returncode == 1
    assert code in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-03-13", datetime(2026, 3, 13)),
        ("2026-03-13T09:15", datetime(2026, 3, 13, 9, 15)),
        ("today", datetime(2026, 3, 14)),
        ("Yesterday", datetime(2026, 3, 13)),
        ("12h", _NOW - timedelta(hours=12)),
        ("2W", _NOW - timedelta(weeks=2)),
    ],
)
def test_a_time_is_said_as_people_say_it(said: str, meant: datetime) -> None:
    assert since(said, _NOW) == meant.timestamp()


@pytest.mark.parametrize("said", ["7x", "-3d", "2026-13-01"])
def test_what_is_no_time_is_refused(said: str) -> None:
    with pytest.raises(ParameterError):
        since(said, _NOW)
