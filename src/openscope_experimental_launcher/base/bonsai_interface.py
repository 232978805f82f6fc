"""Bonsai on its own, for scripts and for experiments that prepare it in their own way."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from ..engines.bonsai import environment
from ..engines.bonsai.launch import command_line
from ..engines.bonsai.packages import compare_packages, installed_packages
from ..engines.bonsai.program import ENVIRONMENT_FOLDER, exe_in, program_findings, program_of
from ..errors import EngineError, Finding, LauncherError

_log = logging.getLogger(__name__)


class BonsaiInterface:
    """Finds, installs, verifies and starts Bonsai.

    An experiment's run builds its command line with the same code and starts it under the guard;
    `start_workflow` starts Bonsai alone, without a session.

    Args:
        on_line: told each line of a setup script's output as it comes, from another thread.

    Attributes:
        bonsai_exe_path: the Bonsai program; None until it is set.
        error: why the last set-up did not work, else None.
        findings: what the last set-up warned of.
    """

    def __init__(self, on_line: Callable[[str], None] = _log.info) -> None:
        self.on_line = on_line
        self.bonsai_exe_path: str | None = None
        self.error: LauncherError | None = None
        self.findings: tuple[Finding, ...] = ()

    def set_bonsai_path(self, bonsai_exe_path: str | Path) -> None:
        """Say where Bonsai is.

        Args:
            bonsai_exe_path: `Bonsai.exe`, or the folder that holds it.
        """
        self.bonsai_exe_path = str(exe_in(Path(bonsai_exe_path).absolute()))

    def setup_bonsai_environment(
        self, params: Mapping[str, Any], repository_path: str | Path | None = None
    ) -> bool:
        """Make sure that the Bonsai of the parameters is installed with its packages.

        Runs `bonsai_setup_script` when the program or a package is missing, then verifies.

        Args:
            params: `bonsai_exe_path` (without it `.bonsai/Bonsai.exe`), and where wanted
                `bonsai_setup_script`, `bonsai_setup_timeout_s` and `bonsai_config_path`.
            repository_path: folder that relative paths refer to; the current one when None.

        Returns:
            Whether Bonsai can be run now. What is wrong is logged; packages that Bonsai will
            download itself are only warned of.
        """
        root = Path(repository_path or ".").absolute()
        exe = root / (params.get("bonsai_exe_path") or f"{ENVIRONMENT_FOLDER}/Bonsai.exe")
        script, config = (
            root / params[key] if params.get(key) else None
            for key in ("bonsai_setup_script", "bonsai_config_path")
        )
        limit_s = float(params.get("bonsai_setup_timeout_s") or environment.SETUP_TIMEOUT_S)

        def set_up() -> None:
            self.findings = tuple(
                environment.set_up(
                    exe_in(exe),
                    script=script,
                    config=config,
                    timeout_s=limit_s,
                    on_line=self.on_line,
                )
            )

        if not self._done(set_up):
            return False
        for finding in self.findings:
            _log.warning("%s", finding.render())
        self.set_bonsai_path(exe)
        return True

    def _done(self, work: Callable[[], None]) -> bool:
        """Do it; what is wrong is logged and kept."""
        self.error, self.findings = None, ()
        try:
            work()
        except LauncherError as error:
            self.error = error
            _log.error("%s", error.render())
        return self.error is None

    def check_installation(self) -> bool:
        """Whether the program that was set can be started here; why not is logged."""
        if self.bonsai_exe_path is None:
            _log.error("No Bonsai program was set.")
            return False
        problems = program_findings(Path(self.bonsai_exe_path), "bonsai_exe_path")
        for problem in problems:
            _log.error("%s", problem.render())
        return not problems

    def install_bonsai(
        self, setup_script: str | Path, timeout_s: float = environment.SETUP_TIMEOUT_S
    ) -> bool:
        """Run a setup script (`.cmd`, `.bat`, `.ps1` or `.sh`) in its folder.

        Args:
            setup_script: the script; it cannot ask questions.
            timeout_s: seconds after which it and its children are killed.

        Returns:
            Whether it succeeded; what went wrong is logged.
        """
        script = Path(setup_script).absolute()
        return self._done(
            lambda: environment.run_setup_script(script, timeout_s=timeout_s, on_line=self.on_line)
        )

    def parse_bonsai_config(self, config_path: str | Path) -> dict[str, str]:
        """The packages that a `Bonsai.config` asks for.

        Returns:
            Version by package id.

        Raises:
            EngineError: the file is not there or broken.
        """
        return environment.wanted_packages(Path(config_path))

    def get_installed_packages(self, packages_dir: str | Path) -> dict[str, str]:
        """The packages that a `Packages` folder holds whole.

        Returns:
            Version by package id, the highest where there are several; empty when there is no
            such folder.
        """
        found = installed_packages(Path(packages_dir))
        return {name: versions[-1] for name, versions in found.items()}

    def verify_packages(
        self, bonsai_config: str | Path | Mapping[str, str], packages_dir: str | Path
    ) -> bool:
        """Whether all packages are installed at the versions asked for.

        Args:
            bonsai_config: a `Bonsai.config`, or what `parse_bonsai_config` returned.
            packages_dir: the `Packages` folder.

        Returns:
            False when one is missing or differs; each is logged.

        Raises:
            EngineError: the file is not there or broken.
        """
        wanted = (
            bonsai_config
            if isinstance(bonsai_config, Mapping)
            else self.parse_bonsai_config(bonsai_config)
        )
        findings = compare_packages(wanted, installed_packages(Path(packages_dir)))
        for finding in findings:
            _log.warning("%s", finding.message)
        return not findings

    def create_bonsai_property_arguments(self, params: Mapping[str, Any]) -> list[str]:
        """One `-p:Name=Value` for each of the `script_parameters` (or `bonsai_parameters`).

        Raises:
            EngineError: Bonsai cannot carry one of the values.
        """
        line = command_line([], _properties(params))
        return [f"-p:{name}={text}" for name, text in line.properties.items()]

    def construct_workflow_arguments(self, params: Mapping[str, Any]) -> list[str]:
        """Everything that follows the workflow on Bonsai's command line.

        Args:
            params: `bonsai_arguments` and `script_parameters` (or `bonsai_parameters`).

        Raises:
            EngineError: Bonsai does not know an option, or cannot carry one of the values.
        """
        line = command_line(params.get("bonsai_arguments", []), _properties(params))
        return list(line.arguments())

    def start_workflow(
        self,
        workflow_path: str | Path,
        arguments: Sequence[str] = ("--no-editor",),
        output_path: str | Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start Bonsai alone, in the workflow's folder and in a process group of its own.

        Bonsai starts itself again as a child: to end it, end the whole tree.

        Args:
            workflow_path: the .bonsai file.
            arguments: see `construct_workflow_arguments`.
            output_path: folder that `stdout.log` and `stderr.log` are added to; when None the
                output goes where this program's goes.

        Raises:
            EngineError: no program was set, or it cannot be started.
        """
        if self.bonsai_exe_path is None:
            raise EngineError(
                "No Bonsai program was set.",
                code="bonsai-exe-not-given",
                fix="Call set_bonsai_path first.",
            )
        workflow = Path(workflow_path).absolute()
        exe = Path(self.bonsai_exe_path)
        problems = program_findings(exe, "bonsai_exe_path")
        if problems:
            raise EngineError.from_findings("Bonsai cannot be run.", problems)
        return _start([*program_of(exe), str(workflow), *arguments], workflow.parent, output_path)


def _properties(params: Mapping[str, Any]) -> Mapping[str, Any]:
    values = params.get("script_parameters") or params.get("bonsai_parameters") or {}
    return cast("Mapping[str, Any]", values)


def _start(
    arguments: list[str], folder: Path, output_path: str | Path | None
) -> subprocess.Popen[bytes]:
    with ExitStack() as files:
        stdout, stderr = (
            files.enter_context((Path(output_path) / name).open("ab")) if output_path else None
            for name in ("stdout.log", "stderr.log")
        )
        try:
            return subprocess.Popen(
                arguments,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=sys.platform != "win32",
            )
        except (OSError, ValueError) as error:
            raise EngineError(
                f"Bonsai cannot be started: {error}",
                code="bonsai-not-started",
                where=arguments[0],
                fix="Check the program's path and the workflow's folder.",
            ) from error
