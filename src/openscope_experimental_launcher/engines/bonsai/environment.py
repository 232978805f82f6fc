"""Bonsai and its packages on this computer: installed by a setup script, and verified."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from ...commands import CommandFailed, CommandTimeout, run_command
from ...errors import CommandError, EngineError, Finding
from .packages import (
    CONFIG_NAME,
    PACKAGES_FOLDER,
    compare_packages,
    installed_packages,
    read_config,
)
from .program import program_findings

SETUP_TIMEOUT_S = 900.0

_MEANT_BY_CMD = '&|<>^%"'
_KEPT_OUTPUT = 65536


def set_up(
    exe: Path,
    *,
    script: Path | None,
    config: Path | None,
    timeout_s: float = SETUP_TIMEOUT_S,
    on_line: Callable[[str], None] | None = None,
) -> list[Finding]:
    """Make sure that Bonsai is installed; runs the setup script only when something is missing.

    Args:
        exe: absolute path of the Bonsai program.
        script: the repository's setup script; None when it has none.
        config: the `Bonsai.config` to verify against; the one beside the program when None.
        timeout_s: seconds that the script may take.
        on_line: called with each line of the script's output as it comes.

    Returns:
        Warnings about packages that are missing or differ still.

    Raises:
        EngineError: the script failed or ran out of time; or Bonsai is not there, or cannot be
            run here.
    """
    ready = exe.is_file() and not verify(exe, config)
    if script and not ready:
        run_setup_script(script, timeout_s=timeout_s, on_line=on_line)
    problems = program_findings(exe, "bonsai_exe_path")
    if problems and script and not ready:
        said = "; ".join(problem.message for problem in problems)
        raise _failed(script, f"ran without an error, but {said}")
    if problems:
        raise EngineError.from_findings("Bonsai cannot be run.", problems)
    return verify(exe, config)


def verify(exe: Path, config: Path | None = None) -> list[Finding]:
    """Packages that a `Bonsai.config` asks for and that are missing beside the program, or differ.

    Raises:
        EngineError: the file that was named is not there, or the file is broken.
    """
    path = config or exe.parent / CONFIG_NAME
    if config is None and not path.exists():
        return []
    return compare_packages(wanted_packages(path), installed_packages(exe.parent / PACKAGES_FOLDER))


def wanted_packages(config: Path) -> dict[str, str]:
    """Version by package id, as a `Bonsai.config` asks for them.

    Raises:
        EngineError: it cannot be read.
    """
    try:
        data = config.read_bytes()
    except OSError as error:
        raise EngineError(
            f"{config} cannot be read: {error.strerror or error}.",
            code="bonsai-config-missing",
            where="bonsai_config_path",
            fix="Correct the path; without the key, the file beside Bonsai.exe is read.",
        ) from error
    return dict(read_config(data, str(config)).packages)


def run_setup_script(
    script: Path, *, timeout_s: float, on_line: Callable[[str], None] | None = None
) -> None:
    """Run a setup script (`.cmd`, `.bat`, `.ps1`, `.sh`) in its own folder.

    It cannot ask questions: its standard input is empty.

    Raises:
        EngineError: there is no such script, nothing here runs its kind, it failed or ran out of
            time. What it said last is in the error.
    """
    if not script.is_file():
        raise EngineError(
            f"The setup script {script} does not exist.",
            code="bonsai-setup-script-missing",
            where="bonsai_setup_script",
            fix="Correct the path; it is relative to the repository.",
        )
    command = setup_command(script)
    try:
        run_command(
            command,
            folder=script.parent,
            timeout_s=timeout_s,
            on_line=on_line,
            on_error_line=on_line,
            kept_bytes=_KEPT_OUTPUT,
        )
    except CommandFailed as error:
        how = f"failed with exit code {error.result.code}: {error.said or 'it said nothing'}"
        raise _failed(script, how) from error
    except CommandTimeout as error:
        said = f"its last words: {error.said}" if error.said else "it had said nothing"
        raise _failed(script, f"was stopped after {timeout_s:g} s; {said}") from error
    except CommandError as error:
        raise _failed(script, f"could not be run: {error.message}") from error


def _failed(script: Path, how: str) -> EngineError:
    return EngineError(
        f"The setup script {script.name} {how}",
        code="bonsai-setup-failed",
        where=f"bonsai_setup_script: {script}",
        fix="Run it by hand and look at what it says. It cannot ask questions here, and "
        "bonsai_setup_timeout_s limits its time.",
    )


def setup_command(script: Path) -> list[str]:
    """What runs a setup script on this computer.

    Raises:
        EngineError: nothing here runs its kind.
    """
    kind = script.suffix.lower()
    if kind in (".cmd", ".bat"):
        if any(character in _MEANT_BY_CMD for character in str(script)):
            raise _not_runnable(script, f"its path holds one of {_MEANT_BY_CMD}")
        if sys.platform != "win32":
            raise _not_runnable(script, "it needs Windows")
        return ["cmd", "/d", "/c", str(script)]
    if kind == ".ps1":
        shell = shutil.which("powershell") or shutil.which("pwsh")
        if shell is None:
            raise _not_runnable(script, "PowerShell is not installed")
        return [
            shell,
            "-NoProfile",
            "-NonInteractive",
            "-ExecutionPolicy",
            "Bypass",
            "-File",
            str(script),
        ]
    if kind == ".sh":
        return ["sh", str(script)]
    raise _not_runnable(script, "its kind is not .cmd, .bat, .ps1 or .sh")


def _not_runnable(script: Path, why: str) -> EngineError:
    return EngineError(
        f"The setup script {script} cannot be run here: {why}.",
        code="bonsai-setup-script-not-runnable",
        where="bonsai_setup_script",
        fix="Name a script for this computer, or install Bonsai by hand and leave the key out.",
    )
