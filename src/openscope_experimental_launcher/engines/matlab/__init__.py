"""The MATLAB engine: a function of the repository, in a shared MATLAB or in one of its own.

With `matlab_engine_name` the function runs in a MATLAB that a person has started and shared
(`client.py` calls it there); without, `matlab -batch` starts one for the session. None of it has
met a real MATLAB yet: it follows MathWorks' documentation of `matlabengine` and `matlab -batch`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from ...commands import run_command
from ...errors import CommandError, EngineError, Finding
from .. import Ask, Ended, Launch, Source
from ..command import askable, check_program, find_program
from ..python import CHILD_ENVIRONMENT, interpreter
from ..rehearsal import is_stand_in, stand_in
from . import client
from .values import FOLDER_VARIABLE, Argument, argument_for_client, arguments, code_of

if TYPE_CHECKING:
    from ...parameters.model import Parameters

CLIENT = Path(__file__).with_name("client.py")

_LOOK_S = 60.0  # the package takes seconds to load
_FAREWELL_S = 2.0 + client.END_S
_SAID_BYTES = 65536
_FUNCTION = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)*", re.ASCII)


class Entry(NamedTuple):
    """The function that a session calls.

    Attributes:
        function: its name, with dots when it is in a package.
        file: where it is, if it is in the repository; absolute.
        folders: what MATLAB's search path must have for it, the first one first.
        certain: whether the file was named; else it may as well be elsewhere on MATLAB's own path.
    """

    function: str
    file: Path
    folders: tuple[Path, ...]
    certain: bool


class MatlabEngine:
    """Calls `matlab_entrypoint` with the session folder, its arguments and `script_parameters`."""

    name = "matlab"

    def prepare(
        self, parameters: Parameters, source: Source, session_folder: str, *, rehearsal: bool
    ) -> Launch:
        """The launch of MATLAB or of the client; see `Engine.prepare`."""
        entry = find_entry(parameters, source)
        given, variables = arguments(
            parameters.matlab_entrypoint_args,
            {
                "matlab_entrypoint_kwargs": parameters.matlab_entrypoint_kwargs,
                "script_parameters": parameters.script_parameters,
            },
        )
        environment = {**variables, FOLDER_VARIABLE: session_folder}
        describe = _in_shared_engine if parameters.matlab_engine_name else _in_batch
        launch = describe(parameters, source, entry, given)
        launch = launch._replace(environment={**launch.environment, **environment})
        return stand_in(launch, parameters) if rehearsal else launch

    def check(self, parameters: Parameters, source: Source, launch: Launch) -> list[Finding]:
        """MATLAB, or the way to it, and the function; see `Engine.check`."""
        findings = [_check_entry(find_entry(parameters, source), source)]
        if is_stand_in(launch):
            return findings
        findings.append(_untested())
        if not parameters.matlab_engine_name:
            return [*findings, check_program(launch.arguments[0], "matlab_exe_path", source)]
        python = check_program(launch.arguments[0], "python_exe_path", source)
        if python.level == "error":
            return [*findings, python]
        return [*findings, _look(parameters, launch)]

    def diagnose(self, ended: Ended) -> list[Finding]:
        """What went wrong, as the client or MATLAB said last; see `Engine.diagnose`."""
        if ended.exit_code in (0, None, client.CANCELLED):
            return []
        with ended.stderr.open("rb") as stream:
            stream.seek(max(stream.seek(0, 2) - _SAID_BYTES, 0))
            said = stream.read().decode("utf-8", "replace")
        return [_trouble(ended.exit_code, said)]


def find_entry(parameters: Parameters, source: Source) -> Entry:
    """The function to call: `matlab_entrypoint`, else the file that `script_path` names.

    Raises:
        EngineError: none is named, or the name is none of a function.
    """
    named = parameters.matlab_entrypoint or parameters.script_path
    if not named:
        raise EngineError(
            "The launcher 'matlab' needs a function to call.",
            code="matlab-entrypoint-missing",
            where="matlab_entrypoint",
            fix="Name a function, as in run_session, or its file in the repository.",
        )
    folders = _folders_of_script(parameters, source.root)
    path = PurePosixPath(named.replace("\\", "/"))
    certain = path.suffix == ".m" or len(path.parts) > 1
    if certain:
        packages = [part[1:] for part in path.parts[:-1] if part.startswith("+")]
        function = ".".join([*packages, path.stem])
        file = source.root / path.with_suffix(".m")
        folders = (file.parents[len(packages)], *folders)
    else:
        function = named
        *packages, last = named.split(".")
        inside = Path(*(f"+{package}" for package in packages), f"{last}.m")
        places = [folder / inside for folder in (*folders, source.root)]
        file = next((place for place in places if source.exists(place)), places[0])
    if not _FUNCTION.fullmatch(function):
        raise EngineError(
            f"{function} cannot be the name of a MATLAB function.",
            code="matlab-entrypoint-invalid",
            where=f"matlab_entrypoint: {named}",
            fix="Use letters, digits and _, with dots between packages.",
        )
    return Entry(function, file, tuple(dict.fromkeys([*folders, source.root])), certain)


def _folders_of_script(parameters: Parameters, root: Path) -> tuple[Path, ...]:
    if not (parameters.matlab_entrypoint and parameters.script_path):
        return ()
    named = root / parameters.script_path
    return (named.parent if named.suffix == ".m" else named,)


def _in_shared_engine(
    parameters: Parameters, source: Source, entry: Entry, given: tuple[Argument, ...]
) -> Launch:
    options = [
        "--engine",
        str(parameters.matlab_engine_name),
        "--function",
        entry.function,
        *(text for folder in entry.folders for text in ("--path", str(folder))),
        "--connect-timeout",
        f"{parameters.matlab_engine_connect_timeout_sec:g}",
        "--cancel-timeout",
        f"{parameters.matlab_cancel_timeout_sec:g}",
        *([] if parameters.matlab_keep_engine_alive else ["--end-engine"]),
    ]
    return Launch(
        arguments=(
            interpreter(parameters, source.root),
            *parameters.python_arguments,
            str(CLIENT),
            *options,
            "--",
            *map(argument_for_client, given),
        ),
        folder=str(source.root),
        environment=CHILD_ENVIRONMENT,
        ask=Ask(
            "signal",
            loses="A stop cancels the function. If that must be forced, the function goes on in "
            "the shared MATLAB.",
            needs_s=parameters.matlab_cancel_timeout_sec + _FAREWELL_S,
        ),
        script=entry.file,
    )


def _in_batch(
    parameters: Parameters, source: Source, entry: Entry, given: tuple[Argument, ...]
) -> Launch:
    program = find_program(parameters.matlab_exe_path or "matlab", source.root)
    # Its starter on Windows would else end at once, and be taken for the acquisition.
    starter = ("-wait",) if sys.platform == "win32" else ()
    launch = Launch(
        arguments=(program, *starter, "-batch", statement(entry, source.root, given)),
        folder=str(source.root),
        ask=Ask("signal", loses="MATLAB ends at once; what it has not written yet is lost."),
        script=entry.file,
    )
    return askable(launch, parameters)


def statement(entry: Entry, root: Path, given: tuple[Argument, ...]) -> str:
    """The MATLAB code of a session, in plain ASCII and on one line."""
    values = [f"getenv('{FOLDER_VARIABLE}')"]
    for argument in given:
        values += [code_of(argument.name)] if argument.name else []
        values.append(code_of(argument.value))
    folders = ", ".join(code_of(str(folder)) for folder in entry.folders)
    call = f"{entry.function}({', '.join(values)})"
    return f"cd({code_of(str(root))}); addpath({folders}); {call};"


# -- before the session ----------------------------------------------------------------------------


def _check_entry(entry: Entry, source: Source) -> Finding:
    if source.exists(entry.file):
        return Finding("ok", "script-found", f"The function {entry.function} is there.")
    if entry.certain:
        near = source.similar(entry.file)
        return Finding(
            "error",
            "script-missing",
            "The function's file is not in the repository.",
            where=f"matlab_entrypoint: {entry.file}",
            fix=f"Use one of: {', '.join(near)}." if near else "Correct the path.",
        )
    return Finding(
        "warning",
        "matlab-entrypoint-elsewhere",
        f"The repository has no {entry.function} where MATLAB is told to look; it must be on "
        "MATLAB's own path.",
        where=f"matlab_entrypoint: {entry.function}",
        fix="Name its file in the repository, as in matlab/run_session.m.",
    )


def _untested() -> Finding:
    return Finding(
        "warning",
        "matlab-untested",
        "This launcher's way to MATLAB follows the documentation and has not met a real MATLAB.",
        where="launcher: matlab",
        fix="Run a session without an animal first, and report what differs.",
    )


def _look(parameters: Parameters, launch: Launch) -> Finding:
    """Ask the experiment's interpreter which engines are shared now."""
    name = str(parameters.matlab_engine_name)
    where = f"python_exe_path: {launch.arguments[0]}"
    command = [*launch.arguments[: launch.arguments.index(str(CLIENT)) + 1], "--engine", name]
    try:
        answered = run_command(
            [*command, "--look"],
            environment={**os.environ, **CHILD_ENVIRONMENT},
            timeout_s=_LOOK_S,
            expected=(0, client.NO_PACKAGE),
        )
        if answered.code == client.NO_PACKAGE:
            return _no_package(answered.error_text, where)
        names = json.loads(answered.text.splitlines()[-1])["names"]
    except (CommandError, ValueError, LookupError) as error:
        words = f"It could not be found out which MATLAB engines are shared: {error}"
        return Finding("warning", "matlab-not-asked", words, where=where)
    if name in names:
        return Finding("ok", "matlab-shared", f"MATLAB shares the engine {name}.")
    waits = f"{parameters.matlab_engine_connect_timeout_sec:g} s"
    return Finding(
        "warning",
        "matlab-not-shared",
        f"No MATLAB shares an engine named {name} yet; shared are: {', '.join(names) or 'none'}.",
        where=f"matlab_engine_name: {name}",
        fix=f"In MATLAB: matlab.engine.shareEngine('{name}'). The session waits {waits} for it.",
    )


def _no_package(words: str, where: str) -> Finding:
    return Finding(
        "error",
        "matlab-package-missing",
        words,
        where=where,
        fix="Install matlabengine, of the version that fits MATLAB's, for this interpreter, or "
        "name another one (python_exe_path, python_venv_path).",
    )


# -- after the session -----------------------------------------------------------------------------


def _trouble(exit_code: int | None, said: str) -> Finding:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = lines[-1] if lines else "It said nothing."
    where = "logs/stderr.log"
    if exit_code == client.NO_PACKAGE:
        return _no_package(words, where)
    if exit_code == client.NOT_CONNECTED:
        fix = "Start MATLAB, and share its engine: matlab.engine.shareEngine('NAME')."
        return Finding("error", "matlab-not-connected", words, where=where, fix=fix)
    if exit_code == client.CONNECTION_LOST:
        fix = "Look whether MATLAB still runs; what the function has written may be incomplete."
        return Finding("error", "matlab-lost", words, where=where, fix=fix)
    if exit_code == client.NOT_CANCELLED:
        fix = "Press Ctrl-C in MATLAB, or close it."
        return Finding("error", "matlab-not-cancelled", words, where=where, fix=fix)
    told = " ".join(_last_paragraph(said)) or "an error without a message"
    return Finding("error", "matlab-error", f"MATLAB stopped: {told}", where=where)


def _last_paragraph(said: str) -> list[str]:
    """The lines of the last block of text; MATLAB's messages have several."""
    block: list[str] = []
    for line in reversed(said.rstrip().splitlines()):
        if not line.strip():
            break
        block.insert(0, line.strip())
    return block[:_MOST_LINES]


_MOST_LINES = 6
