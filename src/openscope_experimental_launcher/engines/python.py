"""The `python` engine: a script of the repository under the experiment's interpreter."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..commands import run_command
from ..errors import CommandError, EngineError, Finding, Level
from ..parameters.paths import on_missing_drive
from . import Ended, Launch, Source
from .command import askable, check_program, find_program
from .probe import syntax_problem
from .rehearsal import is_stand_in, stand_in

if TYPE_CHECKING:
    from ..parameters.model import Parameters
    from .imports import Import

CHILD_ENVIRONMENT = {
    # Output must reach its file when it is printed, in one encoding everywhere, and running the
    # code must not change the checkout.
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
PROBE = Path(__file__).with_name("probe.py")

_DIAGNOSIS_BYTES = 65536
_ANSWER_S = 30.0
_PATH_OPTION = re.compile(r"-[EIPsS]+")


class PythonEngine:
    """Starts `script_path` with `script_parameters` as `--name value` options."""

    name = "python"

    def __init__(self) -> None:
        self._asked: dict[str, Any] | None = None
        self._answers: dict[tuple[object, ...], dict[str, Any] | None] = {}
        self._needed: dict[tuple[Source, Path], dict[str, Import]] = {}

    def prepare(
        self, parameters: Parameters, source: Source, session_folder: str, *, rehearsal: bool
    ) -> Launch:
        """The launch of the script; see `Engine.prepare`."""
        if not parameters.script_path:
            raise EngineError(
                "The launcher 'python' needs a script.",
                code="script-missing",
                where="script_path",
                fix="Name the script, relative to the repository.",
            )
        script = source.root / parameters.script_path
        launch = Launch(
            arguments=(
                interpreter(parameters, source.root),
                *parameters.python_arguments,
                str(script),
                *options(parameters.script_parameters),
                *parameters.script_arguments,
            ),
            folder=str(source.root),
            environment=CHILD_ENVIRONMENT,
            script=script,
        )
        launch = askable(launch, parameters)
        return stand_in(launch, parameters) if rehearsal else launch

    def check(self, parameters: Parameters, source: Source, launch: Launch) -> list[Finding]:
        """Interpreter, script and what it imports; see `Engine.check`."""
        by_venv = parameters.python_venv_path and not parameters.python_exe_path
        key = "python_venv_path" if by_venv else "python_exe_path"
        findings = [check_program(launch.arguments[0], key, source)]
        if launch.script is None or not source.exists(launch.script):
            near = source.similar(Path(str(parameters.script_path)))
            findings.append(
                Finding(
                    "error",
                    "script-missing",
                    "The script is not there.",
                    where=f"script_path: {parameters.script_path}",
                    fix=f"Use one of: {', '.join(near)}." if near else "Correct the path.",
                )
            )
            return findings
        if is_stand_in(launch):
            return [*findings, *_own_opinion(source.read(launch.script), launch.script)]
        if findings[0].level == "error":
            return findings
        return [*findings, *self._script_findings(parameters, source, launch.script)]

    def _script_findings(
        self, parameters: Parameters, source: Source, script: Path
    ) -> list[Finding]:
        """What the experiment's own interpreter says about the script."""
        needed = self._imports(script, source)
        program = interpreter(parameters, source.root)
        try:
            answer = self._asked = self._answer(program, parameters, script, source, list(needed))
        except CommandError as error:
            return [_not_asked(program, error.message)]
        if answer is None:
            return [_not_asked(program, "its answer makes no sense")]
        if answer["syntax"]:
            return [_syntax_finding("error", answer["python"], answer["syntax"], script)]
        missing = [needed[name] for name in answer["missing"] if name in needed]
        words = f"The script {script.name} is there, and Python {answer['python']} compiles it."
        return [
            Finding("ok", "script-found", words, str(script)),
            *_missing_findings("error", "imports", program, [i for i in missing if i.certain]),
            *_missing_findings(
                "warning", "may import", program, [i for i in missing if not i.certain]
            ),
        ]

    def _imports(self, script: Path, source: Source) -> dict[str, Import]:
        """What a script imports, by name; the same script is read once."""
        from .imports import imports_of

        if (source, script) not in self._needed:
            found = {each.name: each for each in imports_of(script, source)}
            self._needed[source, script] = found
        return self._needed[source, script]

    def _answer(
        self,
        program: str,
        parameters: Parameters,
        script: Path,
        source: Source,
        names: list[str],
    ) -> dict[str, Any] | None:
        """What an interpreter says about a script; the same question is asked once."""
        options = tuple(parameters.python_arguments)
        question = (program, options, script, source.read(script), tuple(names))
        if question not in self._answers:
            self._answers[question] = _ask(program, parameters, script, source, names)
        return self._answers[question]

    def environment(self, parameters: Parameters, source: Source) -> dict[str, Any]:
        """The interpreter of the experiment and its packages, as the check found them."""
        if self._asked is None:
            return {}
        return {
            "interpreter": interpreter(parameters, source.root),
            "python": self._asked["python"],
            "packages": dict(sorted(self._asked["packages"].items())),
        }

    def diagnose(self, ended: Ended) -> list[Finding]:
        """The exception that ended the script, from its traceback; see `Engine.diagnose`."""
        if ended.exit_code in (0, None):
            return []
        with ended.stderr.open("rb") as stream:
            stream.seek(max(stream.seek(0, 2) - _DIAGNOSIS_BYTES, 0))
            said = stream.read().decode("utf-8", "replace")
        _, traceback, rest = said.rpartition("Traceback (most recent call last):")
        lines = [line for line in rest.splitlines() if line.strip() and not line.startswith(" ")]
        if not traceback or not lines:
            return []
        places = [line.strip() for line in rest.splitlines() if line.startswith("  File ")]
        what = lines[0].strip()
        words = f"The script stopped with {what}{'' if what[-1] in '.!?…' else '.'}"
        return [Finding("error", "script-exception", words, where=places[-1] if places else "")]


def interpreter(parameters: Parameters, root: Path) -> str:
    """The experiment's Python: `python_exe_path`, else that of `python_venv_path`, else ours."""
    if parameters.python_exe_path:
        return find_program(parameters.python_exe_path, root)
    if on_missing_drive(parameters.python_venv_path or ""):
        return str(parameters.python_venv_path)  # the checks refuse it, as it was written
    if parameters.python_venv_path:
        inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
        return str((root / parameters.python_venv_path).joinpath(*inside))
    return sys.executable


def _ask(
    program: str, parameters: Parameters, script: Path, source: Source, names: list[str]
) -> dict[str, Any] | None:
    """Ask an interpreter about the script, with the options that decide where it finds modules.

    Raises:
        CommandError: it does not answer.
    """
    options = [text for text in parameters.python_arguments if _PATH_OPTION.fullmatch(text)]
    order = json.dumps({"folder": str(script.parent), "names": names})
    answered = run_command(
        [program, *options, str(PROBE)],
        environment={**os.environ, **CHILD_ENVIRONMENT},
        timeout_s=_ANSWER_S,
        input_bytes=order.encode() + b"\n" + source.read(script),
    )
    try:
        answer = json.loads(answered.stdout)
    except ValueError:
        return None
    known = {"python", "syntax", "missing", "packages"}
    return answer if isinstance(answer, dict) and known <= answer.keys() else None


def _not_asked(program: str, why: str) -> Finding:
    return Finding(
        "warning",
        "script-not-checked",
        f"The interpreter could not be asked about the script: {why}",
        where=f"python_exe_path: {program}",
        fix="Check that it is a Python 3.7 or newer that works.",
    )


def _syntax_finding(level: Level, python: str, problem: dict[str, Any], script: Path) -> Finding:
    line = f", line {problem['line']}" if problem["line"] else ""
    words = f"The script is not valid for Python {python}: {problem['message']}."
    return Finding(level, "script-syntax", words, f"{script}{line}", "Correct it and commit.")


def _own_opinion(content: bytes, script: Path) -> list[Finding]:
    """What this Python says of a script where the experiment's own is not to be asked."""
    problem = syntax_problem(content)
    here = platform.python_version()
    return [_syntax_finding("warning", here, problem, script)] if problem else []


def _missing_findings(
    level: Level, verb: str, program: str, missing: list[Import]
) -> list[Finding]:
    if not missing:
        return []
    names = ", ".join(sorted(found.name for found in missing))
    return [
        Finding(
            level,
            "script-import-missing",
            f"The script {verb} what {program} cannot find: {names}.",
            where="; ".join(f"{found.place}: {found.name}" for found in missing),
            fix="Install the packages that bring them for this interpreter, or name another one "
            "(python_exe_path, python_venv_path).",
        )
    ]


def options(values: dict[str, Any]) -> list[str]:
    """`{"trials": 20}` as `["--trials", "20"]`; what is no string is written as JSON."""
    arguments: list[str] = []
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        arguments += [f"--{name}", text]
    return arguments
