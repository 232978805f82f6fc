"""Sessions whose standard metadata are looked at."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from report.conftest import Past

COMPLETE = {
    "session_type": "visual oddball",
    "modality": "behavior",
    "project_name": "OpenScope",
    "institution": "AIND",
    "funding_source": ["NINDS", {"funder": "Allen Institute", "grant_number": "7"}],
    "investigators": ["Ana Berg", "Jürgen Müller"],
    "ethics_review_id": 2408,
    "protocol_id": [2450, "10.17504/protocols.io.abc"],
    "stimulus_modalities": "visual",
    "mouse_platform_name": "running disc",
    "active_mouse_platform": False,
    "description": "An oddball",
}
"""All that the schema wants beside what every session has."""

TABLE = """start_time,stop_time,stim_name,stim_block,Orientation,Contrast
0.5,1.0,gratings,0,45,0.8
1.5,2.0,gratings,0,90,0.8
2.5,3.0,movie,1,0,0.5
"""


@pytest.fixture
def past(tmp_path: Path, own_state: Path) -> Callable[..., Past]:
    """Begin the folder of a session; all are below one root."""
    root = tmp_path / "data"
    return lambda **opened: Past(root, **opened)


@pytest.fixture
def complete(past: Callable[..., Past]) -> Callable[..., Path]:
    """The folder of a closed session that went well, with all that the schema wants."""

    def make(parameters: dict[str, Any] | None = None, **opened: Any) -> Path:
        session = past(**opened).started().sampled(4).ended(4.0).judged(4.1, "completed")
        (session.folder / "stimulus_table.csv").write_text(TABLE, encoding="utf-8")
        session.recorded(**(COMPLETE if parameters is None else parameters))
        return session.closed(4.5)

    return make


def wait_for(condition: Callable[[], Any], seconds: float = 240) -> Any:
    """Wait until something is so, and give it back."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
    return found


def sealed_with(folder: Path, name: str) -> bool:
    """Whether a file is in the session and its manifest, and the journal is closed after that."""
    manifest = folder / "manifest.json"
    if not manifest.is_file() or name not in json.loads(manifest.read_bytes())["files"]:
        return False
    last = (folder / "journal.jsonl").read_bytes().splitlines()[-1]
    return bool(json.loads(last)["name"] == "session.closed")


@pytest.fixture(scope="session")
def python_without_extra(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with all that this one has but the library of the schema."""
    folder = tmp_path_factory.mktemp("without")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    own = Path(sysconfig.get_path("purelib"))
    own_site = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=own_site))
    for entry in own.iterdir():
        if not entry.name.startswith("aind_data_schema") and not (site / entry.name).exists():
            (site / entry.name).symlink_to(entry)
    python = Path(sysconfig.get_path("scripts", "venv", vars=own_site)) / Path(sys.executable).name
    done = subprocess.run([str(python), "-c", "import aind_data_schema"], capture_output=True)
    assert done.returncode != 0
    return python
