"""The `command` engine: any program with its arguments."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EngineError, Finding
from ..parameters.paths import drive_error, on_missing_drive
from ..parameters.placeholders import show
from . import Ask, Ended, Launch, Source
from .rehearsal import stand_in

if TYPE_CHECKING:
    from ..parameters.model import Parameters


_BATCH_UNSAFE = frozenset('&|<>^%!"\r\n')


class CommandEngine:
    """Starts the program that `command` names, in the repository's folder."""

    name = "command"

    def prepare(
        self, parameters: Parameters, source: Source, session_folder: str, *, rehearsal: bool
    ) -> Launch:
        """The launch of `command`; see `Engine.prepare`."""
        if not parameters.command:
            raise EngineError(
                "The launcher 'command' needs a command.",
                code="command-missing",
                where="command",
                fix='Give a list: "command": ["program", "argument"].',
            )
        program, *arguments = parameters.command
        launch = Launch(
            arguments=(find_program(program, source.root), *arguments),
            folder=str(source.root),
        )
        launch = askable(launch, parameters)
        return stand_in(launch, parameters) if rehearsal else launch

    def check(self, parameters: Parameters, source: Source, launch: Launch) -> list[Finding]:
        """Whether the program is there; see `Engine.check`."""
        found = [check_program(launch.arguments[0], "command", source)]
        if sys.platform == "win32":
            found += check_batch(launch.arguments, parameters.output_root_folder or "")
        return found

    def diagnose(self, ended: Ended) -> list[Finding]:
        """A command's exit code says all there is; see `Engine.diagnose`."""
        return []


def askable(launch: Launch, parameters: Parameters) -> Launch:
    """`launch` with its way to be asked to stop: a stop file when the parameters name one, which
    the program finds in `OPENSCOPE_STOP_FILE`, else a signal."""
    if not parameters.stop_file:
        return launch
    slotted = parameters.stop_file.startswith("\0")  # a slot is an absolute folder
    stop_file = parameters.stop_file if slotted else str(Path(launch.folder, parameters.stop_file))
    return launch._replace(
        ask=Ask("stop_file", stop_file=stop_file),
        environment={**launch.environment, "OPENSCOPE_STOP_FILE": stop_file},
    )


def find_program(program: str, root: Path) -> str:
    """The absolute path of a program: as given, relative to `root`, or found on the PATH.

    A program that cannot be found is returned as it is; the check says so.
    """
    if Path(program).is_absolute() or on_missing_drive(program):
        return program
    if "/" in program or "\\" in program:
        return str(root / program)
    return shutil.which(program) or program


def check_program(program: str, key: str, source: Source) -> Finding:
    """A finding on whether `program` can be executed here.

    Args:
        program: absolute path, or a name that was not found on the PATH.
        key: the parameter that names it.
        source: the experiment's files, where a program that is not checked out yet may be.
    """
    path = Path(program)
    where = f"{key}: {program}"
    if on_missing_drive(program):
        return drive_error(where)
    if path.is_dir():
        return _unusable("The program is a folder.", where, "Name the file to execute.")
    if not path.is_file():
        if path.is_absolute() and source.exists(path):
            return Finding("ok", "program-found", f"{path.name} is in the repository.", where)
        fix = "Install it, correct the name, or give its full path."
        return _unusable("The program is not there.", where, fix, "program-missing")
    if not os.access(path, os.X_OK):
        fix = f"Allow it: chmod +x {path}"
        return _unusable("The program may not be executed.", where, fix)
    foreign = _why_foreign(path)
    if foreign:
        return _unusable(foreign, where, "Use a program made for this system.")
    if sys.platform != "win32":
        return _check_start(path, where)
    return Finding("ok", "program-found", f"{path.name} is there.", where)


def check_batch(arguments: Sequence[str], output_root: str) -> list[Finding]:
    """Errors for what a batch file would be given in other words than were written.

    Windows gives batch files to its command interpreter, which takes some characters for commands
    and variables of its own, however they are quoted (CVE-2024-24576 and its like).

    Args:
        arguments: the program and its arguments.
        output_root: what may come into the arguments for a placeholder.
    """
    program, *rest = arguments
    if not program.lower().rstrip(". ").endswith((".bat", ".cmd")):
        return []
    found = []
    for argument in rest:
        whole = argument + (output_root if "\0" in argument else "")
        unsafe = sorted(_BATCH_UNSAFE & set(whole))
        if unsafe:
            signs = " ".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in unsafe)
            words = f"A batch file cannot be given {signs}: Windows would take it for a command."
            fix = "Name a program instead, such as python.exe with a script, or leave it out."
            where = f"command: {show(argument)}"
            found.append(Finding("error", "batch-argument", words, where, fix))
    return found


def _check_start(path: Path, where: str) -> Finding:
    """Whether a POSIX system knows what executes a file: itself, or what its first line names."""
    with path.open("rb") as stream:
        start = stream.read(256)
    if start[:2] == b"#!":
        named = start[2:].split(b"\n")[0].split()
        interpreter = Path(os.fsdecode(named[0])) if named else Path()
        if not interpreter.is_file():
            words = f"The script's interpreter is not there: {interpreter}."
            return _unusable(words, where, "Install it, or correct the script's first line.")
    elif sys.platform == "linux" and start[:4] != b"\x7fELF":
        words = "The file is no program, and no script that names its interpreter."
        return _unusable(words, where, "Begin the script with its interpreter, as in #!/bin/sh.")
    return Finding("ok", "program-found", f"{path.name} is there.", where)


def _why_foreign(path: Path) -> str:
    with path.open("rb") as stream:
        start = stream.read(20)
    if sys.platform != "win32" and start[:2] == b"MZ":
        return "The program is made for Windows."
    if sys.platform != "linux" or start[:4] != b"\x7fELF":
        return ""
    machine = int.from_bytes(start[18:20], "little")
    native = {"x86_64": (62, 3), "aarch64": (183, 40)}.get(os.uname().machine)
    return (
        "" if native is None or machine in native else "The program is made for another processor."
    )


def _unusable(message: str, where: str, fix: str, code: str = "program-unusable") -> Finding:
    return Finding("error", code, message, where, fix)
