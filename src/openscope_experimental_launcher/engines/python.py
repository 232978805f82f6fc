"""The `python` engine: a script of the repository under the experiment's interpreter."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EngineError, Finding
from . import Ended, Launch, Source
from .command import askable, check_program, find_program
from .rehearsal import stand_in

if TYPE_CHECKING:
    from ..parameters.model import Parameters

CHILD_ENVIRONMENT = {
    # Output must reach its file when it is printed, in one encoding everywhere, and running the
    # code must not change the checkout.
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_DIAGNOSIS_BYTES = 65536


class PythonEngine:
    """Starts `script_path` with `script_parameters` as `--name value` options."""

    name = "python"

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
        """Interpreter and script; see `Engine.check`."""
        findings = [check_program(launch.arguments[0], "python_exe_path", source)]
        if launch.script is None or not source.exists(launch.script):
            near = source.similar(Path(str(parameters.script_path)))
            findings.append(
                Finding(
                    "error",
                    "script-missing",
                    "The script is not in the repository.",
                    where=f"script_path: {parameters.script_path}",
                    fix=f"Use one of: {', '.join(near)}." if near else "Correct the path.",
                )
            )
            return findings
        try:
            compile(source.read(launch.script), str(launch.script), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            findings.append(
                Finding(
                    "error",
                    "script-syntax",
                    f"The script is not valid Python: {error}",
                    where=f"{launch.script}" + (f", line {line}" if line else ""),
                    fix="Correct it and commit.",
                )
            )
        else:
            words = f"The script {launch.script.name} is there and compiles."
            findings.append(Finding("ok", "script-found", words, str(launch.script)))
        return findings

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
        words = f"The script stopped with {lines[0].strip()}."
        return [Finding("error", "script-exception", words, where=places[-1] if places else "")]


def interpreter(parameters: Parameters, root: Path) -> str:
    """The experiment's Python: `python_exe_path`, else that of `python_venv_path`, else ours."""
    if parameters.python_exe_path:
        return find_program(parameters.python_exe_path, root)
    if parameters.python_venv_path:
        inside = ("Scripts", "python.exe") if sys.platform == "win32" else ("bin", "python")
        return str((root / parameters.python_venv_path).joinpath(*inside))
    return sys.executable


def options(values: dict[str, Any]) -> list[str]:
    """`{"trials": 20}` as `["--trials", "20"]`; what is no string is written as JSON."""
    arguments: list[str] = []
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        arguments += [f"--{name}", text]
    return arguments
