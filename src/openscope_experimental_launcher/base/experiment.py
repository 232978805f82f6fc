"""`BaseExperiment`: one experimental session, one method a stage. Labs subclass it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

from ..errors import (
    EngineError,
    Failure,
    Finding,
    LauncherError,
    ParameterError,
    PreflightError,
    RepositoryError,
    attempt,
)
from ..parameters.camstim import DEFAULT_CONFIG_PATH
from ..plan import DEFAULT_OUTPUT_DIR, Plan
from ..preflight import check_plan
from ..repository import DEFAULT_REPO_PATH
from ..session.journal import (
    RepositoryReady,
)
from ..session.record import SessionRecord
from ..session.state import (
    forget_session,
    runs_folder,
)
from ..steps.phase import complete_archives, pipeline, run_phase
from ..supervision.judgement import Judgement
from ..supervision.supervisor import Acquisition, discard_runs
from .acquiring import Acquiring
from .arguments import Parser, add_run_options, options_from
from .interrupts import deliberate_end
from .occupancy import alone
from .options import Outcome, RunOptions
from .recording import new_run_folder
from .session_steps import ask_about, own_terminal

if TYPE_CHECKING:
    from .attempts import Attempts
    from .bonsai_interface import BonsaiInterface

__all__ = [
    "DEFAULT_CONFIG_PATH",
    "DEFAULT_OUTPUT_DIR",
    "DEFAULT_REPO_PATH",
    "BaseExperiment",
]

_log = logging.getLogger("openscope")


class BaseExperiment(Acquiring):
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
        super().__init__(options)
        self.outcome = Outcome()

    @cached_property
    def bonsai_interface(self) -> BonsaiInterface:
        """Finds and installs Bonsai; a subclass may put another object in its place."""
        from .bonsai_interface import BonsaiInterface

        return BonsaiInterface(on_line=lambda line: self._tell(f"| {line}"))

    # -- the whole run -----------------------------------------------------------------------------

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
                left = attempt(self.cleanup)
        self.outcome = self._conclude(failure or left, interrupted)
        if self._closed:
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
        broken_off = False
        try:
            failure = attempt(self._acquire)
        except KeyboardInterrupt:
            broken_off = True
        try:
            # Where this fails, the session stays open, for its recovery.
            self._see_out(_kill if broken_off else _leave)
            if broken_off and self._judgement is None:
                self._judge(Judgement("aborted", "Interrupted before the acquisition started."))
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
            self._run_folder = new_run_folder(self._require_folder())
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
            end_wanted=lambda: self._end_wanted,
        )

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
        if interrupted and not self._closed:
            words = f"The acquisition {self._judgement.outcome}; its records were left open."
            fix = f"To finish them: openscope recover {folder}"
            return Outcome("aborted", f"{words} {fix}", None, folder)
        return Outcome(self._judgement.outcome, self._judgement.reason, failure, folder)

    def _load_for_run(self, param_file: str | os.PathLike[str] | None) -> None:
        try:
            self.load_parameters(param_file)
        except LauncherError:
            raise
        except (ValueError, FileNotFoundError) as error:
            # A lab's own validation in an overriding method speaks with the built-in errors.
            raise ParameterError(str(error), where=str(param_file or "")) from error
        self._report("parameters", self.parameter_warnings)

    # -- checks and code ---------------------------------------------------------------------------

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

    # -- the end -----------------------------------------------------------------------------------

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
        failure: Failure | None = None
        words = "it returned False"
        try:
            failure = attempt(lambda: done.append(self.post_experiment_processing()))
        except KeyboardInterrupt:
            words, done = "it was broken off.", [False]
        if failure is None and done != [False]:
            return
        words = failure.error.message if failure else words
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
        from ..closing import Closing, close_session, left_open

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
            kept = self._journal.fallback if self._journal.failure else runs_folder()
            raise left_open(self._folder, kept, error) from error
        self._closed = True
        discard_runs(self._folder)
        forget_session(self._folder.path)

    def _begin_afterwards(self) -> None:
        from ..afterwards import begin_afterwards

        asked = self._require_plan().parameters
        begin_afterwards(
            self._require_folder().path,
            metadata=asked.session_metadata,
            report=asked.session_report,
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

    def stop(self) -> None:
        """Stop the acquisition: ask, then terminate, then kill the whole tree.

        Safe at any time, from any thread, any number of times. Outside of `run` it also closes
        the session that `start_bonsai` opened.
        """
        if self._managed:
            process = self.bonsai_process
            if process is not None and process.poll() is None and not process.guard_is_gone:
                _stop(process)
            return
        self._see_out(_stop)
        if self._folder is not None and self._judgement is None:
            self._judge(Judgement("aborted", "Stopped before the acquisition started."))
        self.cleanup()

    def cleanup(self) -> None:
        """Let go of everything the run holds: its log, its journal, its locks. Idempotent."""
        ended = self._judgement is not None and self._finish is None
        if self._folder is not None and not self._closing and ended:
            self._close(self._require_plan())
        self._run_log.close()
        with suppress(OSError):
            self._journal.keep_unplaced()
        self._journal.close()
        if self._session_lock is not None:
            self._session_lock.release()

    # -- command line ------------------------------------------------------------------------------

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


def _stop(acquisition: Acquisition) -> None:
    acquisition.request_stop("launcher", "stop() was called")


def _kill(acquisition: Acquisition) -> None:
    acquisition.request_kill("operator", "its start was broken off")


def _leave(_: Acquisition) -> None:
    """It goes on: what went wrong in the launcher must not reach it."""
