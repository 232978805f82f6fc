"""What can be wrong, in words for the person at the rig.

A problem has the same parts wherever it is found: a stable code, one sentence of what is wrong,
where it is (file, key, value) and how to fix it. A check reports problems as `Finding`s; a stage
that cannot go on raises them as a `LauncherError`. This module imports nothing of the package.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from traceback import format_exc
from typing import ClassVar, Literal, NamedTuple

EXIT_OK, EXIT_FAILED, EXIT_BUG, EXIT_INTERRUPTED = 0, 1, 3, 130
"""Exit codes of the command line."""

Level = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """One result of a check.

    Attributes:
        level: `ok`, `warning` (the session can run) or `error` (it must not).
        code: stable kebab-case name, documented in the error reference.
        message: one sentence of what was found.
        where: the file, key or value it is about, empty when the sentence says it all.
        fix: what to do about it; empty for `ok`.
    """

    level: Level
    code: str
    message: str
    where: str = ""
    fix: str = ""

    def render(self) -> str:
        """The finding as lines of plain text: what, where, fix."""
        lines = [self.message]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix:   {self.fix}")
        return "\n".join(lines)


class LauncherError(Exception):
    """Something a person can understand and mend. Printed without a traceback.

    Args:
        message: one sentence of what is wrong.
        code: stable kebab-case name; each class has a default.
        where: the file, key or value it is about.
        fix: what to do about it.
        findings: given when several problems were found at once; then `message` is a heading.
    """

    default_code: ClassVar[str] = "launcher-error"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        where: str = "",
        fix: str = "",
        findings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.where = where
        self.fix = fix
        self.findings = tuple(findings) or (
            Finding("error", self.code, message, where=where, fix=fix),
        )

    @classmethod
    def from_findings(cls, heading: str, findings: Iterable[Finding]) -> LauncherError:
        """One error for all the `findings`; a single one speaks for itself, without the heading."""
        problems = tuple(findings)
        if len(problems) == 1:
            only = problems[0]
            return cls(only.message, code=only.code, where=only.where, fix=only.fix)
        return cls(heading, findings=problems)

    def render(self) -> str:
        """The error as lines of plain text, for the terminal and the log."""
        if len(self.findings) == 1:
            return self.findings[0].render()
        parts = [f"{self.message} ({len(self.findings)} problems)"]
        parts += [f"{n}. {finding.render()}" for n, finding in enumerate(self.findings, 1)]
        return "\n".join(parts)

    def __str__(self) -> str:
        return self.render()


class ParameterError(LauncherError, ValueError):
    """A parameter file, rig file or value given on the command line cannot be used."""

    default_code = "parameter-invalid"


class ParameterFileNotFoundError(LauncherError, FileNotFoundError):
    """The parameter file is not there."""

    default_code = "parameter-file-missing"


class RepositoryError(LauncherError, RuntimeError):
    """The experiment's repository cannot be brought to the commit asked for."""

    default_code = "repository-error"


class EngineError(LauncherError, RuntimeError):
    """The acquisition cannot be started."""

    default_code = "engine-error"


class PreflightError(LauncherError, RuntimeError):
    """The checks before the session found errors."""

    default_code = "preflight-failed"


class SessionError(LauncherError, OSError):
    """The session folder or its records cannot be written or read."""

    default_code = "session-error"


class StepError(LauncherError, RuntimeError):
    """A step before or after the acquisition cannot be run."""

    default_code = "step-error"


class TransferError(LauncherError, OSError):
    """A copy of a session's files cannot be made or cannot be trusted."""

    default_code = "transfer-error"


class RigBusyError(LauncherError, RuntimeError):
    """Another session holds the rig or the checkout."""

    default_code = "rig-busy"


class SyncError(LauncherError, RuntimeError):
    """Several computers that were to share one session have not agreed."""

    default_code = "sync-error"


class CommandError(LauncherError, RuntimeError):
    """A helper program (git, a setup script) failed, could not start or ran out of time."""

    default_code = "command-failed"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a mistyped one, or None when none is close."""
    from difflib import get_close_matches

    matches = get_close_matches(word, list(known), n=1, cutoff=0.75)
    return matches[0] if matches else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for a mistyped word, or nothing."""
    match = nearest(word, known)
    return f" Did you mean '{match}'?" if match else ""


class Failure(NamedTuple):
    """What stopped a piece of work.

    Attributes:
        error: in the words of the launcher; a bug is wrapped in one with the code `launcher-bug`.
        bug: whether nobody foresaw it.
        traceback: for the log, never for the screen.
    """

    error: LauncherError
    bug: bool
    traceback: str


def attempt(work: Callable[[], object]) -> Failure | None:
    """Do a piece of work whose failure must not go further: the program's one catch-all.

    It stands at the edges: around a whole run, around a verb of the command line, and around
    code that is not ours (a lab's hook). Ctrl-C and the end of the interpreter pass through.

    Returns:
        None when the work was done, else what stopped it.
    """
    try:
        work()
    except LauncherError as error:
        return Failure(error, bug=False, traceback=format_exc())
    except Exception as error:  # noqa: BLE001 - the edge
        if _is_exhaustion(error):
            return Failure(_exhausted(error), bug=False, traceback=format_exc())
        wrapped = LauncherError(
            f"An unexpected error stopped this: {type(error).__name__}: {error}",
            code="launcher-bug",
            fix="The log has the details; please report it with them.",
        )
        return Failure(wrapped, bug=True, traceback=format_exc())
    return None


def _is_exhaustion(error: Exception) -> bool:
    """Whether the system had no process, thread or memory left to give (fork(2), clone(2))."""
    if isinstance(error, OSError):
        return error.errno in (errno.EAGAIN, errno.ENOMEM)
    return isinstance(error, MemoryError) or str(error) == "can't start new thread"


def _exhausted(error: Exception) -> LauncherError:
    said = getattr(error, "strerror", None) or str(error) or "out of memory"
    return LauncherError(
        f"The system has no process, thread or memory left to give: {said}.",
        code="system-exhausted",
        fix="End what takes them (look with the system's task manager), then do this again.",
    )
