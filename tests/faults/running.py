"""A session that is under way, seen from outside, and ways to hurt it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

OPENSCOPE = (sys.executable, "-m", "openscope_experimental_launcher")
WAITS = """
import pathlib, time
print("ready", flush=True)
while not pathlib.Path({flag!r}).exists(): time.sleep(0.02)
print("finished", flush=True)
"""
"""An acquisition that goes on until a file is there."""


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    """Wait until something is so, and give it back."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return found


class Running:
    """One session under way in a folder of its own.

    Args:
        data: the output folder, which holds only this session.
        launcher: the process that runs it; None when it is a terminal's.
    """

    def __init__(self, data: Path, launcher: subprocess.Popen[bytes] | None) -> None:
        self.data = data
        self._launcher = launcher

    @property
    def launcher(self) -> subprocess.Popen[bytes]:
        """The launcher's process."""
        assert self._launcher is not None
        return self._launcher

    @property
    def folder(self) -> Path:
        """The session folder."""
        return wait_for(lambda: next((j.parent for j in self.data.glob("*/journal.jsonl")), None))

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The data of the events of one name; the whole events when none is given."""
        lines = (self.folder / "journal.jsonl").read_bytes().splitlines()
        found = [json.loads(line) for line in lines if line.endswith(b"}")]
        return [e["data"] for e in found if e["name"] == name] if name else found

    def event(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The first event of a name, once it is there."""
        return dict(wait_for(lambda: self.events(name), seconds)[0])

    def output(self) -> str:
        """What the acquisition printed so far."""
        log = self.folder / "logs/stdout.log"
        return log.read_text("utf-8", "replace") if log.is_file() else ""

    def says(self, word: str) -> None:
        """Wait until the acquisition has printed a word."""
        wait_for(lambda: word in self.output())

    def guard(self) -> int:
        """The guard's process id."""
        return int(self.event("acquisition.started")["guard_pid"])

    def kill_guard(self) -> None:
        """Kill the guard so that nobody goes on in its place."""
        guard = self.guard()
        understudy = psutil.Process(guard).parent()
        if understudy is not None and understudy.cmdline()[-1].endswith("guard.py"):
            understudy.kill()
        os.kill(guard, signal.SIGKILL)
        wait_for(lambda: is_gone(guard))

    def cookie(self) -> str:
        """What marks the processes of the session's run."""
        return Path(self.event("session.opened")["run_folder"]).name

    def closed(self, seconds: float = 60) -> dict[str, Any]:
        """The session's last word, once it is closed; it must be the only one."""
        last = self.event("session.closed", seconds)
        assert len(self.events("session.closed")) == 1
        assert self.events()[-1]["name"] == "session.closed"
        return last


def processes_with(cookie: str) -> list[psutil.Process]:
    """The living processes that carry a run's cookie."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("OPENSCOPE_RUN") == cookie and process.status() != "zombie":
                found.append(process)
        except psutil.Error:
            continue
    return found


def end_runs(state: Path) -> None:
    """Kill what is left of all runs of a state folder."""
    cookies = {folder.name for folder in (state / "runs").glob("*")}
    for cookie in cookies:
        for process in processes_with(cookie):
            process.kill()
        for group in Path("/sys/fs/cgroup").glob(f"**/openscope-{cookie}"):
            with suppress(OSError):
                wait_for(lambda group=group: not (group / "cgroup.procs").read_text())
                group.rmdir()


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return True


def peak_mb(pid: int) -> float:
    """The most memory a process has had, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000
