"""The exact command line of Bonsai, built from what is known to work and nothing else.

Bonsai takes the last argument that it does not know for the workflow and ignores the rest with
exit code 0, so one mistyped option would run nothing and look like success. And when it restarts
itself it quotes arguments that hold spaces without escaping anything. Both are refused here.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import EngineError, Finding, did_you_mean
from ...parameters.placeholders import SLOT_FOLDER, SLOT_ROOT, show
from .. import Ask, Launch, Source
from .program import ENVIRONMENT_FOLDER, exe_in, program_of
from .workflow import Workflow, read_workflow

if TYPE_CHECKING:
    from ...parameters.model import Parameters

PLAYER_MODULE = "openscope_experimental_launcher.engines.bonsai.player"
STOP_FILE_VARIABLE = "OPENSCOPE_STOP_FILE"
FOLDER_PROPERTIES = ("OutputFolder", "RootFolder")

_SWITCHES = ("--start", "--start-no-debug", "--debug-scripts", "--no-boot", "--no-editor")
_WITH_VALUE = ("--lib", "--visualizer-layout")
_PROPERTY = ("-p", "--property")
_OTHER_MODES = ("--package-manager", "--export-package", "--gallery", "--reload-editor")
# Values may hold the slots of a plan, marked by NUL: a path that is not known yet and may have a
# space in it.
_SLOT_MARK = "\0"


class CommandLine(NamedTuple):
    """What goes on the command line after the workflow.

    Attributes:
        options: options of Bonsai, from the whitelist.
        properties: text of each property to set, by name.
    """

    options: tuple[str, ...]
    properties: Mapping[str, str]

    def arguments(self) -> tuple[str, ...]:
        """The arguments that follow the workflow."""
        assigned = (f"-p:{name}={text}" for name, text in self.properties.items())
        return ("--no-editor", *self.options, *assigned)


def prepare_launch(
    parameters: Parameters, source: Source, session_folder: str, *, rehearsal: bool
) -> Launch:
    """Describe how the workflow is started; see `Engine.prepare`."""
    path = workflow_path(parameters, source)
    workflow = load_workflow(parameters, source)
    line = command_line(parameters.bonsai_arguments, parameters.script_parameters)
    line = with_session_folder(line, workflow, session_folder)
    folder = path.parent
    stop_file = _absolute_stop_file(parameters.stop_file, folder)
    environment = {STOP_FILE_VARIABLE: stop_file} if stop_file else {}
    if rehearsal:
        program: tuple[str, ...] = (sys.executable, "-P", "-m", PLAYER_MODULE)
        environment["OPENSCOPE_PLAYER_DURATION_S"] = repr(parameters.rehearsal_duration_s)
        environment["OPENSCOPE_PLAYER_OUTPUT_ROOT"] = session_folder
    else:
        program = program_of(exe_path(parameters, source))
    return Launch(
        arguments=(*program, *_carried((str(path), *line.arguments()))),
        folder=str(folder),
        environment=environment,
        ask=_ask(stop_file, workflow, has_windows=sys.platform == "win32" and not rehearsal),
        script=path,
    )


def workflow_path(parameters: Parameters, source: Source) -> Path:
    """Absolute path of the workflow.

    Raises:
        EngineError: the parameters name none.
    """
    if not parameters.script_path:
        raise EngineError(
            "The parameters name no workflow.",
            code="bonsai-workflow-not-given",
            where="script_path (or bonsai_path)",
            fix="Set script_path to the .bonsai file, relative to the repository.",
        )
    return source.root / parameters.script_path


def load_workflow(parameters: Parameters, source: Source) -> Workflow:
    """The workflow that the parameters name.

    Raises:
        EngineError: it is not there or cannot be read.
    """
    path = workflow_path(parameters, source)
    try:
        data = source.read(Path(parameters.script_path or ""))
    except OSError as error:
        similar = source.similar(Path(parameters.script_path or ""))
        near = f" There are: {', '.join(similar)}." if similar else ""
        missing = isinstance(error, FileNotFoundError)
        why = "is not there" if missing else f"cannot be read: {error.strerror or error}"
        raise EngineError(
            f"The workflow {path} {why}.{near}",
            code="bonsai-workflow-missing",
            where=f"script_path: {parameters.script_path!r}",
            fix="Correct script_path; it is relative to the repository.",
        ) from error
    return read_workflow(data, path.name)


def exe_path(parameters: Parameters, source: Source) -> Path:
    """Absolute path of the Bonsai program; a folder that holds `Bonsai.exe` stands for it.

    Without `bonsai_exe_path` it is the one in `.bonsai`, beside the workflow or at the top of the
    repository, or the one that the setup script will put there.

    Raises:
        EngineError: the parameters name none, and there is none at its usual place.
    """
    if parameters.bonsai_exe_path:
        return exe_in(source.root / parameters.bonsai_exe_path)
    beside = Path(parameters.script_path or "").parent
    usual = [source.root / place / ENVIRONMENT_FOLDER for place in (beside, Path())]
    found = next((folder for folder in usual if source.exists(folder / "Bonsai.exe")), None)
    if found is None and not parameters.bonsai_setup_script:
        raise _no_exe(source, usual)
    return (found or usual[-1]) / "Bonsai.exe"


def _no_exe(source: Source, usual: list[Path]) -> EngineError:
    scripts = [folder / f"Setup{kind}" for folder in usual for kind in (".cmd", ".ps1", ".sh")]
    script = next((path for path in scripts if source.exists(path)), None)
    install = f" To install it: bonsai_setup_script: {_inside(source, script)!r}." if script else ""
    return EngineError(
        f"The parameters name no Bonsai program, and there is none in {ENVIRONMENT_FOLDER}.",
        code="bonsai-exe-not-given",
        where="bonsai_exe_path",
        fix="Set bonsai_exe_path to Bonsai.exe, absolute or relative to the repository." + install,
    )


def _inside(source: Source, path: Path) -> str:
    return path.relative_to(source.root).as_posix()


def command_line(
    bonsai_arguments: Sequence[str], script_parameters: Mapping[str, Any]
) -> CommandLine:
    """Read Bonsai's options and the properties to set.

    Args:
        bonsai_arguments: options for Bonsai; `-p:Name=Value` is understood among them.
        script_parameters: JSON values by property name.

    Raises:
        EngineError: with every option that Bonsai does not have, every value it cannot carry and
            every property given twice.
    """
    options, assigned, findings = _read_options(bonsai_arguments)
    for name, value in script_parameters.items():
        where = f"script_parameters: {name!r}"
        try:
            assigned.append((name, property_text(value, where), where))
        except EngineError as error:
            findings += error.findings
    properties: dict[str, str] = {}
    for name, text, where in assigned:
        finding = _assignment_finding(name, text, where, properties)
        if finding:
            findings.append(finding)
        else:
            properties[name] = text
    if findings:
        raise EngineError.from_findings("Bonsai's command line cannot be built.", findings)
    return CommandLine(tuple(options), properties)


def property_text(value: Any, where: str) -> str:
    """A JSON value as the text that Bonsai converts with the invariant culture.

    >>> property_text(True, ""), property_text(0.1, ""), property_text("a b", "")
    ('True', '0.1', 'a b')

    Raises:
        EngineError: null, a list, an object, or a number that is not finite.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    shown = "null" if value is None else type(value).__name__
    raise EngineError(
        f"A workflow property takes text, a number, true or false; this is {shown}.",
        code="bonsai-value-unsupported",
        where=where,
        fix="Leave the key out to keep the workflow's own value."
        if value is None
        else "Give the workflow one property for each value, or a file that it reads.",
    )


_Assigned = tuple[str, str, str]


def _read_options(
    arguments: Sequence[str],
) -> tuple[list[str], list[_Assigned], list[Finding]]:
    options: list[str] = []
    assigned: list[_Assigned] = []
    findings: list[Finding] = []
    pending = list(arguments)
    while pending:
        argument = pending.pop(0)
        where = f"bonsai_arguments: {argument!r}"
        name, colon, value = argument.partition(":")
        if name in _SWITCHES and not colon:
            if argument not in ("--no-editor", *options):
                options.append(argument)
        elif name in (*_WITH_VALUE, *_PROPERTY):
            if not colon:
                value = pending.pop(0) if pending else ""
            if not value:
                findings.append(_option_finding(f"The option {name} needs a value.", where))
            elif name in _WITH_VALUE:
                options.append(f"{name}:{value}")
            else:
                member, equals, text = value.partition("=")
                if equals:
                    assigned.append((member, text, where))
                else:
                    message = f"The property '{value}' is given no value."
                    findings.append(_option_finding(message, where))
        else:
            findings.append(_unknown_option(name, where))
    return options, assigned, findings


def _unknown_option(name: str, where: str) -> Finding:
    if name in _OTHER_MODES:
        return _option_finding(f"The option {name} opens a window instead of the workflow.", where)
    if name in _SWITCHES:
        return _option_finding(f"The option {name} takes no value.", where)
    known = (*_SWITCHES, *_WITH_VALUE, *_PROPERTY)
    return _option_finding(
        f"Bonsai has no option '{name}'; it would take it for a workflow and run nothing."
        f"{did_you_mean(name, known)}",
        where,
    )


def _option_finding(message: str, where: str) -> Finding:
    known = ", ".join((*_SWITCHES, *_WITH_VALUE, "-p:Name=Value"))
    return Finding(
        "error", "bonsai-option-invalid", message, where=where, fix=f"Options are: {known}."
    )


def _assignment_finding(
    name: str, text: str, where: str, known: Mapping[str, str]
) -> Finding | None:
    if not name or "=" in name:
        return Finding(
            "error",
            "bonsai-property-name-invalid",
            f"A property cannot be named '{name}': the name is empty or holds '='.",
            where=where,
            fix="Use the name that the workflow externalizes.",
        )
    if name in known:
        return Finding(
            "error",
            "bonsai-property-twice",
            f"The property '{name}' is set twice; Bonsai would crash.",
            where=where,
            fix="Keep it in script_parameters or in bonsai_arguments, not in both.",
        )
    return _carry_finding(f"-p:{name}={text}", where)


def _carry_finding(argument: str, where: str) -> Finding | None:
    """Why an argument would not survive Bonsai's restart of itself; None when it does."""
    if '"' in argument:
        why, fix = 'it holds a "', 'Leave the " out.'
    elif "\t" in argument:
        why, fix = "it holds a tab", "Use spaces."
    elif argument.endswith("\\") and (" " in argument or _SLOT_MARK in argument):
        why = "it ends with a backslash and may hold a space"
        fix = "Leave off the last backslash, or use '/'."
    else:
        return None
    message = (
        f"Bonsai cannot carry {show(argument)!r}: {why}, and Bonsai's restart escapes nothing."
    )
    return Finding("error", "bonsai-value-not-carried", message, where=where, fix=fix)


def _carried(arguments: tuple[str, ...]) -> tuple[str, ...]:
    findings = [found for argument in arguments if (found := _carry_finding(argument, argument))]
    if findings:
        raise EngineError.from_findings("Bonsai's command line cannot be built.", findings)
    return arguments


def with_session_folder(line: CommandLine, workflow: Workflow, session_folder: str) -> CommandLine:
    """Add `OutputFolder` (else `RootFolder`) when the workflow has it and nobody set it."""
    for name in FOLDER_PROPERTIES:
        found = workflow.by_name.get(name)
        if found and found.settable:
            properties = {name: session_folder, **line.properties}
            return line._replace(properties=properties)
    return line


def _absolute_stop_file(stop_file: str | None, folder: Path) -> str:
    """The stop file as the workflow will see it: relative to its working directory."""
    if not stop_file:
        return ""
    is_absolute = PureWindowsPath(stop_file).is_absolute()
    if is_absolute or stop_file.startswith((SLOT_FOLDER, SLOT_ROOT)):
        return stop_file
    return str(folder / stop_file)


def _ask(stop_file: str, workflow: Workflow, *, has_windows: bool) -> Ask:
    if stop_file:
        return Ask("stop_file", stop_file=stop_file)
    files = ", ".join(sink.path or sink.type.rpartition(".")[2] for sink in workflow.sinks[:3])
    data = (
        f"What the workflow has not written to the disk yet ({files})"
        if files
        else ("What the workflow has not written to the disk yet")
    )
    if has_windows:
        return Ask("window", loses=f"{data} will be lost if Bonsai shows no window to close.")
    return Ask("none", loses=f"{data} will be lost: Bonsai without the editor cannot be asked.")
