"""The acquisition of a session: started under its guard, watched, asked to end, judged."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engines import Launch
from ..errors import ParameterError, attempt
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
        self._managed = False
        self._closing = False
        self._interrupts = 0
        self._held_ends: list[str] | None = None
        self._asking_why = False

    def start_bonsai(self) -> None:
        """Start the acquisition and block until it has ended.

        Works after `load_parameters` alone: then git is not touched, and the output goes to a
        session folder when the parameters name an output folder, else to the launcher's state
        folder. Afterwards `bonsai_process` keeps `pid` and `returncode`.

        Raises:
            EngineError: it could not be started.
        """
        plan = self._require_plan()
        if not self._managed and self._folder is None:
            self._place_alone(plan)
        if not plan.launch.arguments:
            self._acquire_nothing()
            return
        launch, place, stdout, stderr = self._bound(plan)
        spec = self._guard_spec(plan, launch, place, stdout, stderr)
        variables = {**os.environ, **launch.environment}
        acquisition = self._start_guarded(spec, variables)
        self.start_time = acquisition.started_at or datetime.now().astimezone()
        _log.info("The acquisition runs as process %d.", acquisition.pid)
        folder = self._folder.path if self._folder else None
        pump = RecordPump(acquisition, self._journal, folder)
        pump.start()
        try:
            self.process_monitor.monitor_process(
                acquisition, self._percent_used or 0.0, self.kill_process
            )
            acquisition.wait()
        finally:
            if acquisition.poll() is not None or acquisition.ended_within(0):
                self._ended(plan, acquisition, pump, stdout, stderr)

    def _start_guarded(self, spec: dict[str, Any], variables: dict[str, str]) -> Acquisition:
        """Start it under its guard. An end that is asked for meanwhile is held until it runs:
        else something would run that the records say was never started."""
        held: list[str] = []
        self._held_ends = held
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
        pump.join()
        if acquisition.ended is None:  # the guard was killed
            acquisition.orphans.wait(self._journal)
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
        failure = attempt(lambda: said.append(ask_why_stopped(self._display)))
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
        if process is not None and process.poll() is None and not process.ended_within(0):
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
        if process is not None and not process.ended_within(0):
            if self._interrupts == 1:
                process.request_stop("operator", reason)
            else:
                process.request_kill("operator", f"{reason}, asked again")
            return True
        if process is not None and process.ended is None:
            process.orphans.end("operator", reason, by_force=self._interrupts > 1)
            return True
        if self._closing and self._interrupts < 3:
            self._tell("The records are being finished; press Ctrl-C again to leave them open.")
            return self._interrupts < 2
        return self.bonsai_process is not None and not self._closing
