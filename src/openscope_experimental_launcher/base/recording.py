"""The session's folder: claiming it, and what is written there before anything runs."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import Finding, SessionError
from ..locks import ProcessLock
from ..parameters.placeholders import bind
from ..plan import Plan
from ..session.folder import SessionFolder, claim
from ..session.journal import Journal, NoteAdded, SessionOpened, StageEntered, finding_event
from ..session.state import (
    fallback_folder,
    fallback_journal,
    remember_session,
    runs_folder,
    session_lock,
)
from .options import RunOptions
from .preparation import Preparation
from .run_log import RunLog
from .session_metadata import save_metadata

if TYPE_CHECKING:
    from ..sync import Agreement

_log = logging.getLogger("openscope")


class Recording(Preparation):
    """The stage of a session in which its folder is made; `BaseExperiment` goes on from here."""

    def __init__(self, options: RunOptions | None = None) -> None:
        super().__init__(options)
        self._begin_afresh()

    def _begin_afresh(self) -> None:
        """Forget the last run's session, but not the answers."""
        self.session_uuid: str | None = None
        self.session_directory: str | None = None
        self._plan = None
        self._agreement: Agreement | None = None
        self._folder: SessionFolder | None = None
        self._journal = Journal(fallback_folder() / f"{uuid.uuid4().hex}.jsonl")
        self._run_folder = Path()
        self._run_log = RunLog()
        self._session_lock: ProcessLock | None = None
        self._reported: list[Finding] = []

    def add_note(self, text: str) -> None:
        """Add a time-stamped note to the session's journal."""
        self._journal.record(NoteAdded(text, self.user_id or ""))

    def _enter(self, stage: str) -> None:
        self._journal.record(StageEntered(stage))
        _log.info("Stage: %s", stage)

    def _report(self, stage: str, findings: Sequence[Finding]) -> None:
        """Record what is not in order, once: the checks and the work see much of it twice."""
        for finding in findings:
            if finding.level != "ok" and finding not in self._reported:
                self._reported.append(finding)
                self._journal.record(finding_event(stage, finding))
                _log.warning(finding.render())

    def _require_folder(self) -> SessionFolder:
        assert self._folder is not None  # noqa: S101 - a run opens it before its acquisition
        return self._folder

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
        try:
            remember_session(folder.path)
        finally:  # what has happened so far belongs into the folder, whatever else is not in order
            self._journal.fallback = fallback_journal(folder.path)
            self._journal.open(folder.journal)
        self._run_folder = new_run_folder(folder)
        self._journal.record(self._opened(plan, folder))
        central = bind(plan.parameters.centralized_log_directory, str(folder.path), folder.name)
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


def new_run_folder(folder: SessionFolder) -> Path:
    """A folder for one run of a session's acquisition, not made yet."""
    return runs_folder() / f"{folder.name}-{uuid.uuid4().hex[:8]}"
