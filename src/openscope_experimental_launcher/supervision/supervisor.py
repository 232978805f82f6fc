"""The launcher's side of the guard: start a run, attach to one, ask it to stop, see it end.

Starting is spawning a guard and then attaching to it, so that the launcher that started a run and
one that finds it later go the same way.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engines import Launch
from ..errors import EngineError, SessionError
from ..files import write_json
from ..jsonl import LineFollower, LineLog, read_lines
from ..locks import ProcessLock, is_held
from ..session.folder import SessionFolder
from ..session.state import is_same_session, runs_folder, session_key
from .awake import keep_awake_for
from .spawn import COOKIE, NOT_STARTED, order_guard

if TYPE_CHECKING:
    from .adoption import Adoption

_WAIT_SLICE_S = 0.2 if sys.platform == "win32" else 1.0
"""Windows handles Ctrl-C only between two waits."""
_MOST_REPLACED = 3  # whoever kills guards again and again must not be given them without end
_PROBED_S = 0.1
"""For so long a lock is tried that somebody may only be looking at."""
_READ_S = 5.0


class Acquisition:
    """A running or ended acquisition, seen through its guard's run folder.

    It has the face of a process (`pid`, `poll`, `wait`, `returncode`) and can be made in any
    process, any number of times. While it is open, the guard knows that a launcher is there.

    Args:
        run_folder: the guard's folder.

    Attributes:
        pid: process id of the acquisition's main process; 0 before it has started.
        returncode: its exit code, negative for a signal; None while it runs or when it is lost.
        ended: the guard's record of the end, or None.
        started_at: when it started, with the local offset; None before.
        ended_at: when it ended; None before, or when it is lost.
        started_mono: when it started, on the clock that does not jump; 0 before.
        tree: on Windows, the tree of processes in the launcher's job; None elsewhere.
    """

    def __init__(self, run_folder: Path, job: Any = None) -> None:
        self.run_folder = run_folder
        self.pid = 0
        self.returncode: int | None = None
        self.ended: dict[str, Any] | None = None
        self.started_at: datetime | None = None
        self.ended_at: datetime | None = None
        self.started_mono = 0.0
        self.tree: Any = None
        self._job = job
        self._launcher_lock = ProcessLock(run_folder / "launcher.lock")
        self._launcher_lock.acquire(patience_s=_PROBED_S)  # a second launcher goes without it
        self._records = LineFollower(run_folder / "guard.jsonl")
        self._unread: list[dict[str, Any]] = []
        self._guard: subprocess.Popen[bytes] | None = None
        self._environment: dict[str, str] = {}
        self._may_replace = False  # before its start is over, that is in `_order_guard`'s hands
        self._replaced = 0
        self._awake: subprocess.Popen[bytes] | None = None
        self._ordered = threading.Event()
        self._guard_gone = threading.Event()
        self._watcher = threading.Thread(target=self._await_guard, name="guard-wait", daemon=True)
        self._reading = threading.Lock()

    # -- starting and attaching ----------------------------------------------------------------

    @classmethod
    def start(
        cls,
        run_folder: Path,
        spec: Mapping[str, Any],
        environment: Mapping[str, str],
        job: Any = None,
    ) -> Acquisition:
        """Start a guard, and through it the acquisition.

        Args:
            run_folder: a new folder for the guard; made here, for this user only.
            spec: what `guard_spec` describes.
            environment: the whole environment of the acquisition.
            job: the launcher's job object on Windows (see `job.new_job`).

        Raises:
            EngineError: the main process could not be started.
            SessionError: the run folder could not be written.
        """
        try:
            run_folder.mkdir(parents=True, mode=0o700)
            write_json(run_folder / "spec.json", dict(spec), mode=0o600)
        except OSError as error:
            raise SessionError(
                f"The launcher's own records cannot be written: {error}",
                code="state-folder-unwritable",
                where=str(run_folder),
                fix="Make the folder writable, or set OPENSCOPE_STATE_DIRECTORY to another one.",
            ) from error
        acquisition = cls(run_folder, job)
        # What might not be had must be there before anything runs.
        acquisition._watcher.start()
        try:
            acquisition._order_guard(environment)
            acquisition._may_replace = True
        finally:
            acquisition._ordered.set()
        return acquisition

    @classmethod
    def attach(cls, run_folder: Path) -> Acquisition:
        """The acquisition of a run that some launcher started, running or ended."""
        acquisition = cls(run_folder)
        acquisition._ordered.set()
        acquisition._watcher.start()
        acquisition._read()
        return acquisition

    def _order_guard(self, environment: Mapping[str, str]) -> None:
        self._environment = {**environment, COOKIE: self.run_folder.name}
        self._guard, started = order_guard(self.run_folder, self._environment, self._job)
        self._read()
        # A guard that was killed before its answer may have started the acquisition: then it is
        # one whose guard was lost, never one that was not started.
        if not started and not self.pid and self._guard.wait() != NOT_STARTED:
            self._replace_guard()
        if not started and not self.pid and self._guard.wait() >= 0:
            raise self._not_started()
        with suppress(OSError):  # the machine may then fall asleep, which is no reason to end
            self._awake = keep_awake_for(self._guard.pid)

    def _replace_guard(self) -> bool:
        """Start a guard in the place of one that was killed, where only the job object holds the
        tree (elsewhere its understudy is there already). Whether one was started."""
        if sys.platform != "win32" or self._job is None or self._guard is None:
            return False
        if self._replaced >= _MOST_REPLACED:
            return False
        self._replaced += 1
        self._guard, _ = order_guard(
            self.run_folder, self._environment, self._job, fallen=self._guard.pid
        )
        self._read()
        return True

    def _not_started(self) -> EngineError:
        reasons = [
            record["data"]["error"]
            for record in self._unread
            if record["name"] == "acquisition.not_started"
        ]
        errors = self.run_folder / "guard.err"
        said = errors.read_text("utf-8", "replace").split("\n")[-2:-1] if errors.is_file() else []
        reason = "; ".join(filter(None, [*reasons, *said])) or "its guard ended"
        spec = json.loads((self.run_folder / "spec.json").read_text("utf-8"))
        self.close()
        return EngineError(
            f"The acquisition could not be started: {reason}",
            code="acquisition-not-started",
            where=str(spec["arguments"][0]),
            fix="Check that the program and its working folder are there.",
        )

    def _await_guard(self) -> None:
        """Wait for the guard's lock: the system gives it to us the moment the guard ends."""
        self._ordered.wait()
        try:
            if self._guard is not None:
                self._get_ready_to_adopt()
            while True:
                self._outwait_guard()
                self._read()
                if self.ended is not None or not (self._may_replace and self._replace_guard()):
                    break
        finally:
            self._guard_gone.set()

    def _outwait_guard(self) -> None:
        lock = ProcessLock(self.run_folder / "guard.lock")
        while not lock.held:
            try:
                lock.acquire(wait=True)
            except FileNotFoundError:  # nobody can hold it any more
                return
            except OSError:  # too many open files, a disk that is away
                time.sleep(_PROBED_S)
        lock.release()

    def _get_ready_to_adopt(self) -> None:
        """See to it that the exit of the acquisition is known even if its guard is killed."""
        if sys.platform == "linux":
            from .tree_linux import become_subreaper

            become_subreaper()
        elif sys.platform == "win32" and self._job is not None and self.pid:
            from .tree_windows import Tree

            try:
                self.tree = Tree(int(self._job), self.pid)
            except OSError:  # it has ended already, what it started perhaps not
                self.tree = Tree(int(self._job))

    @cached_property
    def orphans(self) -> Adoption:
        """What is left when the guard is gone without having seen the end."""
        from .adoption import Adoption

        return Adoption(self)

    # -- the face of a process -----------------------------------------------------------------

    def poll(self) -> int | None:
        """The exit code when the acquisition has ended, else None."""
        self._read()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Block until the acquisition has ended and nothing of it is alive.

        Args:
            timeout: seconds to wait at most; None waits for ever.

        Returns:
            The exit code; None when it is lost.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        while not self._guard_gone.wait(min(_WAIT_SLICE_S, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired(str(self.run_folder.name), timeout or 0.0)
        self._read()
        if self._guard is not None:
            self._guard.wait()
        if self._awake is not None:
            self._awake.terminate()
            self._awake.wait()
        return self.returncode

    @property
    def guard_is_gone(self) -> bool:
        """Whether the guard has ended; safe to be asked in a signal handler."""
        return self._guard_gone.is_set()

    def ended_within(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s`; whether the guard has ended."""
        return self._guard_gone.wait(timeout_s)

    # -- requests and records ------------------------------------------------------------------

    def request_stop(self, by: str, reason: str = "") -> None:
        """Ask it to end: the engine's way of asking, then the grace, then the kill.

        Args:
            by: who wants it (`operator`, `launcher`, …).
            reason: why, for the records.

        Raises:
            SessionError: the guard cannot be told.
        """
        self._request("stop", by, reason)

    def request_kill(self, by: str, reason: str = "") -> None:
        """End the whole tree now."""
        self._request("kill", by, reason)

    def _request(self, kind: str, by: str, reason: str) -> None:
        request_from_guard(self.run_folder, kind, by, reason)

    def new_records(self) -> list[dict[str, Any]]:
        """The guard's records since the last call, in order."""
        self._read()
        with self._reading:
            records, self._unread = self._unread, []
        return records

    def read_to_the_end(self) -> None:
        """Read what the guard has written to its end.

        Raises:
            OSError: it cannot be read, and could not for some seconds.
        """
        deadline = time.monotonic() + _READ_S
        while True:
            try:
                return self._take_in()
            except OSError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PROBED_S)

    def _read(self) -> None:
        with suppress(OSError):  # what cannot be read now is read at the next look
            self._take_in()

    def _take_in(self) -> None:
        with self._reading:
            for record in self._records.new_records():
                self._unread.append(record)
                if record["name"] == "acquisition.started":
                    self.pid = record["data"]["pid"]
                    self.started_at = datetime.fromisoformat(record["time"])
                    self.started_mono = record["mono"]
                elif record["name"] == "acquisition.ended":
                    self.take_end(record["data"], datetime.fromisoformat(record["time"]))

    def take_end(self, ended: dict[str, Any], at: datetime | None = None) -> None:
        """Take a record of the end for true; its time is now unless it is given."""
        self.ended = ended
        self.returncode = returncode_of(ended)
        self.ended_at = at or datetime.now().astimezone()

    def close(self) -> None:
        """Let go of the run; a guard that still runs then counts its launcher as lost."""
        self._launcher_lock.release()


def runs_of(session: SessionFolder) -> list[Path]:
    """The run folders of a session that are on this machine, oldest first."""
    key = session_key(session.path)
    found = [
        spec_file.parent
        for spec_file in runs_folder().glob("*/spec.json")
        if is_same_session(str(read_spec(spec_file).get("session_folder") or ""), key)
    ]
    return sorted(found, key=lambda folder: (folder / "spec.json").stat().st_mtime)


def guard_lives(run_folder: Path) -> bool:
    """Whether the guard of a run is there at this moment."""
    return is_held(run_folder / "guard.lock")


def discard_run(run_folder: Path) -> None:
    """Remove what is left of an ended run whose records the journal has."""
    shutil.rmtree(run_folder, ignore_errors=True)
    if sys.platform == "linux":
        from .holding import ControlGroup

        ControlGroup(run_folder.name).remove()  # where its guard was killed


def discard_runs(session: SessionFolder) -> None:
    """Remove all run folders of a closed session."""
    for run_folder in runs_of(session):
        discard_run(run_folder)


def recovery_command(session_folder: Path) -> list[str]:
    """What a guard starts at the end when no launcher is there to close the session."""
    module = "openscope_experimental_launcher"
    return [sys.executable, "-P", "-m", module, "recover", str(session_folder), "--unattended"]


def request_from_guard(run_folder: Path, kind: str, by: str, reason: str) -> None:
    """Append a request (`stop` or `kill`) to a run; safe from any process at any time.

    Where it cannot be written, on a full disk, the guard is told by a signal, which it takes for a
    stop; and where there are none, it gets the room that is kept for the record of the end.

    Raises:
        SessionError: the guard cannot be told.
    """
    request = {"request": kind, "by": by, "reason": reason, "pid": os.getpid()}
    try:
        _append_request(run_folder, request)
    except OSError as error:
        if sys.platform != "win32" and _signal_guard(run_folder):
            return
        try:
            (run_folder / "reserve").unlink(missing_ok=True)
            _append_request(run_folder, request)
        except OSError:
            raise SessionError(
                f"The acquisition's guard cannot be told: {error.strerror or error}.",
                code="guard-unreachable",
                where=str(run_folder),
                fix="Make room on this disk, or bring it back; then do it again.",
            ) from error


def _append_request(run_folder: Path, request: dict[str, Any]) -> None:
    log = LineLog(run_folder / "control.jsonl", mode=0o600)
    try:
        log.append(request, sync=False)
    finally:
        log.close()


def _signal_guard(run_folder: Path) -> bool:
    """Ask a guard that lives by SIGTERM. Whether it was there."""
    guards = [
        record["data"]["guard_pid"]
        for record in read_lines(run_folder / "guard.jsonl")
        if record["name"] in ("acquisition.started", "guard.replaced")
    ]
    if not guards or not guard_lives(run_folder):
        return False
    try:
        os.kill(guards[-1], signal.SIGTERM)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def returncode_of(ended: Mapping[str, Any]) -> int | None:
    """The exit code as `subprocess` counts it: negative for a signal."""
    if ended["signal"] is not None:
        return -int(ended["signal"])
    return None if ended["exit_code"] is None else int(ended["exit_code"])


def guard_spec(
    launch: Launch,
    *,
    session_folder: Path,
    stdout: Path,
    stderr: Path,
    limits: Mapping[str, Any],
    watching: Mapping[str, Any],
) -> dict[str, Any]:
    """What a guard must know of one run.

    Args:
        launch: the launch, bound to its session folder.
        session_folder: the folder whose volume and files are watched.
        stdout: new file for the output.
        stderr: new file for the error output.
        limits: fields of `limits.Limits`.
        watching: `stop_grace_s`, `terminate_grace_s`, `on_launcher_lost`, `unattended_minutes`,
            `sample_interval_s`, `rig_id`, `sync_node`, `session_uuid`, `checkout` and `recover`
            (the command that closes the session when no launcher is there at the end; empty for
            none).
    """
    return {
        "arguments": list(launch.arguments),
        "folder": launch.folder,
        "ask": {"how": launch.ask.how, "stop_file": launch.ask.stop_file},
        "session_folder": str(session_folder),
        "stdout": str(stdout),
        "stderr": str(stderr),
        "limits": dict(limits),
        **watching,
    }


def read_spec(spec_file: Path) -> dict[str, Any]:
    """What a guard was told of its run; empty when it cannot be read."""
    try:
        spec = json.loads(spec_file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return spec if isinstance(spec, dict) else {}
