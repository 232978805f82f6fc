"""A closed session that was touched is told from one that was not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from openscope_experimental_launcher.recovery import adopted
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.journal import ManifestSealed
from openscope_experimental_launcher.session.manifest import build_manifest, seal

OPENSCOPE = (sys.executable, "-m", "openscope_experimental_launcher")
Run = Callable[..., "CompletedProcess[str]"]

_WRITES = """
import os, pathlib
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
for name in ("kept.csv", "turned.csv", "gone.csv"):
    (folder / "größe").mkdir(exist_ok=True)
    (folder / "größe" / name).write_bytes(bytes(100_000))
"""


@pytest.fixture
def sealed(openscope: Run, python_experiment: Callable[..., Path], workplace: Path) -> Path:
    """The folder of a session that was closed."""
    assert openscope("run", str(python_experiment(_WRITES)), "--yes").returncode == 0
    (folder,) = (workplace / "data").iterdir()
    return folder


def test_what_nobody_touched_is_as_it_was_sealed(openscope: Run, sealed: Path) -> None:
    done = openscope("verify", sealed.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as they were sealed" in done.stdout


@pytest.mark.parametrize("verb", ["verify", "validate"])
def test_what_is_being_sealed_anew_is_looked_at_again(sealed: Path, verb: str) -> None:
    folder = SessionFolder(sealed)
    with adopted(folder) as journal:
        (sealed / "late.txt").write_text("made after the end")
        looking = subprocess.Popen([*OPENSCOPE, verb, str(sealed)], stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            looking.wait(2)
        manifest = build_manifest(folder, session={})
        journal.record(ManifestSealed(seal(folder, manifest), len(manifest["files"]), 1))
    said, _ = looking.communicate(timeout=60)
    assert b"late.txt" not in said
    assert looking.returncode == 0 or verb == "validate"


def test_every_difference_is_named(openscope: Run, sealed: Path) -> None:
    turned = sealed / "größe" / "turned.csv"
    before = turned.stat()
    with turned.open("r+b") as stream:  # one bit, and the same size and time
        stream.seek(50_000)
        stream.write(b"\x01")
    os.utime(turned, ns=(before.st_atime_ns, before.st_mtime_ns))
    (sealed / "größe" / "gone.csv").unlink()
    (sealed / "new.txt").write_text("new")
    done = openscope("verify", str(sealed), "--json")
    assert done.returncode == 1
    found = json.loads(done.stdout)[str(sealed)]["differences"]
    assert {(row["file"], row["state"]) for row in found} == {
        ("größe/turned.csv", "changed"),
        ("größe/gone.csv", "missing"),
        ("new.txt", "added"),
    }
    said = openscope("verify", str(sealed)).stdout
    assert "3 differences" in said
    assert "changed    größe/turned.csv" in said


def test_a_manifest_that_was_made_to_fit_is_found(openscope: Run, sealed: Path) -> None:
    manifest = json.loads((sealed / "manifest.json").read_bytes())
    (sealed / "größe" / "gone.csv").unlink()
    del manifest["files"]["größe/gone.csv"]
    (sealed / "manifest.json").write_text(json.dumps(manifest))
    done = openscope("verify", str(sealed))
    assert done.returncode == 1
    assert "changed    manifest.json" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_is_no_file_of_the_session(openscope: Run, sealed: Path, tmp_path: Path) -> None:
    file = sealed / "größe" / "kept.csv"
    file.rename(tmp_path / "kept.csv")
    file.symlink_to(tmp_path / "kept.csv")
    done = openscope("verify", str(sealed))
    assert done.returncode == 1
    assert "missing    größe/kept.csv" in done.stdout


def test_what_cannot_be_compared_is_said_and_the_rest_is_compared(
    openscope: Run, sealed: Path
) -> None:
    done = openscope("verify", str(sealed.parent), str(sealed))
    assert done.returncode == 1
    assert "There is no session" in done.stderr
    assert "as they were sealed" in done.stdout
    (sealed / "manifest.json").write_text("{")
    done = openscope("verify", str(sealed))
    assert done.returncode == 1
    assert "The manifest cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
