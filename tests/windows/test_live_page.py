"""The live page on Windows: a session is followed, a note is taken in, a stop is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from web.serving import COMMAND, Served, wait_for

WriteParameters = Callable[..., Path]

TASK = """
import time
for number in range(2400):
    print("Trial", number, flush=True)
    time.sleep(0.05)
"""


@pytest.fixture
def served(own_state: Path) -> Iterator[Served]:
    """A live page that somebody was let in to."""
    served = Served().sign_in()
    yield served
    served.kill()


def _events(session: Path) -> list[str]:
    text = (session / "journal.jsonl").read_text("utf-8")
    return [json.loads(line)["name"] for line in text.splitlines() if line.endswith("}")]


def test_a_session_is_followed_noted_and_stopped(
    served: Served, workplace: Path, write_parameters: WriteParameters
) -> None:
    (workplace / "task.py").write_text(TASK)
    file = write_parameters(
        launcher="python",
        script_path="task.py",
        subject_id="614173",
        user_id="Frieda Müller",
        OutputFolder=str(workplace / "data"),
        session_report=False,
        stop_grace_s=1,
    )
    launcher = subprocess.Popen(
        [sys.executable, "-m", "openscope_experimental_launcher", "run", str(file), "--yes"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seen = wait_for(lambda: [s for s in served.sessions() if s["running"]], every_s=0.3)[0]
    assert seen["state"] == "running" and seen["subject"] == "614173"
    assert seen["acts"] == {"note": True, "stop": True, "recover": False}
    lines = wait_for(lambda: served.get(f"/api/sessions/{seen['id']}")[1]["lines"], every_s=0.3)
    assert lines[0][2] == "Trial 0"
    session = Path(seen["path"])
    note = {"text": "die Maus schläft", "by": "Frieda"}
    assert served.post(f"/api/sessions/{seen['id']}/note", note) == (200, {})
    wait_for(lambda: "note.added" in _events(session))
    assert served.post(f"/api/sessions/{seen['id']}/stop", {"reason": "enough"}) == (200, {})
    assert launcher.wait(60) == 130
    wait_for(lambda: served.session(session)["state"] == "closed", every_s=0.3)
    status, _, report = served.ask(seen["report"], Cookie=served.cookie)
    assert status == 200 and "die Maus schläft" in report.decode()


def test_two_pages_do_not_share_a_port(served: Served) -> None:
    done = subprocess.run(
        [*COMMAND, "--port", str(served.port)], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 1 and "Another program listens on this port" in done.stderr
