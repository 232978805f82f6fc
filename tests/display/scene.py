"""A session to look at: a real journal and real output files, written as the launcher and the
guard write them. Run as a program it plays one in front of a display:

    python scene.py FOLDER ACT        (an act is a function below whose name starts with `act_`)
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from openscope_experimental_launcher.display.live import open_display
from openscope_experimental_launcher.display.thread import Display
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.journal import (
    AcquisitionJudged,
    FindingReported,
    Journal,
    NoteAdded,
    SessionOpened,
    StageEntered,
)

PLAN: dict[str, Any] = {
    "subject_id": "614173",
    "rehearsal": False,
    "limits": {"memory_limit_mb": 4000.0, "max_duration_s": 3600.0},
    "stop": {"how": "signal", "loses": ""},
}


class Scene:
    """One session folder with its journal and output files."""

    def __init__(self, root: Path) -> None:
        self.folder = SessionFolder(root / "614173_2025-03-01_10-00-00")
        self.folder.logs.mkdir(parents=True)
        self.journal = Journal(root / "fallback.jsonl")
        self.journal.open(self.folder.journal)
        self._guard_seq = 0

    def open(self) -> None:
        self.journal.record(
            SessionOpened(
                session_uuid=self.folder.name,
                subject_id="614173",
                user_id="someone",
                rig_id="rig",
                launcher="python",
                launcher_version="1.0.0",
                parameter_file="",
                params_checksum="",
                run_folder="",
                rehearsal=False,
                host="here",
                pid=1,
            )
        )

    def stage(self, name: str) -> None:
        self.journal.record(StageEntered(name))

    def note(self, text: str) -> None:
        self.journal.record(NoteAdded(text))

    def warn(self, message: str) -> None:
        self.guard("acquisition.warned", about="memory_limit_mb", message=message)

    def find(self, message: str) -> None:
        self.journal.record(FindingReported("diagnosis", "error", "x", message, fix="Mend it."))

    def guard(self, name: str, run: str = "run-1", **data: Any) -> None:
        self._guard_seq += 1
        self.journal.import_guard_record(
            run,
            {
                "seq": self._guard_seq,
                "time": "2025-03-01T10:00:00.000+00:00",
                "mono": time.monotonic(),
                "name": name,
                "data": data,
            },
        )

    def sample(self, elapsed_s: float, cpu_s: float = 0.3, memory_mb: float = 123.4) -> None:
        self.guard(
            "acquisition.sampled",
            elapsed_s=elapsed_s,
            memory_mb=memory_mb,
            cpu_s=cpu_s * elapsed_s,
            processes=3,
            disk_free_mb=123456,
        )

    def end(self, exit_code: int = 0, duration_s: float = 8.0) -> None:
        self.guard(
            "acquisition.ended", exit_code=exit_code, signal=None, stop=None, duration_s=duration_s
        )

    def judge(self, outcome: str, reason: str = "") -> None:
        self.journal.record(AcquisitionJudged(outcome, 0, reason))

    def say(self, text: str | bytes, stream: str = "stdout", attempt: int = 1) -> None:
        data = text.encode() if isinstance(text, str) else text
        with self.folder.output(stream, attempt).open("ab") as out:
            out.write(data)

    def display(self, **changes: Any) -> Display:
        return open_display(self.folder, plan=PLAN | changes, on_note=self.note)


def begin(scene: Scene) -> None:
    scene.open()
    scene.stage("acquisition")
    scene.guard("acquisition.started", pid=4321)


def act_quiet(scene: Scene) -> None:
    """Runs until a line comes on standard input of the test's own choosing: a file `go`."""
    begin(scene)
    with scene.display():
        for second in range(1, 400):
            scene.sample(second * 0.1)
            scene.say(f"trial {second} of 400: standard, 45 degrees\n")
            time.sleep(0.1)
            if (scene.folder.path / "go").exists():
                break
        scene.end()
        scene.judge("completed")
        scene.stage("closing")
    print("THE END", flush=True)


def act_full(scene: Scene) -> None:
    begin(scene)
    scene.warn("The acquisition uses 3650 MB of its 4000 MB of memory.")
    scene.warn("The session's disk will be full at 14:32, before the planned end 14:50.")
    scene.note("mouse is grooming")
    scene.note("moved the lick spout 1 mm to the left, the animal did not reach it before")
    for number in range(30):
        scene.say(f"trial {number}: [bold red]markup[/] \x1b[31mcolour\x1b[0m \x1b[2J and ümläut\n")
    scene.say("UserWarning: frame dropped at 12.3 s\n", "stderr")
    scene.say("x" * 400 + "\n")
    scene.sample(1.0)
    scene.sample(2.0, memory_mb=3650)
    with scene.display(rehearsal=True):
        time.sleep(float(sys.argv[3]))
    print("THE END", flush=True)


def act_stopping(scene: Scene) -> None:
    begin(scene)
    scene.sample(1.0)
    with scene.display():
        time.sleep(0.5)
        scene.guard("acquisition.stop_requested", by="operator", reason="", kill_in_s=10.0)
        time.sleep(2.0)
    print("THE END", flush=True)


def act_pause(scene: Scene) -> None:
    begin(scene)
    with scene.display() as display:
        time.sleep(0.6)
        display.pause()
        print("answer:", input("weight of the mouse? "), flush=True)
        display.resume()
        scene.say("after the pause\n")
        print("printed by a hook", flush=True)
        time.sleep(0.8)
    print("THE END", flush=True)


def act_broken(scene: Scene) -> None:
    """A fault in the display itself."""
    begin(scene)
    with scene.display() as display:
        time.sleep(0.5)
        display.view = None  # type: ignore[assignment]
        time.sleep(1.0)
        print(f"alive: {display.alive}", flush=True)
    print("THE END", flush=True)


def act_flood(scene: Scene) -> None:
    """A million lines while the display runs; leaves the CPU time of the display's thread."""
    begin(scene)
    line = b"a line of eighty characters, as an acquisition may print them all day long.....\n"
    before = time.process_time() - time.thread_time()
    with scene.display():
        for _ in range(100):
            scene.say(line * 10_000)
            time.sleep(0.02)
        scene.end()
    used = time.process_time() - time.thread_time() - before
    (scene.folder.path / "cpu").write_text(f"{used:.3f}")
    print("THE END", flush=True)


def act_crash(scene: Scene) -> None:
    """The program dies of an exception while its display runs."""
    begin(scene)
    scene.display().start()
    time.sleep(0.6)
    raise SystemExit(7)


if __name__ == "__main__":
    if os.environ.get("IGNORE_HANGUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    globals()[f"act_{sys.argv[2]}"](Scene(Path(sys.argv[1])))
