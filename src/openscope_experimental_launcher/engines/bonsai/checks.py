"""What can be known to go wrong before Bonsai is started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING

from ...errors import EngineError, Finding, did_you_mean
from ...parameters.paths import on_missing_drive
from .. import Launch, Source
from .environment import setup_command
from .launch import PLAYER_MODULE, command_line, exe_path, load_workflow
from .others import running_bonsai
from .packages import (
    CONFIG_NAME,
    PACKAGES_FOLDER,
    BonsaiConfig,
    compare_packages,
    installed_packages,
    read_config,
)
from .program import program_findings
from .values import Hint, accepts, looks_numeric, timespan_text
from .workflow import Property, Sink, Workflow, read_workflow

if TYPE_CHECKING:
    from ...parameters.model import Parameters

_SHOWN_NAMES = 20
_SCRIPTS_ASSEMBLY = "Extensions"


def check_launch(parameters: Parameters, source: Source, launch: Launch) -> list[Finding]:
    """Findings about one launch; see `Engine.check`."""
    workflow = load_workflow(parameters, source)
    values = command_line(parameters.bonsai_arguments, parameters.script_parameters).properties
    findings = [*_property_findings(workflow, values), *_include_findings(workflow, source, launch)]
    if PLAYER_MODULE not in launch.arguments:
        findings += _exe_findings(parameters, source)
        findings += _package_findings(parameters, source, workflow)
        findings += _output_findings(workflow, values, Path(launch.folder))
        findings += _stop_findings(launch)
        findings += _running_findings()
    if not any(found.level == "error" for found in findings):
        count = f"{len(values)} {'property' if len(values) == 1 else 'properties'} to set"
        name = launch.script.name if launch.script else ""
        findings.insert(0, Finding("ok", "bonsai-ready", f"The workflow {name}: {count}."))
    return findings


def _exe_findings(parameters: Parameters, source: Source) -> list[Finding]:
    if on_missing_drive(parameters.bonsai_exe_path or ""):
        return []  # it is refused with the other paths
    exe = exe_path(parameters, source)
    where = f"bonsai_exe_path: {parameters.bonsai_exe_path or str(exe)!r}"
    if not exe.exists():
        if source.exists(exe):
            return []
        if parameters.bonsai_setup_script:
            return _installable(parameters.bonsai_setup_script, source, where)
    if exe.is_dir():
        message = f"{exe} is a folder without a Bonsai.exe in it."
        return [Finding("error", "bonsai-exe-is-folder", message, where, "Name Bonsai.exe itself.")]
    return program_findings(exe, where)


def _installable(script: str, source: Source, where: str) -> list[Finding]:
    if problem := _setup_problem(script, source):
        return [problem]
    message = f"Bonsai is not installed yet; {script} will install it."
    return [Finding("warning", "bonsai-not-installed", message, where)]


def _setup_problem(script: str, source: Source) -> Finding | None:
    """Why the setup script could not be run; None when it could."""
    if not source.exists(Path(script)):
        return Finding(
            "error",
            "bonsai-setup-script-missing",
            f"Something of Bonsai is missing, and so is its setup script {script}.",
            where=f"bonsai_setup_script: {script!r}",
            fix="Correct the path; it is relative to the repository.",
        )
    try:
        setup_command(source.root / script)
    except EngineError as error:
        return error.findings[0]
    return None


def _package_findings(parameters: Parameters, source: Source, workflow: Workflow) -> list[Finding]:
    folder = exe_path(parameters, source).parent
    named = parameters.bonsai_config_path
    path = source.root / named if named else folder / CONFIG_NAME
    try:
        data = source.read(path)
    except OSError as error:
        if not named:
            return []
        message = f"{path} cannot be read: {error.strerror or error}."
        where = f"bonsai_config_path: {named!r}"
        return [Finding("error", "bonsai-config-missing", message, where, "Correct the path.")]
    try:
        config = read_config(data, path.name)
    except EngineError as error:
        return list(error.findings)
    installed = installed_packages(folder / PACKAGES_FOLDER)
    script = parameters.bonsai_setup_script
    remedy = (f"Nothing: {script} runs before the session and installs them.",) if script else ()
    compared = compare_packages(config.packages, installed, *remedy)
    problem = _setup_problem(script, source) if compared and script else None
    return [*compared, *([problem] if problem else []), *_unprovided(config, workflow)]


def _unprovided(config: BonsaiConfig, workflow: Workflow) -> Iterator[Finding]:
    if config.library_folders:
        return
    for assembly in workflow.assemblies:
        if assembly != _SCRIPTS_ASSEMBLY and not config.provides(assembly):
            yield Finding(
                "warning",
                "bonsai-package-unlisted",
                f"The workflow needs {assembly}, which no package in {CONFIG_NAME} brings.",
                where=CONFIG_NAME,
                fix="Install its package with Bonsai's package manager, or add it to the setup.",
            )


def _property_findings(workflow: Workflow, values: Mapping[str, str]) -> Iterator[Finding]:
    for name in workflow.duplicate_names:
        yield Finding(
            "error",
            "bonsai-property-duplicated",
            f"The workflow externalizes two properties named '{name}'; Bonsai will not build it.",
            where=f"line {workflow.by_name[name].line} of the workflow",
            fix="Give one of them another display name in the Bonsai editor.",
        )
    for name, text in values.items():
        found = workflow.by_name.get(name)
        if found is None:
            yield _unknown_property(name, workflow)
        elif not found.targets:
            yield Finding(
                "error",
                "bonsai-property-unconnected",
                f"The property '{name}' is externalized but connected to nothing; setting it "
                "would crash Bonsai.",
                where=f"line {found.line} of the workflow",
                fix="Connect its node in the Bonsai editor, or leave the property out.",
            )
        elif problem := _value_finding(found, text):
            yield problem


def _unknown_property(name: str, workflow: Workflow) -> Finding:
    names = list(workflow.by_name)
    same = next((known for known in names if known.lower() == name.lower()), None)
    hint = f" Did you mean '{same}'? Case matters." if same else did_you_mean(name, names)
    more = ", …" if len(names) > _SHOWN_NAMES else ""
    return Finding(
        "error",
        "bonsai-property-unknown",
        f"The workflow has no property '{name}'.{hint}",
        where=f"script_parameters: {name!r}",
        fix=f"It has: {', '.join(names[:_SHOWN_NAMES])}{more}."
        if names
        else "It externalizes none; externalize the property in the Bonsai editor.",
    )


def _value_finding(found: Property, text: str) -> Finding | None:
    where = f"script_parameters: '{found.name}': {text!r}"
    stored = f"'{found.name}' is {found.value!r} in the workflow"
    if found.hint is Hint.TIMESPAN and (text.strip().isdecimal() or not accepts(found.hint, text)):
        example = timespan_text(text) or "00:00:20"
        message = f"{text!r} is not how Bonsai is given a time span, and {stored}."
        fix = f'Write "{example}" (hours:minutes:seconds).'
        return Finding("error", "bonsai-value-not-converted", message, where, fix)
    if not accepts(found.hint, text):
        message = f"{text!r} is not a valid value for {found.hint.value}, and {stored}."
        fix = "Write true or false." if found.hint is Hint.BOOL else "Write a number, with a dot."
        if found.hint is Hint.INT:
            fix = "Write a whole number."
        return Finding("error", "bonsai-value-not-converted", message, where, fix)
    if found.hint is Hint.NUMBER and _odd_number(found.value or "", text):
        message = f"{stored}; if it is {_kind_of(found.value or '')}, Bonsai will refuse {text!r}."
        fix = "Look the property up in the Bonsai editor."
        return Finding("warning", "bonsai-value-doubtful", message, where, fix)
    return None


def _kind_of(stored: str) -> str:
    return "a whole number" if stored.lstrip("+-").isdecimal() else "a number"


def _odd_number(stored: str, text: str) -> bool:
    whole = stored.lstrip("+-").isdecimal()
    return not looks_numeric(text) or (whole and not text.strip().lstrip("+-").isdecimal())


def _include_findings(workflow: Workflow, source: Source, launch: Launch) -> Iterator[Finding]:
    """Included files that are missing or broken; nested ones are found from the same folder."""
    folder = Path(launch.folder)
    subjects = dict.fromkeys(workflow.undeclared_subjects)
    pending = list(workflow.includes)
    seen: set[str] = set()
    while pending:
        include = pending.pop(0)
        if include.assembly or include.path in seen:
            continue
        seen.add(include.path)
        path = folder / _native(include.path)
        where = f"line {include.line} of the workflow"
        try:
            included = read_workflow(source.read(Path(os.path.normpath(path))), include.path)
        except EngineError as error:
            yield from error.findings
        except OSError:
            yield Finding(
                "error",
                "bonsai-include-missing",
                f"The included workflow {include.path} does not exist.",
                where=f"{where}; looked for in {folder}",
                fix="Correct the path in the Bonsai editor; it is relative to that folder.",
            )
        else:
            pending += included.includes
    if not workflow.includes:
        for name in subjects:
            yield Finding(
                "warning",
                "bonsai-subject-undeclared",
                f"The workflow subscribes to the subject '{name}', which it does not declare.",
                where="the workflow",
                fix="Declare the subject, or correct the name in the Bonsai editor.",
            )


def _native(path: str) -> str:
    return path if os.sep == "\\" else path.replace("\\", "/")


def _output_findings(
    workflow: Workflow, values: Mapping[str, str], folder: Path
) -> Iterator[Finding]:
    assigned = workflow.assign(values)
    for stored in workflow.sinks:
        sink = stored.with_values(assigned)
        if sink.computed:
            continue
        if not sink.path.strip():
            yield Finding(
                "warning",
                "bonsai-output-unnamed",
                f"A {sink.type} in the workflow has no {sink.member}; it will fail when it starts.",
                where="the workflow",
                fix="Set it through a property, or in the Bonsai editor.",
            )
        elif _is_in_the_way(sink, folder):
            yield Finding(
                "error",
                "bonsai-output-exists",
                f"The output file {sink.path} already exists; the workflow would stop at once.",
                where=str(folder / _native(sink.path)),
                fix="Move the file away, give another name, or set Overwrite in the workflow.",
            )


def _is_in_the_way(sink: Sink, folder: Path) -> bool:
    elsewhere = os.sep != "\\" and PureWindowsPath(sink.path).drive
    if sink.overwrite or sink.append or sink.suffix != "None" or "\0" in sink.path or elsewhere:
        return False
    return (folder / _native(sink.path)).exists()


def _running_findings() -> Iterator[Finding]:
    running = running_bonsai()
    if running:
        numbers = ", ".join(map(str, running))
        yield Finding(
            "warning",
            "bonsai-running",
            "Bonsai is running already; it may hold a camera or a port that the workflow needs.",
            where=f"process {numbers}",
            fix="Save what is open in it, and close it.",
        )


def _stop_findings(launch: Launch) -> Iterator[Finding]:
    ask = launch.ask
    if ask.loses:
        yield Finding(
            "warning",
            "bonsai-cannot-be-asked",
            f"This workflow may not be able to end early by itself. {ask.loses}",
            where="stop_file",
            fix="Let the workflow end when a file appears, and name the file as stop_file.",
        )
    if ask.stop_file and "\0" not in ask.stop_file and Path(ask.stop_file).exists():
        yield Finding(
            "error",
            "bonsai-stop-file-exists",
            "The stop file is there already; the workflow would end at once.",
            where=f"stop_file: {ask.stop_file}",
            fix="Remove it, or name a file in the session folder.",
        )
