"""The acquisition of a session: started under its guard, watched, asked to end, judged."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engines import Launch
from ..errors import Finding, LauncherError, ParameterError, attempt
from ..locks import ProcessLock
from ..plan import Plan
from ..preflight import check_paths
from ..session.journal import AcquisitionJudged, NoteAdded, finding_event
from ..session.output import tail
from ..session.state import runs_folder
from ..supervision.job import new_job
from ..supervision.judgement import Judgement, judge_end
from ..supervision.pump import RecordPump
from ..supervision.supervisor import Acquisition, discard_run, guard_spec, recovery_command
from ..supervision.tree import system_memory_percent
from ..utils.process_monitor import ProcessMonitor
from .interrupts import CTRL_C, TERMINAL_CLOSED
from .options import Display, RunOptions
from .recording import Recording
from .session_steps import ask_why_stopped

if TYPE_CHECKING:
    from .attempts import Attempts

_log = logging.getLogger("openscope")

_PROBED_S = 0.1
_HELD_AT_MOST = 2  # a third Ctrl-C breaks off a start that takes for ever


class Acquiring(Recording):
    """The stage of a session in which it acquires; `BaseExperiment` goes on from here."""

    def __init__(self, options: RunOptions | None = None) -> None:
        self.hJob: Any = new_job()
        self.process_monitor = ProcessMonitor()
        super().__init__(options)

    def _begin_afresh(self) -> None:
        super()._begin_afresh()
        self.start_time: datetime | None = None
        self.stop_time: datetime | None = None
        self.bonsai_process: Acquisition | None = None
        self.stdout_data = self.stderr_data = ""
        self._percent_used: float | None = None
        self._attempts: Attempts | None = None
        self._judgement: Judgement | None = None
        self._display: Display | None = None
        self._outputs = Path(), Path()
        self._finish: Callable[[], None] | None = None
        self._finishing = threading.RLock()
        self._managed = False
        self._closing = self._closed = False
        self._interrupts = 0
        self._end_wanted = False
        self._held_ends: list[str] | None = None
        self._asking_why = False

    def start_bonsai(self) -> None:
        """Start the acquisition and block until it has ended.

        Works after `load_parameters` alone: then git is not touched, and the output goes to a
        session folder when the parameters name an output folder, else to the launcher's state
        folder. Afterwards `bonsai_process` keeps `pid` and `returncode`.

        Raises:
            EngineError: it could not be started. Once it runs, no mistake of a monitor's or a
                display's ends it.
        """
        plan = self._require_plan()
        if not self._managed and self._folder is None:
            self._place_alone(plan)
        if not plan.launch.arguments:
            self._acquire_nothing()
            return
        launch, place, stdout, stderr = self._bound(plan)
        self._outputs = stdout, stderr
        spec = self._guard_spec(plan, launch, place, stdout, stderr)
        variables = {**os.environ, **launch.environment}
        acquisition = self._start_guarded(spec, variables)
        self.start_time = acquisition.started_at or datetime.now().astimezone()
        _log.info("The acquisition runs as process %d.", acquisition.pid)
        self._watch(acquisition)

    def _watch(self, acquisition: Acquisition) -> None:
        """Watch what runs until it has ended. What goes wrong here must not reach it."""
        pump = self._take_charge(acquisition)
        attempt(pump.start)  # without it, the records are imported at the end
        try:
            self._monitor(acquisition)
            acquisition.wait()
        finally:
            if acquisition.poll() is not None or acquisition.guard_is_gone:
                self._finish_acquisition()

    def _take_charge(self, acquisition: Acquisition) -> RecordPump:
        """Be whoever takes in how it ended; returns what imports its records."""
        folder = self._folder.path if self._folder else None
        pump = RecordPump(acquisition, self._journal, folder)
        plan = self._require_plan()
        self._finish = partial(self._ended, plan, acquisition, pump, *self._outputs)
        return pump

    def _monitor(self, acquisition: Acquisition) -> None:
        failure = attempt(
            lambda: self.process_monitor.monitor_process(
                acquisition, self._percent_used or 0.0, self.kill_process
            )
        )
        if failure is not None:
            _log.warning(failure.traceback)
            words = f"The monitor failed, and the acquisition goes on: {failure.error.message}"
            fix = "Its guard watches over it; mend the monitor before the next session."
            self._report("acquisition", [Finding("warning", "monitor-failed", words, fix=fix)])

    def _finish_acquisition(self) -> None:
        """Take in how it ended, once, whichever thread comes first."""
        with self._finishing:
            finish, self._finish = self._finish, None
            if finish is not None:
                finish()

    def _see_out(self, ask: Callable[[Acquisition], None]) -> None:
        """Wait for what still runs of the session after its start or its watch was broken off:
        nothing may be judged or closed before that.

        Args:
            ask: called with what runs, to ask it to end, if it shall.
        """
        if not self._run_folder.name or not self._run_folder.is_dir():
            return
        lock = ProcessLock(self._run_folder / "guard.lock")
        while self._finish is not None or not lock.acquire(patience_s=_PROBED_S):
            if self._finish is None:
                self.bonsai_process = Acquisition.attach(self._run_folder)
                self.stop_time = None
                self._take_charge(self.bonsai_process)
            assert self.bonsai_process is not None  # noqa: S101 - whatever is to be finished runs
            if not self.bonsai_process.guard_is_gone:
                ask(self.bonsai_process)
            self.bonsai_process.wait()
            if not self.bonsai_process.pid:  # it was never started, and now cannot be
                self.bonsai_process = self._finish = None
                continue
            self.start_time = self.bonsai_process.started_at
            self._finish_acquisition()
        lock.release()

    def _start_guarded(self, spec: dict[str, Any], variables: dict[str, str]) -> Acquisition:
        """Start it under its guard. An end that is asked for meanwhile is held until it runs:
        else something would run that the records say was never started."""
        held: list[str] = []
        self._held_ends, self._interrupts, self.stop_time = held, 0, None
        try:
            acquisition = Acquisition.start(self._run_folder, spec, variables, self.hJob)
            self.bonsai_process = acquisition
        finally:
            self._held_ends = None
        if held:
            acquisition.request_stop("operator", held[0])
        if len(held) > 1:
            acquisition.request_kill("operator", f"{held[1]}, asked again")
        return acquisition

    def _acquire_nothing(self) -> None:
        self.start_time = self.stop_time = datetime.now().astimezone()
        self._judge(Judgement("completed", "There was nothing to acquire: the launcher is base."))

    def _place_alone(self, plan: Plan) -> None:
        refused = check_paths(plan.parameters)
        if refused:
            raise ParameterError.from_findings("The session cannot be run as it is.", refused)
        if plan.parameters.output_root_folder:
            self._open_session()
        else:
            self._run_folder = runs_folder() / f"alone-{uuid.uuid4().hex[:12]}"

    def _bound(self, plan: Plan) -> tuple[Launch, Path, Path, Path]:
        """The launch in its folder, and the files of its output."""
        if self._folder is not None:
            folder = self._folder
            launch = plan.bound_launch(folder.path)
            stdout, stderr = (folder.output(name, self._attempt) for name in ("stdout", "stderr"))
            return launch, folder.path, stdout, stderr
        place = self._run_folder.with_name(self._run_folder.name + "-output")
        place.mkdir(parents=True)
        return plan.bound_launch(place), place, place / "stdout.log", place / "stderr.log"

    def _guard_spec(
        self, plan: Plan, launch: Launch, place: Path, stdout: Path, stderr: Path
    ) -> dict[str, Any]:
        self._percent_used = system_memory_percent()
        parameters = plan.parameters
        threshold = min(
            getattr(self.process_monitor, "kill_threshold", parameters.kill_threshold),
            parameters.kill_threshold,
        )
        return guard_spec(
            launch,
            session_folder=place,
            stdout=stdout,
            stderr=stderr,
            limits={
                **plan.limits,
                "kill_threshold": threshold,
                "initial_memory_percent": self._percent_used,
            },
            watching={
                "stop_grace_s": max(parameters.stop_grace_s, launch.ask.needs_s),
                "terminate_grace_s": parameters.terminate_grace_s,
                "on_launcher_lost": parameters.on_launcher_lost,
                "unattended_minutes": parameters.unattended_minutes,
                "sample_interval_s": parameters.resource_log_interval,
                "rig_id": plan.rig_id,
                "sync_node": plan.sync_node,
                "checkout": str(plan.code.path) if plan.code else "",
                "session_uuid": self.session_uuid or "",
                "user_id": self.user_id or "",
                "recover": recovery_command(self._folder.path) if self._folder else [],
            },
        )

    def _ended(
        self, plan: Plan, acquisition: Acquisition, pump: RecordPump, stdout: Path, stderr: Path
    ) -> None:
        pump.finish()
        if acquisition.ended is None:  # the guard was killed
            acquisition.orphans.wait(self._journal)
        self._interrupts = 0
        self.stop_time = acquisition.ended_at or datetime.now().astimezone()
        self.stdout_data, self.stderr_data = tail(stdout), tail(stderr)
        judgement = judge_end(acquisition.ended, plan.engine, stdout, stderr)
        self._judge(self._explained(judgement, acquisition.ended))
        acquisition.close()
        if self._folder is None:
            discard_run(acquisition.run_folder)

    def _explained(self, judgement: Judgement, ended: Mapping[str, Any] | None) -> Judgement:
        """With the words of the person who pressed Ctrl-C, if there are any."""
        stop = ended["stop"] if ended else None
        if not stop or stop["reason"] != CTRL_C or not self._interactive:
            return judgement
        said: list[str] = []
        self._asking_why = True
        try:
            failure = attempt(lambda: said.append(ask_why_stopped(self._display)))
        finally:
            self._asking_why = False
        if failure is not None or not said[0]:
            return judgement
        self._journal.record(NoteAdded(f"Why it was stopped: {said[0]}", self.user_id or ""))
        return judgement._replace(reason=f"Stopped by the operator: {said[0].rstrip('.')}.")

    def _judge(self, judgement: Judgement) -> None:
        self._judgement = judgement
        for finding in judgement.findings:
            self._journal.record(finding_event("acquisition", finding))
            _log.log(
                logging.ERROR if finding.level == "error" else logging.WARNING, finding.render()
            )
        code = self.bonsai_process.returncode if self.bonsai_process else None
        self._journal.record(
            AcquisitionJudged(judgement.outcome, code, judgement.reason, self._attempt)
        )
        _log.info("The acquisition: %s. %s", judgement.outcome, judgement.reason)

    @property
    def _attempt(self) -> int:
        return self._attempts.number if self._attempts else 1

    def kill_process(self) -> None:
        """End the acquisition's whole process tree now."""
        process = self.bonsai_process
        if process is not None and process.poll() is None and not process.guard_is_gone:
            process.request_kill("launcher", "kill_process() was called")

    def get_bonsai_errors(self) -> str:
        """What went wrong with the acquisition: the diagnosis, then the end of its error output;
        empty when nothing did."""
        judgement = self._judgement
        said = [finding.render() for finding in judgement.findings] if judgement else []
        if judgement and not said:
            said = [judgement.reason]
        return "\n".join([*said, self.stderr_data.strip()]).strip()

    def _end_asked(self, reason: str) -> bool:
        """A signal asks for the end. Returns whether it was taken care of."""
        plan = self._plan
        if plan and reason == TERMINAL_CLOSED and plan.parameters.on_window_closed == "continue":
            return True
        if self._asking_why or (self._attempts is not None and self._attempts.deciding):
            return False
        # A system says things twice too: a terminal that is closed hangs up more than once.
        if self._interrupts and reason != CTRL_C:
            return True
        self._interrupts += 1
        if self._held_ends is not None and len(self._held_ends) < _HELD_AT_MOST:
            self._held_ends.append(reason)
            return True
        process = self.bonsai_process
        if process is None and not self._closing:
            return False
        if process is not None and self._end_acquisition(process, reason):
            return True
        self._end_wanted = True
        if self._interrupts == 1:
            what = "records are being finished" if self._closing else "data are being processed"
            leave = "leave them open" if self._closing else "break that off"
            self._tell(f"The {what}; press Ctrl-C again to {leave}.")
        return self._interrupts < 2

    def _end_acquisition(self, process: Acquisition, reason: str) -> bool:
        """Ask what runs to end, and end it when asked again. Returns whether anything runs."""
        again = self._interrupts > 1
        if process.guard_is_gone:
            if self.stop_time is None and process.ended is None:
                process.orphans.end("operator", reason, by_force=again)
            return self.stop_time is None
        try:
            if again:
                process.request_kill("operator", f"{reason}, asked again")
            else:
                process.request_stop("operator", reason)
        except LauncherError as error:
            self._tell(error.render())
        return True
