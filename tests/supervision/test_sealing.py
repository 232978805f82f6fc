"""A closed session whose amendment was killed at the worst moment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from openscope_experimental_launcher.amending import complete
from openscope_experimental_launcher.files import sha256_of
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.state import cut_off_sealings, note_sealing
from supervision.test_recovery import assert_closed, events, names

Openscope = Callable[..., "subprocess.CompletedProcess[str]"]

AMENDS = """
import os, signal, sys
from pathlib import Path
from openscope_experimental_launcher.amending import complete
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.journal import Journal
from openscope_experimental_launcher.session.manifest import write_atomic
import openscope_experimental_launcher.session.manifest as manifest

def dies(*_):
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

def records(journal, event, record=Journal.record):
    dies() if type(event).__name__ == sys.argv[2] else record(journal, event)

Journal.record = records
if sys.argv[2] == "manifest":
    manifest.write_atomic = dies
complete(SessionFolder(Path(sys.argv[1])), metadata=False, report=True)
"""


@pytest.fixture
def session(openscope: Openscope, python_experiment: Callable[..., Path], workplace: Path) -> Path:
    """The folder of a session that was closed."""
    done = openscope("run", str(python_experiment("print('ran')")), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = (workplace / "data").iterdir()
    return folder


def killed_before(session: Path, moment: str) -> None:
    """Make the report of a session, up to a moment."""
    done = subprocess.run([sys.executable, "-c", AMENDS, str(session), moment], check=False)
    assert done.returncode != 0 and (session / "report.html").is_file()


@pytest.mark.parametrize("named", [True, False], ids=["named", "found"])
@pytest.mark.parametrize("moment", ["ManifestSealed", "SessionClosed"])
def test_recovery_finishes_what_was_sealed_and_not_recorded(
    session: Path, openscope: Openscope, moment: str, named: bool
) -> None:
    killed_before(session, moment)
    assert openscope("validate", str(session)).returncode == 1
    done = openscope("recover", *[session.name][: int(named)])
    assert done.returncode == 0 and "cut off, is finished" in done.stdout, done.stdout + done.stderr
    for verb in ("verify", "validate"):
        looked = openscope(verb, str(session))
        assert looked.returncode == 0, looked.stdout + looked.stderr
    found = names(session)
    assert found.count("manifest.sealed") == 2 and found[-1] == "session.closed"
    assert events(session)[-1]["data"]["outcome"] == "completed"
    assert cut_off_sealings() == []
    assert openscope("recover").stdout == "No session is open.\n"


@pytest.mark.parametrize("moment", ["ManifestSealed", "SessionClosed"])
def test_whoever_amends_it_next_finishes_it(session: Path, moment: str) -> None:
    killed_before(session, moment)
    complete(SessionFolder(session), metadata=False, report=True)
    assert cut_off_sealings() == []
    sealed = [e["data"]["sha256"] for e in events(session) if e["name"] == "manifest.sealed"]
    assert sealed[-1] == sha256_of(session / "manifest.json")
    assert names(session)[-1] == "session.closed"


def test_what_was_never_written_is_not_recorded(session: Path, openscope: Openscope) -> None:
    before = (session / "manifest.json").read_bytes()
    killed_before(session, "manifest")
    done = openscope("recover")
    assert done.returncode == 0 and "see: openscope verify" in done.stdout
    assert (session / "manifest.json").read_bytes() == before
    assert_closed(session)
    assert names(session).count("manifest.sealed") == 1 and cut_off_sealings() == []


def test_a_manifest_that_was_damaged_is_still_found(session: Path, openscope: Openscope) -> None:
    killed_before(session, "ManifestSealed")
    manifest = session / "manifest.json"
    damaged = json.loads(manifest.read_bytes())
    damaged["files"]["report.html"]["size"] += 1
    manifest.write_text(json.dumps(damaged))
    done = openscope("recover", session.name)
    assert done.returncode == 0 and "see: openscope verify" in done.stdout
    found = openscope("verify", str(session))
    assert found.returncode == 1 and "manifest.json" in found.stdout
    note_sealing(session, "0" * 64)  # nor is it taken for the one that another was to become
    assert openscope("recover", session.name).returncode == 0
    assert openscope("verify", str(session)).returncode == 1
