"""`BaseExperiment`: one experimental session, one method a stage. Labs subclass it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .. import __version__
from ..engines import Engine, FolderSource, Launch, Source, get_engine
from ..errors import (
    EngineError,
    Failure,
    Finding,
    LauncherError,
    ParameterError,
    PreflightError,
    RepositoryError,
    SessionError,
    attempt,
)
from ..locks import ProcessLock
from ..metadata.machine import platform_info
from ..parameters.camstim import DEFAULT_CONFIG_PATH
from ..parameters.layers import Loaded, given, load, offers
from ..parameters.paths import on_missing_drive
from ..parameters.prompts import complete, is_interactive
from ..parameters.rigfile import NO_RIG_FILE, find_rig_file
from ..plan import DEFAULT_OUTPUT_DIR, Plan, make_plan
from ..preflight import check_paths, check_plan
from ..repository import DEFAULT_REPO_PATH, GitSource, Resolved
from ..session.folder import SessionFolder, claim
from ..session.journal import (
    AcquisitionJudged,
    Journal,
    NoteAdded,
    RepositoryReady,
    SessionOpened,
    StageEntered,
    finding_event,
)
from ..session.output import tail
from ..session.record import SessionRecord
from ..session.state import (
    fallback_folder,
    forget_session,
    remember_session,
    runs_folder,
    session_lock,
)
from ..steps.phase import complete_archives, pipeline, run_phase
from ..supervision.job import new_job
from ..supervision.judgement import Judgement, judge_end
from ..supervision.pump import RecordPump
from ..supervision.supervisor import (
    Acquisition,
    discard_run,
    discard_runs,
    guard_spec,
    recovery_command,
)
from ..supervision.tree import system_memory_percent
from ..utils.config_loader import ConfigLoader
from ..utils.git_manager import GitManager
from ..utils.process_monitor import ProcessMonitor
from .arguments import Parser, add_run_options, options_from
from .interrupts import CTRL_C, TERMINAL_CLOSED, deliberate_end
from .occupancy import alone
from .options import Display, Outcome, RunOptions
from .run_log import RunLog
from .session_metadata import save_metadata
from .session_steps import ask_about, ask_why_stopped, own_terminal

if TYPE_CHECKING:
    from ..sync import Agreement
    from .attempts import Attempts
    from .bonsai_interface import BonsaiInterface

__all__ = [
    "DEFAULT_CONFIG_PATH",
    "DEFAULT_OUTPUT_DIR",
    "DEFAULT_REPO_PATH",
    "BaseExperiment",
]

_log = logging.getLogger("openscope")

_HELD_AT_MOST = 2  # a third Ctrl-C breaks off a start that takes for ever


class BaseExperiment:
    """Runs one experimental session from a parameter file.

    `run` goes through the stages in order; each is a method that a subclass may override. Making
    an object does nothing: no files, no signal handlers.

    Args:
        options: what was asked for beside the parameter file; the defaults suit a script.

    Attributes:
        params: the parameters as a plain dict: the file's keys, the other spelling of keys that
            have two, and the answers to prompts.
        config: the rig's CamStim configuration, section → key → value.
        subject_id: the subject, once known.
        user_id: the experimenter, once known.
        session_uuid: the session's name, which is its folder's.
        session_directory: absolute path of the session folder.
        start_time: when the acquisition started, with the local offset.
        stop_time: when it ended.
        params_checksum: SHA-256 of the parameter file's bytes.
        script_checksum: SHA-256 of the workflow or script that runs.
        bonsai_process: the acquisition: `pid`, `poll()`, `wait()`, `returncode`.
        stdout_data: the last part of what it printed.
        stderr_data: the last part of what it printed on standard error.
        hJob: the Windows job object; None on other systems.
        outcome: how the last `run` ended.
        config_loader, git_manager, process_monitor, bonsai_interface: helpers; a subclass may
            replace them, and the run uses the replacements.
    """

    def __init__(self, options: RunOptions | None = None) -> None:
        self.options = options or RunOptions()
        self.params: dict[str, Any] = {}
        self.config: dict[str, dict[str, Any]] = {}
        self.subject_id: str | None = None
        self.user_id: str | None = None
        self.session_uuid: str | None = None
        self.session_directory: str | None = None
        self.start_time: datetime | None = None
        self.stop_time: datetime | None = None
        self.params_checksum: str | None = None
        self.script_checksum: str | None = None
        self.bonsai_process: Acquisition | None = None
        self.stdout_data = ""
        self.stderr_data = ""
        self.hJob: Any = new_job()
        self.outcome = Outcome()

        self.config_loader = ConfigLoader()
        self.git_manager = GitManager(
            allow_dirty=self.options.allow_dirty,
            offline=self.options.offline,
            on_progress=self._tell,
        )
        self.process_monitor = ProcessMonitor()

        self._answers: dict[str, Any] = {}
        self._rig = NO_RIG_FILE
        self._loaded: Loaded | None = None
        self._begin_afresh()

    @cached_property
    def bonsai_interface(self) -> BonsaiInterface:
        """Finds and installs Bonsai; a subclass may put another object in its place."""
        from .bonsai_interface import BonsaiInterface

        return BonsaiInterface(on_line=lambda line: self._tell(f"| {line}"))

    def _begin_afresh(self) -> None:
        """Forget the last run's session, but not the answers."""
        self.session_uuid = self.session_directory = None
        self.start_time = self.stop_time = None
        self.bonsai_process = None
        self.stdout_data = self.stderr_data = ""
        self._percent_used: float | None = None
        self._plan: Plan | None = None
        self._agreement: Agreement | None = None
        self._folder: SessionFolder | None = None
        self._journal = Journal(fallback_folder() / f"{uuid.uuid4().hex}.jsonl")
        self._run_folder = Path()
        self._run_log = RunLog()
        self._session_lock: ProcessLock | None = None
        self._reported: list[Finding] = []
        self._attempts: Attempts | None = None
        self._judgement: Judgement | None = None
        self._managed = False
        self._closing = False
        self._interrupts = 0
        self._held_ends: list[str] | None = None
        self._asking_why = False
        self._display: Display | None = None

    # -- the whole run -------------------------------------------------------------------------

    def run(self, param_file: str | os.PathLike[str] | None = None) -> bool:
        """Run one session: parameters, checks, code, folder, acquisition, post-processing, records.

        Args:
            param_file: JSON parameter file; None means an empty one.

        Returns:
            True when the acquisition completed. False on any failure, never an exception;
            `outcome` says what happened.
        """
        self._begin_afresh()
        self._managed = True
        failure: Failure | None = None
        interrupted = False
        with deliberate_end(self._end_asked):
            try:
                failure = attempt(lambda: self._carry_out(param_file))
            except KeyboardInterrupt:
                interrupted = True
            finally:
                self._managed = False
                self.cleanup()
        self.outcome = self._conclude(failure, interrupted)
        if self._closing and self._plan and self._plan.parameters.session_report:
            self._begin_afterwards()
        return self.outcome.exit_code == 0

    def _carry_out(self, param_file: str | os.PathLike[str] | None) -> None:
        self._enter("parameters")
        self._load_for_run(param_file)
        self._enter("checks")
        plan = self._plan = self.make_plan()
        self._check(plan)
        with alone(plan):
            self._enter("repository")
            self._prepare_code(plan)
            if plan.sync_node:
                self._enter("other computers")
                self._agree(plan)
            self._hold_session(plan)

    def _hold_session(self, plan: Plan) -> None:
        """Everything from the new folder to its closing, which nothing may skip."""
        failure: Failure | None = None
        try:
            failure = attempt(self._acquire)
        except KeyboardInterrupt:
            self._judge(Judgement("aborted", "Interrupted before the acquisition started."))
        try:
            if failure is not None and self._folder is not None:
                self._fail(failure)
            if self.start_time is not None:
                self._post_process()
            self._close(plan)
        finally:
            if self._display is not None:
                attempt(self._display.stop)
        if failure is not None:
            raise failure.error

    def _acquire(self) -> None:
        self._enter("session folder")
        self._open_session()
        self._show(self._require_plan())
        self._run_steps("before")
        self._enter("acquisition")
        attempts = self._attempts = self._prepare_attempts()
        self.start_bonsai()
        while attempts and self._judgement and self._judgement.outcome == "failed":
            if not attempts.another(self._judgement.reason):
                break
            self._enter("acquisition")
            self._run_folder = _new_run_folder(self._require_folder())
            self.start_bonsai()

    def _prepare_attempts(self) -> Attempts | None:
        """What takes care of further attempts; None when there can be none."""
        may_ask = self.options.offer_again and self._interactive
        if not may_ask and not self._require_plan().parameters.bonsai_max_retries:
            return None
        from .attempts import Attempts

        return Attempts(
            self._require_plan(),
            self._require_folder(),
            self._journal,
            self._report,
            display=self._display,
            may_ask=may_ask,
        )

    @property
    def _attempt(self) -> int:
        return self._attempts.number if self._attempts else 1

    def _require_folder(self) -> SessionFolder:
        assert self._folder is not None  # noqa: S101 - a run opens it before its acquisition
        return self._folder

    def _run_steps(
        self,
        phase: Literal["before", "after"],
        record: SessionRecord | None = None,
        *,
        sealed: bool = False,
    ) -> None:
        """Run the steps of one phase, but those that `record` says have been run; when the
        manifest is sealed, those that come then."""
        plan = self._require_plan()
        if self._folder is None or not pipeline(plan.parameters, phase):
            return
        if not sealed:
            self._enter(f"steps {phase}")
        run_phase(
            phase,
            plan.parameters,
            self._folder,
            self._journal,
            root=plan.source.root,
            rehearsal=plan.rehearsal,
            record=record,
            sealed=sealed,
            ask=partial(ask_about, self._display) if self._interactive else None,
            terminal=partial(own_terminal, self._display),
        )

    @property
    def _interactive(self) -> bool:
        asked = self.options.interactive
        return is_interactive() if asked is None else asked

    def _fail(self, failure: Failure) -> None:
        _log.error(failure.traceback if failure.bug else failure.error.render())
        if self._judgement is None:
            self._judge(Judgement("failed", failure.error.message, failure.error.findings))

    def _conclude(self, failure: Failure | None, interrupted: bool) -> Outcome:
        folder = self._folder.path if self._folder else None
        if failure is not None:
            _log.error(failure.error.render())
            _log.debug(failure.traceback)
        if self._judgement is None:
            if interrupted:
                return Outcome("aborted", "Interrupted before the session began.", None, folder)
            return Outcome("not started", failure.error.message if failure else "", failure, folder)
        return Outcome(self._judgement.outcome, self._judgement.reason, failure, folder)

    def _enter(self, stage: str) -> None:
        self._journal.record(StageEntered(stage))
        _log.info("Stage: %s", stage)

    def _tell(self, line: str) -> None:
        if "%" not in line:  # progress is for the screen
            _log.info(line)
        if self.options.tell is not None:
            self.options.tell(line)

    # -- parameters ----------------------------------------------------------------------------

    def load_parameters(self, param_file: str | os.PathLike[str] | None) -> None:
        """Load and validate the parameters, and ask for what is missing.

        May be called again; answers are kept. Fills `params`, `params_checksum`, `subject_id`,
        `user_id` and `config`.

        Args:
            param_file: JSON parameter file; None means an empty one.

        Raises:
            FileNotFoundError: the file is not there.
            ValueError: the file or a value cannot be used; the error names every fault.
        """
        file = Path(param_file) if param_file else None
        asked = given(file, self.options.overrides)
        self._rig = find_rig_file(asked, rehearsal=self.options.rehearse)
        self.config = self._load_config({**self._rig.values, **asked})
        self._take(self._load(file))
        self._answers |= self.collect_runtime_information()
        self._take(self._load(file))

    def _load_config(self, named: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        config_path = named.get("config_path")
        if isinstance(config_path, str) and on_missing_drive(config_path):
            return {}  # a rehearsal goes without it, the checks of a run refuse it
        return self.config_loader.load_config(named)

    def _load(self, file: Path | None) -> Loaded:
        return load(
            file,
            overrides=self.options.overrides,
            config=self.config,
            rig=self._rig,
            answers=self._answers,
            rehearsal=self.options.rehearse,
        )

    def _take(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self.params = loaded.values
        self.params_checksum = loaded.checksum
        self.subject_id = loaded.parameters.subject_id
        self.user_id = loaded.parameters.user_id

    def collect_runtime_information(self) -> dict[str, Any]:
        """Ask for what is missing: subject and user.

        Override it to ask for more; what is returned lies over the parameter file.

        Returns:
            The answers, key → value; nothing for what is known already.

        Raises:
            ParameterError: something is missing and there is no terminal to ask on.
        """
        return complete(
            self._require_loaded(),
            interactive=self._interactive,
            defaults=self.options.defaults,
            offers=offers(self.config, self._rig.values),
        )

    @property
    def origins(self) -> dict[str, str]:
        """Where each parameter's value comes from."""
        return self._require_loaded().origins

    @property
    def parameter_warnings(self) -> tuple[Finding, ...]:
        """What is odd about the parameters and need not stop a session."""
        loaded = self._require_loaded()
        parameters = loaded.parameters
        if not (parameters.pre_acquisition_pipeline or parameters.post_acquisition_pipeline):
            return loaded.warnings
        from ..steps.pipeline import parameter_names

        # Keys that only a step knows are known after all.
        known = tuple(f'The key "{name}" ' for name in parameter_names(parameters))
        return tuple(w for w in loaded.warnings if not w.message.startswith(known))

    def _require_loaded(self) -> Loaded:
        if self._loaded is None:
            self._loaded = self._load(None)
        return self._loaded

    def _load_for_run(self, param_file: str | os.PathLike[str] | None) -> None:
        try:
            self.load_parameters(param_file)
        except LauncherError:
            raise
        except (ValueError, FileNotFoundError) as error:
            # A lab's own validation in an overriding method speaks with the built-in errors.
            raise ParameterError(str(error), where=str(param_file or "")) from error
        self._report("parameters", self.parameter_warnings)

    @cached_property
    def platform_info(self) -> dict[str, Any]:
        """The machine: `python`, `os`, `hardware`, `computer_name`, `rig_id`."""
        rig = self._loaded.parameters.rig_id if self._loaded else None
        return platform_info(rig)

    # -- plan and checks -----------------------------------------------------------------------

    def make_plan(self) -> Plan:
        """What `run` would do with the loaded parameters; changes nothing in any checkout.

        Raises:
            LauncherError: in plain words, what stands in the way of a plan.
        """
        loaded = self._require_loaded()
        engine = self._engine(loaded.parameters.launcher)
        resolve = getattr(self.git_manager, "resolve", None)
        code = resolve(self._repository_parameters()) if resolve else None
        return make_plan(
            loaded,
            engine=engine,
            source=self._source(code) if code is not None else self._folder_source(),
            code=code,
            rehearsal=self.options.rehearse,
            sync=self.options.sync or not self.options.rehearse,
        )

    def _engine(self, name: str) -> Engine:
        return get_engine(name)

    def _source(self, code: Resolved) -> Source:
        return GitSource(code)

    def _repository_parameters(self) -> dict[str, Any]:
        """The validated values of the keys that name the repository, placeholders filled."""
        parameters = self._require_loaded().parameters
        keys = ("repository_url", "repository_commit_hash", "local_repository_path")
        return {**self.params, **{key: getattr(parameters, key) for key in keys}}

    def _folder_source(self) -> Source:
        """Without git: the checkout as it lies there, else the parameter file's folder."""
        checkout = self.git_manager.get_repository_path(self._repository_parameters())
        if checkout:
            return FolderSource(Path(checkout).absolute())
        loaded = self._require_loaded()
        named = loaded.parameters.local_repository_path
        if named:
            return FolderSource(Path(named).absolute())
        return FolderSource(loaded.file.absolute().parent if loaded.file else Path.cwd())

    def _check(self, plan: Plan) -> None:
        self.script_checksum = plan.script_checksum or None
        findings = check_plan(plan, allow_dirty=self.options.allow_dirty)
        self._report("checks", findings)
        errors = [finding for finding in findings if finding.level == "error"]
        if errors:
            raise PreflightError.from_findings("The session cannot be run as it is.", errors)
        confirm = self.options.confirm
        known = [*self.parameter_warnings, *findings]
        if confirm is not None and not confirm(plan, known):
            raise KeyboardInterrupt

    def _report(self, stage: str, findings: Sequence[Finding]) -> None:
        """Record what is not in order, once: the checks and the work see much of it twice."""
        for finding in findings:
            if finding.level != "ok" and finding not in self._reported:
                self._reported.append(finding)
                self._journal.record(finding_event(stage, finding))
                _log.warning(finding.render())

    def _prepare_code(self, plan: Plan) -> None:
        if not self.git_manager.setup_repository(self._repository_parameters()):
            error = getattr(self.git_manager, "error", None)
            raise error or RepositoryError("The repository could not be set up; see the log.")
        checkout = getattr(self.git_manager, "checkout", None)
        if checkout is not None:
            self._report("repository", checkout.findings)
            self._journal.record(
                RepositoryReady(
                    url=checkout.url,
                    ref=checkout.ref,
                    commit=checkout.commit,
                    path=str(checkout.path),
                    dirty=checkout.dirty,
                    untracked=len(checkout.untracked),
                )
            )
        if plan.engine.name == "bonsai" and plan.parameters.bonsai_setup_script:
            self._set_up_bonsai(plan)

    def _set_up_bonsai(self, plan: Plan) -> None:
        if plan.rehearsal:
            return
        from ..engines.bonsai.launch import exe_path

        given = plan.parameters.values().items()
        parameters = {key: value for key, value in given if value is not None}
        parameters["bonsai_exe_path"] = str(exe_path(plan.parameters, plan.source))
        self._tell(f"Making sure of Bonsai ({plan.parameters.bonsai_setup_script})")
        if not self.bonsai_interface.setup_bonsai_environment(parameters, plan.source.root):
            raise getattr(self.bonsai_interface, "error", None) or EngineError(
                "Bonsai could not be set up; the log says why.",
                code="bonsai-setup-failed",
                where=f"bonsai_setup_script: {plan.parameters.bonsai_setup_script}",
                fix="Run the setup script by hand and look at what it says.",
            )
        self._report("repository", getattr(self.bonsai_interface, "findings", ()))
        # What was installed just now may be started in another way (mono for a Windows program).
        self._plan = plan._replace(launch=self.make_plan().launch)

    # -- session folder and metadata -----------------------------------------------------------

    def _agree(self, plan: Plan) -> Agreement:
        """Agree with the other computers on the session's name; once in a run."""
        if self._agreement is None:
            from .session_sync import agree_on_name, agreement_event, agreement_findings

            self._agreement = agreement = agree_on_name(
                plan,
                open_waiting=self.options.open_waiting,
                tell=self._tell,
                report=partial(self._report, "other computers"),
            )
            self.session_uuid = agreement.session
            self._journal.record(agreement_event(agreement))
            self._report("other computers", agreement_findings(agreement))
        return self._agreement

    def determine_session_directory(self) -> str | None:
        """Make the session folder, named `<subject>_<YYYY-MM-DD>_<HH-MM-SS>` in local time, or as
        several computers agreed.

        Returns:
            Its absolute path, the same again within one run; None when no subject is known.

        Raises:
            SessionError: the folder cannot be made, or one of the name that was agreed is there.
            SyncError: the computers did not agree.
        """
        if self.session_directory is None and self.subject_id:
            plan = self._require_plan()
            agreed = self._agree(plan).session if plan.sync_node else ""
            folder = claim(plan.output_root, self.subject_id, agreed_name=agreed)
            self.session_directory, self.session_uuid = str(folder.path), folder.name
        return self.session_directory

    def _require_plan(self) -> Plan:
        """The plan of the run; after `load_parameters` alone, one that asks no git."""
        if self._plan is None:
            loaded = self._require_loaded()
            self._plan = make_plan(
                loaded,
                engine=get_engine(loaded.parameters.launcher),
                source=self._folder_source(),
                code=None,
                rehearsal=self.options.rehearse,
                sync=self.options.sync or not self.options.rehearse,
            )
            self.script_checksum = self._plan.script_checksum or None
        return self._plan

    def _open_session(self) -> None:
        plan = self._require_plan()
        directory = self.determine_session_directory()
        if directory is None:
            raise SessionError("No session folder was made.", code="session-folder-missing")
        self._folder = folder = SessionFolder(Path(directory).absolute())
        self.session_uuid = self.session_uuid or folder.name
        for part in (folder.metadata, folder.logs):
            part.mkdir(exist_ok=True)
        self._session_lock = session_lock(folder.path)
        self._session_lock.acquire()
        remember_session(folder.path)
        self._journal.open(folder.journal)
        self._run_folder = _new_run_folder(folder)
        self._journal.record(self._opened(plan, folder))
        central = plan.parameters.centralized_log_directory
        self.setup_continuous_logging(str(folder.path), central if not plan.rehearsal else None)
        file = plan.parameter_file
        self.save_experiment_metadata(str(folder.path), str(file) if file else None)

    def _opened(self, plan: Plan, folder: SessionFolder) -> SessionOpened:
        return SessionOpened(
            session_uuid=self.session_uuid or folder.name,
            subject_id=self.subject_id or "",
            user_id=self.user_id or "",
            rig_id=plan.rig_id,
            launcher=plan.engine.name,
            launcher_version=__version__,
            parameter_file=str(plan.parameter_file or ""),
            params_checksum=self.params_checksum or "",
            run_folder=str(self._run_folder),
            rehearsal=plan.rehearsal,
            host=self.platform_info["computer_name"],
            pid=os.getpid(),
            rerun_of=self.options.rerun_of,
        )

    def setup_continuous_logging(
        self, output_directory: str, centralized_log_dir: str | None = None
    ) -> None:
        """Log to `logs/experiment_<session>.log` from now on.

        Args:
            output_directory: the session folder.
            centralized_log_dir: a folder for a second copy of the log, such as a share.
        """
        log = SessionFolder(Path(output_directory).absolute()).log
        self._run_log.open(log, Path(centralized_log_dir) if centralized_log_dir else None)

    def save_experiment_metadata(
        self, output_directory: str, param_file: str | None = None
    ) -> None:
        """Save what proves what runs to `experiment_metadata/`.

        The original parameter file, the processed parameters, the command line, the environment,
        the code's state, and runtime and system information; secrets are masked in all of them.

        Args:
            output_directory: the session folder.
            param_file: the parameter file; None when there is none.
        """
        save_metadata(
            SessionFolder(Path(output_directory).absolute()),
            self._require_plan(),
            self._require_loaded(),
            parameter_file=Path(param_file) if param_file else None,
            arguments=self.options.arguments or tuple(sys.argv),
            checkout=getattr(self.git_manager, "checkout", None),
            runtime={
                "session_uuid": self.session_uuid,
                "subject_id": self.subject_id,
                "user_id": self.user_id,
                "params_checksum": self.params_checksum,
                "script_checksum": self.script_checksum,
                "platform": self.platform_info,
                **self._sync_record(),
            },
        )

    def _sync_record(self) -> dict[str, Any]:
        if self._agreement is None:
            return {}
        from .session_sync import as_record

        return {"session_sync": as_record(self._agreement)}

    def _show(self, plan: Plan) -> None:
        """Open the display. One that cannot be opened is no reason not to run the session."""
        open_display, folder = self.options.open_display, self._folder
        if open_display is None or folder is None:
            return

        def show() -> None:
            display = open_display(folder, plan, self.add_note)
            display.start()
            self._display = display

        failure = attempt(show)
        if failure is not None:
            _log.warning("No display: %s", failure.error.render())

    def add_note(self, text: str) -> None:
        """Add a time-stamped note to the session's journal."""
        self._journal.record(NoteAdded(text, self.user_id or ""))

    # -- the acquisition -----------------------------------------------------------------------

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
        pump = RecordPump(acquisition, self._journal)
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

    def stop(self) -> None:
        """Stop the acquisition: ask, then terminate, then kill the whole tree.

        Safe at any time, from any thread, any number of times. Outside of `run` it also closes
        the session that `start_bonsai` opened.
        """
        process = self.bonsai_process
        if process is not None and process.poll() is None and not process.ended_within(0):
            process.request_stop("launcher", "stop() was called")
            if not self._managed:
                process.wait()
        if not self._managed:
            self.cleanup()

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

    # -- the end -------------------------------------------------------------------------------

    def post_experiment_processing(self) -> bool:
        """Process the data after the acquisition: the hook for labs. The default does nothing.

        It is called whenever an acquisition ran. A failure is a warning: the data stay, and the
        run's result does not change.

        Returns:
            True if successful, False otherwise.
        """
        return True

    def _post_process(self) -> None:
        self._enter("post-processing")
        done: list[bool] = []
        failure = attempt(lambda: done.append(self.post_experiment_processing()))
        if failure is None and done != [False]:
            return
        words = failure.error.message if failure else "it returned False"
        if failure is not None:
            _log.warning(failure.traceback)
        problem = Finding(
            "warning",
            "post-processing-failed",
            f"The post-processing failed: {words}",
            where=type(self).__name__,
            fix="The data are complete; process them again by hand.",
        )
        self._report("post-processing", [problem])

    def _close(self, plan: Plan) -> None:
        if self._folder is None:
            return
        from ..closing import Closing, close_session

        self._closing, self._interrupts = True, 0
        closing = Closing(
            self._folder,
            self._journal,
            "launcher",
            finish_files=self._finish_files,
            archive=self._archive if pipeline(plan.parameters, "after") else None,
            copied=self._complete_archives,
        )
        try:
            if self._journal.failure is not None:
                raise self._journal.failure
            close_session(closing)
        except OSError as error:
            raise self._left_open(self._folder, error) from error
        discard_runs(self._folder)
        forget_session(self._folder.path)

    def _begin_afterwards(self) -> None:
        from ..afterwards import begin_afterwards

        begin_afterwards(self._require_folder().path)

    def _left_open(self, folder: SessionFolder, error: OSError) -> SessionError:
        kept = self._journal.fallback if self._journal.failure else runs_folder()
        return SessionError(
            f"The session's records cannot be written to its folder: {error.strerror or error}.",
            code="session-left-open",
            where=f"{folder.path}; the last records are in {kept}",
            fix=f"Bring its disk back, or make room on it; then: openscope recover {folder.path}",
        )

    def _finish_files(self, record: SessionRecord) -> list[Finding]:
        self._run_steps("after", record)
        self._run_log.close()
        return []

    def _archive(self, record: SessionRecord) -> None:
        self._run_steps("after", record, sealed=True)

    def _complete_archives(self, record: SessionRecord) -> None:
        plan = self._require_plan()
        if self._folder is not None:
            complete_archives(plan.parameters, self._folder, record, rehearsal=plan.rehearsal)

    def cleanup(self) -> None:
        """Let go of everything the run holds: its log, its journal, its locks. Idempotent."""
        if self._folder is not None and not self._closing and self._judgement is not None:
            self._close(self._require_plan())
        self._run_log.close()
        if self._folder is None:
            with suppress(OSError):
                self._journal.keep_unplaced()
        self._journal.close()
        if self._session_lock is not None:
            self._session_lock.release()

    # -- command line --------------------------------------------------------------------------

    @classmethod
    def create_argument_parser(cls, description: str | None = None) -> argparse.ArgumentParser:
        """The standard command line of a lab's own launcher script.

        Args:
            description: what the script is for.
        """
        parser = Parser(description=description or (cls.__doc__ or "").strip().split("\n")[0])
        add_run_options(parser)
        return parser

    @classmethod
    def run_from_args(cls, args: argparse.Namespace) -> int:
        """Run a session as the parsed command line says.

        Returns:
            0 completed, 1 failed, 3 a bug in the launcher, 130 interrupted.
        """
        options = options_from(args)
        from .terminal import with_display

        experiment = cls()
        if sys.stdout.isatty():
            options = with_display(options._replace(offer_again=True))
        experiment.use(options)
        experiment.run(args.param_file)
        return experiment.outcome.exit_code

    @classmethod
    def main(cls, description: str | None = None, args: Sequence[str] | None = None) -> int:
        """The whole of a launcher script: `sys.exit(MyExperiment.main())`.

        Args:
            description: what the script is for.
            args: command-line arguments; those of this process when None.
        """
        if not sys.stdout.isatty():  # on a terminal the display shows what happens
            logging.basicConfig(level=logging.INFO, format="%(message)s")
        codes: list[int] = []
        failure = attempt(
            lambda: codes.append(
                cls.run_from_args(cls.create_argument_parser(description).parse_args(args))
            )
        )
        if failure is not None:
            _log.error(failure.error.render())
            return 3 if failure.bug else 1
        return codes[0]

    def use(self, options: RunOptions) -> None:
        """Take other options; for subclasses whose constructor takes no arguments."""
        self.options = options
        for name in ("allow_dirty", "offline"):
            if hasattr(self.git_manager, name):
                setattr(self.git_manager, name, getattr(options, name))


def _new_run_folder(folder: SessionFolder) -> Path:
    return runs_folder() / f"{folder.name}-{uuid.uuid4().hex[:8]}"
