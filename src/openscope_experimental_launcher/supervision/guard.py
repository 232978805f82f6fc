"""The guard: a small program that owns the acquisition.

It is the parent of the acquisition, not the launcher: it holds the whole process tree, gives the
main process its output files directly, enforces the limits, stops what must be stopped and records
the true end, whatever becomes of the launcher. It is executed as `python -I -S guard.py`, waits
for one line on its standard input that names its run folder, and imports the standard library
only, so that no package of the environment can break it.

The run folder is its only contact with the world:

    spec.json      what to start and how to watch it (written by the launcher before)
    guard.lock     held while the guard lives; whoever waits for the end waits for this lock
    launcher.lock  held by the launcher that is attached; free means that it was lost
    control.jsonl  requests, appended by anyone who may write here: stop, kill
    guard.jsonl    what happened, one JSON object a line
    reserve        room that is given up when the disk is full, so that the end can be recorded
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":  # executed as a file: let it find its own modules, after the library's
    sys.path.append(str(Path(__file__).parents[2]))

from openscope_experimental_launcher.jsonl import LineFollower
from openscope_experimental_launcher.locks import ProcessLock, is_held
from openscope_experimental_launcher.supervision.awake import stay_awake
from openscope_experimental_launcher.supervision.limits import Limits, Sample, Verdict, judge
from openscope_experimental_launcher.supervision.records import OutputFile, Records, complain
from openscope_experimental_launcher.supervision.spawn import COOKIE, own_session
from openscope_experimental_launcher.supervision.tree import Tree, system_memory_percent

if sys.platform == "win32":
    from openscope_experimental_launcher.supervision.tree_windows import end_last, join_job

    def wake_on_change(_: Path) -> bool:
        """Windows tells of changes only through threads; the guard looks often instead."""
        return False
else:
    from openscope_experimental_launcher.supervision.wakeup import wake_on_change

if sys.platform == "linux":
    from openscope_experimental_launcher.supervision.understudy import split

GUARDED, NOT_STARTED = 0, 4
"""Exit codes; Python's own, for a program that broke down, is 1."""

POLL_S = 0.05
QUIET_S = 1.0
MEASURE_S = 0.2
SLOW_S = 1.0
LAUNCHER_GRACE_S = 2.0
STRAY_GRACE_S = 1.0
CLOCK_JUMP_S = 2.0
HISTORY_S = 120
FILES_SHARE = 20  # of the time, one part in twenty at most goes into looking at many files
CAN_TERMINATE = sys.platform != "win32"  # there `Tree.terminate` has nothing to offer


class Guard:
    """One acquisition from its start to the proof that nothing of it is alive.

    Args:
        folder: the run folder with `spec.json` in it.
        tree: what will hold the acquisition.
    """

    def __init__(self, folder: Path, tree: Tree) -> None:
        self.folder = folder
        self.spec: dict[str, Any] = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        self.limits = Limits(**self.spec["limits"])
        self.records = Records(folder)
        self.tree = tree
        self.outputs: list[OutputFile] = []
        self.history: deque[Sample] = deque(maxlen=HISTORY_S)
        self._control = LineFollower(folder / "control.jsonl")
        self._said: set[tuple[str, str]] = set()
        self._terminated_by_system = False

        self.stop: dict[str, Any] | None = None
        self._kill_at: float | None = None
        self._terminate_at: float | None = None
        self._peak_mb = 0.0
        self._launcher_seen = True
        self._launcher_missing_since: float | None = None
        self._unattended_until: float | None = None
        self._disk_free_mb: float | None = None
        self._was_frozen = False
        self._files_size: int | None = None
        self._files_at = 0.0

    # -- start ---------------------------------------------------------------------------------

    def start(self, tell_understudy: Callable[[], None]) -> bool:
        """Start the main process. Returns whether it runs; if not, the records say why.

        Args:
            tell_understudy: called when it runs, and before that is recorded.
        """
        try:
            # A recovery may be closing the session already.
            if not is_held(self.folder / "launcher.lock"):
                raise OSError("the launcher was lost before the start")
            if self.spec["on_launcher_lost"] == "stop":
                self.tree.end_with_guard()
            if not Path(self.spec["folder"]).is_dir():
                raise OSError(f"its working folder is not there: {self.spec['folder']}")
            self.outputs = [OutputFile(Path(self.spec[name])) for name in ("stdout", "stderr")]
            stdout, stderr = (output.fd for output in self.outputs)
            self.tree.spawn(self.spec["arguments"], self.spec["folder"], stdout, stderr)
        except (OSError, ValueError) as error:
            self.records.write("acquisition.not_started", {"error": str(error)})
            return False
        self._began = self._last_output = time.monotonic()
        self._clock_offset = time.time() - self._began
        tell_understudy()
        self.records.write(
            "acquisition.started",
            {
                "pid": self.tree.pid,
                "start_time": self.tree.start_time,
                "boot_id": self.tree.boot_id(),
                "guard_pid": os.getpid(),
            },
        )
        return True

    def take_over(self, fallen: int) -> bool:
        """Go on for a guard that was killed. Returns whether there is anything to guard.

        Args:
            fallen: its process id.
        """
        started = next(iter(self.records.of("acquisition.started")), None)
        if started is None:
            self.tree.kill()  # it may have begun, but that was never recorded
            if not self.records.of("acquisition.not_started"):
                self.records.write("acquisition.not_started", {"error": "its guard was killed"})
            return False
        self.tree.pid, self.tree.start_time = (started["data"][k] for k in ("pid", "start_time"))
        self._began, self._last_output = started["mono"], time.monotonic()
        self._clock_offset = time.time() - time.monotonic()
        outputs = (Path(self.spec[name]) for name in ("stdout", "stderr"))
        self.outputs = [OutputFile(path, fallen=True) for path in outputs]
        self._said = {(w["data"]["about"], "warn") for w in self.records.of("acquisition.warned")}
        samples = self.records.of("acquisition.sampled")
        self._peak_mb = max((sample["data"]["memory_mb"] for sample in samples), default=0.0)
        self.records.write("guard.replaced", {"fallen": fallen, "guard_pid": os.getpid()})
        self._go_on_stopping()
        return True

    def _go_on_stopping(self) -> None:
        """Take up the stop that was asked for, and the one that the policy now wants."""
        for asked in self.records.of("acquisition.stop_requested"):
            self.stop = asked["data"]
            if asked["data"].get("killed"):
                self._terminate_at, self._kill_at = None, asked["mono"]
            else:
                self._set_deadlines(asked["mono"])
        if self.spec["on_launcher_lost"] == "stop":
            now = time.monotonic()
            self._request_stop("guard", "a guard was killed", now, signalled=True)

    # -- watching ------------------------------------------------------------------------------

    def watch(self) -> None:
        """Watch until the main process has ended by itself or was made to."""
        measure_at = slow_at = sample_at = self._began
        # Where requests wake the guard, a quiet acquisition is looked at only to be measured.
        quiet_poll_s = MEASURE_S if wake_on_change(self.folder) else POLL_S
        while True:
            alive = self.tree.reap()
            if self.tree.status is not None or not alive:
                return
            now = time.monotonic()
            self._look_at_output(now)
            self._take_requests(now)
            if now >= slow_at:
                slow_at = now + SLOW_S
                self._look_at_world(now)
            if now >= measure_at:
                measure_at = now + MEASURE_S
                sample = self._measure(now)
                for verdict in judge(self.limits, self.history, sample):
                    self._act_on(verdict, now)
                if not self.history or sample.elapsed_s - self.history[-1].elapsed_s >= SLOW_S:
                    self.history.append(sample)
                if now >= sample_at:
                    sample_at = now + self.spec["sample_interval_s"]
                    self._record_sample(sample)
            if self._escalate(now):
                return
            poll_s = quiet_poll_s if now - self._last_output > QUIET_S else POLL_S
            self.tree.wait(min(poll_s, max(self._next_deadline(now) - now, 0.0)))

    def _look_at_output(self, now: float) -> None:
        for output in self.outputs:
            if output.grew():
                self._last_output = now

    def _take_requests(self, now: float) -> None:
        if self._terminated_by_system:
            self._terminated_by_system = False
            self._request_stop("system", "the guard was told to end (log-off or shutdown)", now)
        for request in self._control.new_records():
            by, reason = str(request.get("by", "")), str(request.get("reason", ""))
            if request.get("request") == "stop":
                self._request_stop(by, reason, now)
            elif request.get("request") == "kill":
                self._request_kill(by, reason, now)

    def _look_at_world(self, now: float) -> None:
        try:
            self._disk_free_mb = free_mb(self.spec["session_folder"])
        except OSError as error:
            self._disk_free_mb = None
            self._warn("session_folder", f"The session folder cannot be reached: {error}")
        self._look_for_launcher(now)
        offset = time.time() - now
        if abs(offset - self._clock_offset) > CLOCK_JUMP_S:
            self.records.write("clock.jumped", {"by_s": round(offset - self._clock_offset, 3)})
            self._clock_offset = offset

    def _look_at_files(self, now: float) -> None:
        """Growth of any file counts against a hang; it is looked for once the output is quiet."""
        limit_s = self.limits.hang_timeout_s
        if limit_s is None or now < self._files_at or now - self._last_output < limit_s / 4:
            return
        size = size_below(self.spec["session_folder"])
        self._files_at = time.monotonic() + FILES_SHARE * (time.monotonic() - now)
        if self._files_size not in (None, size):
            self._last_output = now
        self._files_size = size

    def _look_for_launcher(self, now: float) -> None:
        if is_held(self.folder / "launcher.lock"):
            if not self._launcher_seen:
                self.records.write("launcher.returned", {})
            self._launcher_seen, self._launcher_missing_since = True, None
            self._unattended_until = None
            return
        if self._launcher_missing_since is None:
            self._launcher_missing_since = now
        if self._launcher_seen and now - self._launcher_missing_since >= LAUNCHER_GRACE_S:
            self._launcher_seen = False
            policy = self.spec["on_launcher_lost"]
            self.records.write("launcher.lost", {"policy": policy})
            if policy == "stop":
                self._request_stop("guard", "the launcher was lost", now)
            else:
                self._unattended_until = now + 60 * self.spec["unattended_minutes"]
        if self._unattended_until is not None and now >= self._unattended_until:
            self._unattended_until = None
            minutes = self.spec["unattended_minutes"]
            self._request_stop("guard", f"no launcher came back within {minutes:g} minutes", now)

    def _measure(self, now: float) -> Sample:
        memory_mb, cpu_s, processes, frozen = self.tree.measure()
        self._peak_mb = max(self._peak_mb, memory_mb)
        if frozen and not self._was_frozen:
            self._warn("frozen", "The acquisition's main process is stopped (paused).")
        self._was_frozen = frozen
        files = {name: self._size_of(name) for name in self.limits.expect}
        if self.history and files != self.history[-1].files:
            self._last_output = now
        self._look_at_files(now)
        return Sample(
            elapsed_s=now - self._began,
            memory_mb=memory_mb,
            cpu_s=cpu_s,
            processes=processes,
            system_percent=system_memory_percent(),
            disk_free_mb=self._disk_free_mb,
            quiet_s=now - self._last_output,
            files=files,
            output_mb=sum(output.size for output in self.outputs) / 1e6,
        )

    def _size_of(self, name: str) -> int | None:
        try:
            return os.stat(os.path.join(self.spec["session_folder"], name)).st_size  # noqa: PTH116, PTH118
        except OSError:
            return None

    def _record_sample(self, sample: Sample) -> None:
        data = {
            "elapsed_s": round(sample.elapsed_s, 3),
            "memory_mb": round(sample.memory_mb, 2),
            "cpu_s": round(sample.cpu_s, 2),
            "processes": sample.processes,
            "system_percent": round(sample.system_percent, 1),
            "disk_free_mb": None if sample.disk_free_mb is None else round(sample.disk_free_mb),
            "stdout_bytes": self.outputs[0].size,
            "stderr_bytes": self.outputs[1].size,
        }
        self.records.write("acquisition.sampled", data, sync=False)

    # -- acting --------------------------------------------------------------------------------

    def _act_on(self, verdict: Verdict, now: float) -> None:
        if (verdict.limit, verdict.action) in self._said:
            return
        if verdict.action == "stop":
            self._said.add((verdict.limit, verdict.action))
            self._request_stop("limit", verdict.message, now, limit=verdict.limit)
        else:
            self._warn(verdict.limit, verdict.message)

    def _warn(self, about: str, message: str) -> None:
        if (about, "warn") not in self._said:
            self._said.add((about, "warn"))
            self.records.write("acquisition.warned", {"about": about, "message": message})

    def _request_stop(
        self, by: str, reason: str, now: float, limit: str = "", *, signalled: bool = False
    ) -> None:
        """Begin a stop, unless one has begun. `signalled`: the system has sent the main process
        its SIGTERM already (see `Tree.end_with_guard`), and it must not get two."""
        if self.stop is not None:
            return
        how = self.spec["ask"]["how"]
        # A runaway must not be given the time of a polite stop to take the machine down.
        if limit in ("memory_limit_mb", "kill_threshold"):
            self._request_kill(by, reason, now, limit=limit)
            return
        self.stop = {"by": by, "reason": reason, "limit": limit, "asked": how}
        kill_in_s = self._set_deadlines(now) - now
        asked = {**self.stop, "kill_in_s": round(kill_in_s, 3)}
        self.records.write("acquisition.stop_requested", asked)
        if how == "signal" and not signalled:
            self.tree.ask()
        elif how == "stop_file":
            create_file(self.spec["ask"]["stop_file"])
        elif how == "window":
            self.tree.close_windows()

    def _set_deadlines(self, asked_at: float) -> float:
        """When to terminate and when to kill what was asked to end; returns the latter."""
        how = self.spec["ask"]["how"]
        self._terminate_at = asked_at + (0.0 if how == "none" else self.spec["stop_grace_s"])
        # Whoever was asked by SIGTERM needs no second one.
        again = how != "signal" and CAN_TERMINATE
        self._kill_at = self._terminate_at + (self.spec["terminate_grace_s"] if again else 0.0)
        return float(self._kill_at)

    def _request_kill(self, by: str, reason: str, now: float, limit: str = "") -> None:
        if self.stop is None or not self.stop.get("killed"):
            self.stop = {"by": by, "reason": reason, "limit": limit, "asked": "no", "killed": True}
            self.records.write("acquisition.stop_requested", {**self.stop, "kill_in_s": 0.0})
        self._terminate_at, self._kill_at = None, now

    def _escalate(self, now: float) -> bool:
        """Go on with a stop whose time is over; whether the tree must be killed now."""
        if self._terminate_at is not None and now >= self._terminate_at:
            self._terminate_at = None
            if self._kill_at is not None and self._kill_at > now:
                self.tree.terminate()
        return self._kill_at is not None and now >= self._kill_at

    def _next_deadline(self, now: float) -> float:
        deadlines = (self._terminate_at, self._kill_at)
        return min((at for at in deadlines if at is not None), default=math.inf)

    # -- end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Leave nothing of the tree alive and record the end."""
        ended = time.monotonic()
        by_itself = self.tree.status is not None or not self.tree.reap()
        self._look_at_output(ended)
        strays = self._end_strays() if by_itself else 0
        left_over = self.tree.kill()
        code, number = self.tree.exit_code()
        for output in self.outputs:
            output.grew()
        self.records.write(
            "acquisition.ended",
            {
                "exit_code": code,
                "signal": number,
                "duration_s": round(ended - self._began, 3),
                "stop": self.stop,
                "killed": not by_itself,
                "strays": strays,
                "left_over": left_over,
                "peak_memory_mb": round(self._peak_mb, 2),
                "stdout_bytes": self.outputs[0].size,
                "stderr_bytes": self.outputs[1].size,
            },
        )

    def _end_strays(self) -> int:
        """Processes that outlived the main one are asked, then left to `kill`. Returns how many."""
        if not self.tree.reap():
            return 0
        strays = self.tree.measure()[2]
        self.tree.terminate()
        deadline = time.monotonic() + STRAY_GRACE_S
        while self.tree.reap() and time.monotonic() < deadline:
            self.tree.wait(deadline - time.monotonic())
        return strays

    def system_ends(self, *_: object) -> None:
        """Signal handler: the system asks the guard itself to end."""
        self._terminated_by_system = True


def free_mb(folder: str) -> float:
    """Free space on the volume of `folder`, in MB (10^6 bytes)."""
    if sys.platform == "win32":
        import shutil

        return shutil.disk_usage(folder).free / 1e6
    volume = os.statvfs(folder)
    return volume.f_bavail * volume.f_frsize / 1e6


def size_below(folder: str) -> int:
    """Bytes in the files of a session, but in its journal and logs, which its launcher writes."""
    total = 0
    for place, folders, names in os.walk(folder):
        if place == folder:
            folders[:] = [name for name in folders if name != "logs"]
            names = [name for name in names if name != "journal.jsonl"]
        for name in names:
            with suppress(OSError):  # a listing may hold an old size, and what is gone by now
                total += os.stat(os.path.join(place, name)).st_size  # noqa: PTH116, PTH118
    return total


def create_file(path: str) -> None:
    """Make the stop file; a file that is there already serves as well."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    except OSError as error:
        complain(f"stop file {path}: {error}")


def hand_over(spec: dict[str, Any]) -> None:
    """No launcher is there to close the session: start the recovery that will."""
    # The recovery is no process of the run, and must not be taken for a stray of it.
    os.environ.pop(COOKIE, None)
    subprocess.Popen(
        spec["recover"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **own_session(),
    )


def main() -> int:
    """Guard one run. Returns the exit code when there is nothing to guard: no order ever came, or
    the acquisition could not be started; else this process ends with the run."""
    if sys.platform == "linux":
        understudy = split((GUARDED, NOT_STARTED), go_on)
    line = sys.stdin.buffer.readline()
    if not line:
        return GUARDED
    order = json.loads(line)
    folder = settle_in(order)
    lock = ProcessLock(folder / "guard.lock")
    if not lock.acquire():
        return NOT_STARTED
    guard = new_guard(order)

    def tell_understudy() -> None:
        if sys.platform == "linux":
            understudy.tell(line, lock.fileno())

    started = guard.start(tell_understudy)
    answer(started=started)
    if started:
        guard.watch()
        guard.finish()
        leave(guard)
    return NOT_STARTED


def go_on(order_line: bytes, fallen: int) -> NoReturn:
    """Guard a run on in the place of a guard that was killed."""
    order = json.loads(order_line)
    settle_in(order)
    guard = new_guard(order)
    if not guard.records.of("acquisition.ended"):
        there = guard.take_over(fallen)
        answer(started=there)
        if not there:
            os._exit(NOT_STARTED)
        guard.watch()
        guard.finish()
    leave(guard)


def answer(*, started: bool) -> None:
    """Tell the launcher, which reads one line, whether the acquisition was started."""
    with suppress(OSError):  # it has an answer from the guard that was killed, or is gone by now
        os.write(1, b"started\n" if started else b"not started\n")


def settle_in(order: dict[str, Any]) -> Path:
    """Make an order's environment this process's own. Returns the run folder."""
    folder = Path(order["run_folder"])
    with (folder / "guard.err").open("ab") as errors:
        os.dup2(errors.fileno(), 2)
    # The child inherits this environment; the guard itself needs none.
    os.environ.clear()
    os.environ.update(order["environment"])
    return folder


def new_guard(order: dict[str, Any]) -> Guard:
    """A guard for an order, deaf to what is meant for others."""
    folder = Path(order["run_folder"])
    if sys.platform == "win32":
        guard = Guard(folder, Tree(join_job(order["job"])))
        end_last()
    else:
        guard = Guard(folder, Tree())
    # Handlers, not SIG_IGN: what is ignored here would be ignored by the child too.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, guard.system_ends)
    # A hang-up, or a Ctrl-Break that the child sends to its whole console, which is the guard's.
    passed_over = "SIGBREAK" if sys.platform == "win32" else "SIGHUP"
    signal.signal(signal.Signals[passed_over], lambda *_: None)
    stay_awake()
    return guard


def leave(guard: Guard) -> NoReturn:
    """End this process after an acquisition, and let it be recovered if no launcher is there."""
    if guard.spec.get("recover") and not is_held(guard.folder / "launcher.lock"):
        hand_over(guard.spec)
    # Everything is written, and whoever waits for the lock waits for this process and for its
    # understudy: taking the interpreter apart would only keep them.
    os._exit(GUARDED)


if __name__ == "__main__":
    sys.exit(main())
