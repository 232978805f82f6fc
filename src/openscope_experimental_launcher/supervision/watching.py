"""The guard's work: one acquisition from its start to the proof that nothing of it is alive.

Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from openscope_experimental_launcher.jsonl import LineFollower
from openscope_experimental_launcher.locks import is_held
from openscope_experimental_launcher.supervision.limits import (
    Limits,
    Sample,
    Verdict,
    held_at,
    judge,
)
from openscope_experimental_launcher.supervision.records import OutputFile, Records, complain
from openscope_experimental_launcher.supervision.stopping import Stopping
from openscope_experimental_launcher.supervision.surroundings import (
    LauncherWatch,
    SessionFiles,
    WallClock,
)
from openscope_experimental_launcher.supervision.tree import Tree, system_memory_percent

if sys.platform == "win32":

    def wake_on_change(_: Path) -> bool:
        """Windows tells of changes only through threads; the guard looks often instead."""
        return False
else:
    from openscope_experimental_launcher.supervision.wakeup import wake_on_change

POLL_S = 0.05
QUIET_S = 1.0
MEASURE_S = 0.25
SLOW_S = 1.0
UNWATCHED_S = 5.0
STRAY_GRACE_S = 1.0
HISTORY_S = 120


class Guard:
    """Starts one acquisition, watches it, and leaves nothing of it alive.

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
        self.stopping = Stopping(self.spec, tree, self.records)
        self.outputs: list[OutputFile] = []
        self.history: deque[Sample] = deque(maxlen=HISTORY_S)
        self._control = LineFollower(folder / "control.jsonl")
        self._launcher = LauncherWatch(folder / "launcher.lock", self.spec, self.records)
        self._clock = WallClock()
        self._files = SessionFiles(self.spec["session_folder"], self.limits.expect)
        self._said: set[tuple[str, str]] = set()
        self._terminated_by_system = False
        self._began = self._last_output = self._looked_at = time.monotonic()
        self._peak_mb = 0.0
        self._disk_free_mb: float | None = None
        self._was_frozen = False
        self._end_was_missed = False

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
            self.tree.hold(self.folder.name, held_at(self.limits), self.limits.memory_limit_mb)
            if not Path(self.spec["folder"]).is_dir():
                raise OSError(f"its working folder is not there: {self.spec['folder']}")
            self.outputs = [OutputFile(Path(self.spec[name])) for name in ("stdout", "stderr")]
            stdout, stderr = (output.fd for output in self.outputs)
            self.tree.spawn(self.spec["arguments"], self.spec["folder"], stdout, stderr)
        except (OSError, ValueError) as error:
            self.tree.let_go()
            self.records.write("acquisition.not_started", {"error": str(error)})
            return False
        self._began = self._last_output = self._looked_at = time.monotonic()
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
        data = started["data"]
        self._end_was_missed = not self.tree.adopt(
            data["pid"], data["start_time"], self.folder.name
        )
        self._began = started["mono"]
        outputs = (Path(self.spec[name]) for name in ("stdout", "stderr"))
        self.outputs = [OutputFile(path, fallen=True) for path in outputs]
        self._said = {(w["data"]["about"], "warn") for w in self.records.of("acquisition.warned")}
        samples = self.records.of("acquisition.sampled")
        self._peak_mb = max((sample["data"]["memory_mb"] for sample in samples), default=0.0)
        self.records.write("guard.replaced", {"fallen": fallen, "guard_pid": os.getpid()})
        self.stopping.go_on(self.records.of("acquisition.stop_requested"))
        return True

    # -- watching ------------------------------------------------------------------------------

    def watch(self) -> None:
        """Watch until the main process has ended by itself or was made to."""
        self.tree.gather()
        measure_at = slow_at = sample_at = self._began
        # Where requests wake the guard, a quiet acquisition is looked at only to be measured.
        quiet_poll_s = MEASURE_S if wake_on_change(self.folder) else POLL_S
        while True:
            alive = self.tree.reap()
            if self.tree.status is not None or self._end_was_missed or not alive:
                return
            now = time.monotonic()
            self._note_a_gap(now)
            self._look_at_output(now)
            self._take_requests(now)
            if now >= slow_at:
                slow_at = now + SLOW_S
                self._look_around(now)
            if now >= measure_at:
                measure_at = now + MEASURE_S
                sample = self._measure(now)
                if sample is not None:
                    self._judge(sample, now)
                    if now >= sample_at:
                        sample_at = now + self.spec["sample_interval_s"]
                        self._record_sample(sample)
            if self.stopping.escalate(now):
                return
            poll_s = quiet_poll_s if now - self._last_output > QUIET_S else POLL_S
            self.tree.wait(min(poll_s, max(self.stopping.next_deadline() - now, 0.0)))

    def _note_a_gap(self, now: float) -> None:
        """Say when nobody watched: the machine slept, or this process was kept from its work."""
        gap_s = now - self._looked_at
        self._looked_at = now
        if gap_s > UNWATCHED_S:
            self._last_output = now  # whether it was silent meanwhile is not known
            self.records.write("acquisition.unwatched", {"for_s": round(gap_s, 1)})

    def _look_at_output(self, now: float) -> None:
        for output in self.outputs:
            if output.grew():
                self._last_output = now

    def _take_requests(self, now: float) -> None:
        if self._terminated_by_system:
            self._terminated_by_system = False
            reason = "the guard was told to end (log-off or shutdown)"
            self.stopping.request("system", reason, now)
        for request in self._new_requests():
            by, reason = str(request.get("by", "")), str(request.get("reason", ""))
            if request.get("request") == "stop":
                self.stopping.request(by, reason, now)
            elif request.get("request") == "kill":
                self.stopping.kill(by, reason, now)

    def _new_requests(self) -> list[dict[str, Any]]:
        with suppress(OSError):  # held by another program, a disk that is away: at the next look
            return self._control.new_records()
        return []

    def _look_around(self, now: float) -> None:
        try:
            self._disk_free_mb = self._files.free_mb()
        except OSError as error:
            self._disk_free_mb = None
            self._warn("session_folder", f"The session folder cannot be reached: {error}")
        reason = self._launcher.look(now)
        if reason:
            self.stopping.request("guard", reason, now)
        jump_s = self._clock.jumped_by()
        if jump_s is not None:
            self.records.write("clock.jumped", {"by_s": round(jump_s, 3)})

    def _measure(self, now: float) -> Sample | None:
        """A sample; None when the system refuses to be asked, which must not end the watch."""
        try:
            memory_mb, cpu_s, processes, frozen = self.tree.measure()
            system_percent = system_memory_percent()
        except OSError as error:
            complain(f"not measured: {error}")
            return None
        self._peak_mb = max(self._peak_mb, memory_mb)
        if frozen and not self._was_frozen:
            self._warn("frozen", "The acquisition's main process is stopped (paused).")
        self._was_frozen = frozen
        files = self._files.expected()
        if self.history and files != self.history[-1].files:
            self._last_output = now
        if self._looks_hung(now) and self._files.any_grew(now):
            self._last_output = now
        return Sample(
            elapsed_s=now - self._began,
            memory_mb=memory_mb,
            cpu_s=cpu_s,
            processes=processes,
            system_percent=system_percent,
            disk_free_mb=self._disk_free_mb,
            quiet_s=now - self._last_output,
            files=files,
            output_mb=sum(output.size for output in self.outputs) / 1e6,
        )

    def _looks_hung(self, now: float) -> bool:
        """Whether growth of any file counts now: it is looked for once the output is quiet."""
        limit_s = self.limits.hang_timeout_s
        return limit_s is not None and now - self._last_output >= limit_s / 4

    def _judge(self, sample: Sample, now: float) -> None:
        for verdict in judge(self.limits, self.history, sample):
            self._act_on(verdict, now)
        if not self.history or sample.elapsed_s - self.history[-1].elapsed_s >= SLOW_S:
            self.history.append(sample)

    def _act_on(self, verdict: Verdict, now: float) -> None:
        if (verdict.limit, verdict.action) in self._said:
            return
        if verdict.action == "stop":
            self._said.add((verdict.limit, verdict.action))
            self.stopping.request("limit", verdict.message, now, limit=verdict.limit)
        else:
            self._warn(verdict.limit, verdict.message)

    def _warn(self, about: str, message: str) -> None:
        if (about, "warn") not in self._said:
            self._said.add((about, "warn"))
            self.records.write("acquisition.warned", {"about": about, "message": message})

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

    def system_ends(self, *_: object) -> None:
        """Signal handler: the system asks the guard itself to end."""
        self._terminated_by_system = True

    # -- end -----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Leave nothing of the tree alive and record the end."""
        ended = time.monotonic()
        alive = self.tree.reap()
        by_itself = self.tree.status is not None or self._end_was_missed or not alive
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
                "stop": self.stopping.asked,
                "killed": not by_itself,
                "strays": strays,
                "left_over": left_over,
                "peak_memory_mb": round(self._peak_mb, 2),
                "stdout_bytes": self.outputs[0].size,
                "stderr_bytes": self.outputs[1].size,
            },
        )
        self.tree.let_go()

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
