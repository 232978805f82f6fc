"""Running the steps of a pipeline, each in a process of its own.

Whatever a step does, the session goes on by the entry's policy: a step that hangs is killed with
its children at its limit, one that crashes or ends its interpreter has failed. What it prints goes
straight to a file in the session's `logs`, and how it went is an event of the journal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from ..engines.python import CHILD_ENVIRONMENT
from ..errors import Finding, StepError
from ..files import write_json
from ..masking import mask_text
from ..parameters.model import Parameters
from ..parameters.placeholders import bind
from ..plan import session_variables
from ..session.folder import SessionFolder
from ..session.journal import Event, StepFinished, finding_event
from ..session.output import readable, tail
from ..session.record import SessionRecord
from ..supervision.job import new_job, start_inside
from . import Phase, get_step
from .left_running import registered
from .pipeline import (
    FILE_FUNCTIONS,
    PlannedStep,
    own_values,
    require_module,
    runs_sealed,
    session_values,
)

StepOutcome = Literal["ok", "failed", "timed out", "skipped", "pending"]
Choice = Literal["retry", "go on", "abort"]
Ask = Callable[[PlannedStep, str], Choice]

LARGEST_LOG_BYTES = 256 * 1024 * 1024
"""Output beyond this ends a step, before it fills the session's disk."""

_LOOK_S = 0.1
_LAST_LINES = 10
_LAST_BYTES = 4096
_LONGEST_MESSAGE = 1000
_LONGEST_NAME = 60
_KILL_WAIT_S = 5.0
_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_LARGEST_RESULT = 1_000_000
_CHILD = Path(__file__).with_name("child.py")
_NEW_FILE = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOINHERIT", 0)
    | getattr(os, "O_BINARY", 0)
)


class StepSession(NamedTuple):
    """The session that steps belong to.

    Attributes:
        folder: its folder.
        parameters: its parameters; slots in them are filled for the steps.
        checkout: folder of the experiment's files, where a pipeline's scripts are; None when
            there is none.
        interpreter: the experiment's Python, which runs the scripts.
        rehearsal: whether it is a rehearsal.
        outcome: how the acquisition ended; empty before it.
        sealed: whether the manifest is sealed: then steps leave no logs in the folder.
    """

    folder: SessionFolder
    parameters: Parameters
    checkout: Path | None
    interpreter: str
    rehearsal: bool
    outcome: str = ""
    sealed: bool = False

    def bound(self, value: Any) -> Any:
        """A JSON value with the session folder in its slots."""
        return bind(value, str(self.folder.path), self.folder.name)


class Recorder(Protocol):
    """What takes the events of steps: a journal."""

    def record(self, event: Event) -> None:
        """Take one event."""


class _Ended(NamedTuple):
    """How the process of a step ended, and what it left."""

    outcome: StepOutcome
    message: str
    files: tuple[str, ...] = ()
    last_lines: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _Job(NamedTuple):
    """A step made ready to be run."""

    program: str
    folder: Path
    request: Mapping[str, Any]
    interactive: bool
    run_after_failure: bool


def finished_steps(record: SessionRecord) -> frozenset[tuple[Phase, int]]:
    """The steps that a journal says need not be run again: (phase, position)."""
    return frozenset(
        (step["phase"], int(step["position"]))
        for step in record.steps
        if step["outcome"] != "pending"
    )


def run_steps(
    steps: Sequence[PlannedStep],
    session: StepSession,
    journal: Recorder,
    *,
    done: frozenset[tuple[Phase, int]] = frozenset(),
    ask: Ask | None = None,
    terminal: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> list[StepFinished]:
    """Run the steps of one pipeline in order and record how each ended.

    When a step before the acquisition fails, a person who is there decides. With nobody there its
    entry does: by `abort` nothing more is run and this raises. After the acquisition the rest is
    then recorded as skipped.

    Args:
        steps: the pipeline, see `pipeline.plan_steps`.
        session: the session they belong to.
        journal: its journal, open.
        done: the ones an earlier run finished; they are passed over.
        ask: asks the operator about a failed step: each one before the acquisition, and those
            with `on_failure: prompt` after it. None when nobody is there to ask: then `prompt` is
            an `abort`, and interactive steps are not run.
        terminal: holds the terminal for an interactive step: no display, no typed-ahead keys.

    Returns:
        What was recorded, in order.

    Raises:
        StepError: `step-aborted`, by a step before the acquisition.
    """
    events: list[StepFinished] = []
    aborted = ""
    for step in steps:
        if (step.phase, step.position) in done:
            continue
        choice: Choice = "retry"
        while choice == "retry":
            if aborted:
                event = _event(step, _Ended("skipped", f"Not run, since {aborted} failed."), 0.0)
                journal.record(event)
            else:
                event = _run_and_record(step, session, journal, ask is not None, terminal)
            events.append(event)
            choice = _what_next(step, event, ask)
        if choice == "abort":
            aborted = step.name
            if step.phase == "before":
                raise _abort(step, event)
    return events


def comes_sealed(step: PlannedStep) -> bool:
    """Whether a step is one for the sealed session. One that is not installed, or is broken, is
    not: it is recorded with the others."""
    if step.kind != "step":
        return False
    try:
        return runs_sealed(get_step(step.name))
    except StepError:
        return False


def skip_steps(
    steps: Sequence[PlannedStep],
    journal: Recorder,
    why: str,
    done: frozenset[tuple[Phase, int]] = frozenset(),
) -> None:
    """Record that steps are not run."""
    for step in steps:
        if (step.phase, step.position) not in done:
            journal.record(_event(step, _Ended("skipped", why), 0.0))


def _what_next(step: PlannedStep, event: StepFinished, ask: Ask | None) -> Choice:
    if event.outcome not in ("failed", "timed out"):
        return "go on"
    if ask is not None and (step.phase == "before" or step.on_failure == "prompt"):
        return ask(step, event.message)
    return "go on" if step.on_failure == "continue" else "abort"


def _abort(step: PlannedStep, event: StepFinished) -> StepError:
    return StepError(
        f"The step {step.name} before the acquisition failed: {event.message}",
        code="step-aborted",
        where=step.where,
        fix="Mend what it says and start again; its output is in the session's logs.",
    )


def _run_and_record(
    step: PlannedStep,
    session: StepSession,
    journal: Recorder,
    attended: bool,
    terminal: Callable[[], AbstractContextManager[object]],
) -> StepFinished:
    began = time.monotonic()
    ended = _run(step, session, attended=attended, terminal=terminal)
    event = _event(step, ended, time.monotonic() - began)
    journal.record(event)
    for warning in ended.warnings:
        words = mask_text(_one_line(warning))
        found = Finding("warning", "step-warning", words, where=f"{step.where}: {step.name}")
        journal.record(finding_event(f"steps {step.phase}", found))
    return event


def _run(
    step: PlannedStep,
    session: StepSession,
    *,
    attended: bool,
    terminal: Callable[[], AbstractContextManager[object]],
) -> _Ended:
    try:
        job = _prepare(step, session)
        if session.outcome not in ("", "completed") and not job.run_after_failure:
            return _Ended("skipped", f"Not run: the acquisition's outcome is {session.outcome}.")
        if job.interactive and not attended:
            return _nobody_there(step, session)
        if not job.interactive:
            return _carry_out(step, session, job)
        with terminal():
            return _carry_out(step, session, job)
    except StepError as error:
        skipped = error.code == "step-unknown" and step.phase == "after"
        return _Ended("skipped" if skipped else "failed", error.message)
    except OSError as error:
        return _Ended("failed", f"It could not be started: {error}")


def _event(step: PlannedStep, ended: _Ended, duration_s: float) -> StepFinished:
    return StepFinished(
        step.phase,
        step.position,
        step.name,
        ended.outcome,
        mask_text(ended.message),
        round(duration_s, 3),
        ended.files,
        tuple(mask_text(line) for line in ended.last_lines),
    )


def _nobody_there(step: PlannedStep, session: StepSession) -> _Ended:
    words = "It needs a person at a terminal."
    if session.rehearsal:
        return _Ended("skipped", words)
    return _Ended("failed" if step.phase == "before" else "pending", words)


def _prepare(step: PlannedStep, session: StepSession) -> _Job:
    top_level = session_values(session.parameters)
    request: dict[str, Any] = {
        "kind": step.kind,
        "target": step.name,
        "import_path": [str(Path(entry).absolute()) for entry in sys.path],
        "context": _context(step.phase, session, top_level),
        "file_function": FILE_FUNCTIONS[step.phase],
    }
    program, folder, interactive = sys.executable, session.folder.path, False
    run_after_failure = step.run_after_failure
    if step.kind == "step":
        installed = get_step(step.name)
        request["values"] = own_values(
            step, installed.parameters_model, top_level, rehearsal=session.rehearsal
        )
        interactive = installed.interactive
        run_after_failure &= bool(getattr(installed, "run_after_failure", True))
    elif step.kind == "module":
        require_module(step)
    elif step.kind == "script":
        if session.checkout is None:
            raise StepError(f"There is no repository that {step.name} could be in.")
        program, folder = session.interpreter, session.checkout
        request["target"] = str(session.checkout / step.name)
        request["function"], request["arguments"] = step.function, step.arguments
    request["parameter_file"] = {
        **top_level,
        **step.parameters,
        "output_session_folder": str(session.folder.path),
        "session_uuid": session.folder.name,
    }
    request["interactive"] = interactive
    return _Job(program, folder, session.bound(request), interactive, run_after_failure)


def _context(phase: Phase, session: StepSession, top_level: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "session_folder": str(session.folder.path),
        "session_name": session.folder.name,
        "subject_id": session.parameters.subject_id or "",
        "user_id": session.parameters.user_id or "",
        "phase": phase,
        "outcome": session.outcome,
        "session_parameters": top_level,
        "checkout": str(session.checkout) if session.checkout else None,
        "rehearsal": session.rehearsal,
    }


def _new_log(folder: Path, step: PlannedStep) -> Path:
    """A new file for the step's output. A later attempt gets a number; a planted link is a name
    that is taken, never followed."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in step.name)[-_LONGEST_NAME:]
    stem = f"step_{step.phase}_{step.position}_{safe}"
    attempt = 1
    while True:
        log = folder / (f"{stem}.log" if attempt == 1 else f"{stem}_{attempt}.log")
        try:
            os.close(os.open(log, _NEW_FILE, 0o644))
        except FileExistsError:
            attempt += 1
            continue
        return log


def _carry_out(step: PlannedStep, session: StepSession, job: _Job) -> _Ended:
    """Run a step to its end, by itself or at its limit. An interactive one has the terminal and
    no log."""
    with tempfile.TemporaryDirectory(
        prefix="openscope-step-", ignore_cleanup_errors=True
    ) as private:
        log = None
        if not job.interactive:
            log = _new_log(Path(private) if session.sealed else session.folder.logs, step)
        request_file = _write_request(Path(private), job.request)
        # On Windows it ends the step, with all it started, even when the launcher is killed.
        hold = new_job() if log is not None else None
        process = _start(job, request_file, _environment(session), log, hold)
        try:
            stopped = None
            if log is None:
                _wait_for_person(process, session)
            else:
                stopped = _watch(process, log, step.timeout_s)
        finally:
            _end(process, session, whole_group=log is not None)
            if hold is not None:
                hold.Close()
        ended = stopped or _judge(request_file.with_name("result.json"), process.returncode)
        lines = tail(log, _LAST_BYTES).splitlines()[-_LAST_LINES:] if log else []
    if ended.outcome == "pending" and step.position < 0:
        ended = ended._replace(outcome="failed")  # what is in no pipeline, nobody does later
    return ended._replace(message=_one_line(ended.message), last_lines=tuple(lines))


def _write_request(folder: Path, request: Mapping[str, Any]) -> Path:
    """Write what the child is told. Parameters may hold secrets: only this user can read them."""
    file, parameter_file = folder / "request.json", folder / "parameters.json"
    write_json(parameter_file, request["parameter_file"], mode=0o600)
    write_json(file, {**request, "parameter_file": str(parameter_file)}, mode=0o600)
    return file


def _environment(session: StepSession) -> dict[str, str]:
    variables = session.bound(session_variables(session.parameters, session.rehearsal))
    return {**os.environ, **CHILD_ENVIRONMENT, **variables}


def _start(
    job: _Job, request_file: Path, environment: Mapping[str, str], log: Path | None, hold: Any
) -> subprocess.Popen[bytes]:
    arguments = [job.program, str(_CHILD), str(request_file)]
    if log is None:  # it must stay in the terminal's group, or it could not read from it
        with _interrupts_kept():
            return subprocess.Popen(arguments, cwd=job.folder, env=environment)
    with log.open("ab") as output:
        return start_inside(
            hold,
            arguments,
            cwd=job.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",
            creationflags=_NO_WINDOW,
        )


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Let a process be started that hears Ctrl-C when it is ready to, and not while its
    interpreter starts, which would print a traceback (POSIX)."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_person(process: subprocess.Popen[bytes], session: StepSession) -> None:
    """Wait for the end of a step that has the terminal. It hears Ctrl-C as well as this process,
    and says itself what comes of it; before the acquisition, it ends the session too."""
    try:
        process.wait()
    except KeyboardInterrupt:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_KILL_WAIT_S)
        if process.poll() is None or not session.outcome:
            raise


def _watch(process: subprocess.Popen[bytes], log: Path, limit_s: float) -> _Ended | None:
    """Wait for the end of a step; why it must be ended, when it does not end by itself."""
    deadline = time.monotonic() + limit_s
    while True:
        left_s = deadline - time.monotonic()
        try:
            process.wait(timeout=max(min(_LOOK_S, left_s), 0))
        except subprocess.TimeoutExpired:
            if left_s <= 0:
                return _Ended("timed out", f"It did not end within {limit_s:g} s and was killed.")
            if _size(log) > LARGEST_LOG_BYTES:
                words = f"It printed more than {LARGEST_LOG_BYTES / 1e6:.0f} MB and was killed."
                return _Ended("failed", words)
        else:
            return None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # the step may do what it wants with its log


def _end(process: subprocess.Popen[bytes], session: StepSession, *, whole_group: bool) -> None:
    """Leave nothing of a step alive, but what an interactive step registered, such as an editor:
    that is the operator's."""
    if process.poll() is None:
        _kill_family(process.pid, {left.pid for left in registered(session.folder.path)})
    # The group outlives its leader as long as anything is in it.
    if whole_group and sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_KILL_WAIT_S)


def _kill_family(pid: int, spared: set[int]) -> None:
    """Kill a process and its descendants, those in other sessions too.

    Args:
        pid: the process.
        spared: those of its children that stay, with theirs.
    """
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        family = {member.pid: member for member in process.children(recursive=True)}
        for kept in [family[pid] for pid in spared if pid in family]:
            for member in (kept, *kept.children(recursive=True)):
                family.pop(member.pid, None)
        for member in (*family.values(), process):
            with suppress(psutil.Error):
                member.kill()


def _judge(result_file: Path, code: int) -> _Ended:
    """What the end of a step's process means; only a whole result makes it a success."""
    result = _read_result(result_file)
    if result is not None:
        outcome: StepOutcome = "ok" if result["ok"] else "failed"
        return _Ended(
            "pending" if result.get("pending") is True else outcome,
            result["message"],
            tuple(result["files"]),
            warnings=tuple(_texts(result.get("warnings"))),
        )
    if code < 0:
        return _Ended("failed", f"It was ended by {_signal_name(-code)}.")
    return _Ended("failed", f"It ended with exit code {code} and without a result.")


def _read_result(file: Path) -> dict[str, Any] | None:
    try:
        with file.open("rb") as stream:
            result = json.loads(stream.read(_LARGEST_RESULT))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(result, dict):
        return None
    ok, message, files = (result.get(name) for name in ("ok", "message", "files"))
    whole = isinstance(ok, bool) and isinstance(message, str) and isinstance(files, list)
    return result if whole and _texts(files) == files else None


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _one_line(message: str) -> str:
    words = " ".join(readable(message.encode("utf-8", "replace")).split())
    return words if len(words) <= _LONGEST_MESSAGE else f"{words[: _LONGEST_MESSAGE - 1]}…"
