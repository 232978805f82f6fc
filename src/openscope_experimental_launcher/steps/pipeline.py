"""Reading the pipelines of a parameter file: which steps, in which order, with what."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from ..engines.command import check_program
from ..engines.python import interpreter
from ..errors import Finding, ParameterError, RepositoryError, StepError
from ..parameters.model import SPELLINGS, Parameters
from ..parameters.paths import drive_error, on_missing_drive
from ..parameters.wording import shown
from . import Phase, Step, get_step, is_installed
from .entries import Entry, OnFailure, read_entry
from .faults import located, unknown_keys
from .fields import path_fields, with_own_paths

if TYPE_CHECKING:
    from ..engines import Source

Kind = Literal["step", "module", "script"]

PIPELINES: Mapping[Phase, str] = {
    "before": "pre_acquisition_pipeline",
    "after": "post_acquisition_pipeline",
}
FILE_FUNCTIONS: Mapping[Phase, str] = {
    "before": "run_pre_acquisition",
    "after": "run_post_acquisition",
}
"""The function of an older module, which is given the path of a parameter file."""

_LONG_S: Mapping[str, float] = {"session_archiver": 24 * 3600.0}
"""Seconds that steps may take at least where their entries say nothing: copies take hours."""

_OLDER_PACKAGES = (
    "openscope_experimental_launcher.pre_acquisition",
    "openscope_experimental_launcher.post_acquisition",
)


class PlannedStep(NamedTuple):
    """One entry of a pipeline.

    Attributes:
        phase: `before` or `after` the acquisition.
        position: its place in the pipeline, from 0.
        name: what people call it: the step's name, the module's or the file's path.
        kind: an installed `step`, an installed older `module`, or a `script` of the repository.
        parameters: its own parameters, which lie over the parameter file's.
        function: for a script, the function that is called; empty for the usual ones.
        arguments: for a script, the function's arguments, by place or by name; None for none.
        on_failure: what is done when it fails.
        run_after_failure: whether it is run after an acquisition that did not complete.
        timeout_s: seconds after which it is killed; an interactive step has no limit.
    """

    phase: Phase
    position: int
    name: str
    kind: Kind
    parameters: Mapping[str, Any]
    function: str
    arguments: list[Any] | Mapping[str, Any] | None
    on_failure: OnFailure
    run_after_failure: bool
    timeout_s: float

    @property
    def where(self) -> str:
        """Its place in the parameter file."""
        return f"{PIPELINES[self.phase]}[{self.position}]"


def plan_steps(phase: Phase, parameters: Parameters) -> tuple[PlannedStep, ...]:
    """The steps of one pipeline, in order.

    Args:
        phase: which pipeline.
        parameters: the session's parameters; slots in them stay.

    Raises:
        ParameterError: with every fault of its entries.
    """
    steps: list[PlannedStep] = []
    problems: list[Finding] = []
    for entry in _entries(phase, parameters):
        if isinstance(entry, PlannedStep):
            steps.append(entry)
        elif entry.level == "error":
            problems.append(entry)
    if problems:
        raise ParameterError.from_findings(f"{PIPELINES[phase]} cannot be used.", problems)
    return tuple(steps)


def check_steps(
    parameters: Parameters, source: Source, *, rehearsal: bool = False
) -> list[Finding]:
    """Findings on both pipelines: entries, steps, their parameters, files of the repository.

    Args:
        parameters: the session's parameters.
        source: the experiment's files.
        rehearsal: whether paths on drives that this system does not have are mapped.
    """
    findings: list[Finding] = []
    steps: list[PlannedStep] = []
    for phase in PIPELINES:
        for entry in _entries(phase, parameters):
            if isinstance(entry, Finding):
                findings.append(entry)
            else:
                steps.append(entry)
                findings += _check(entry, parameters, source, rehearsal)
    if any(step.kind == "script" for step in steps):
        program = interpreter(parameters, source.root)
        found = check_program(program, "python_exe_path", source)
        findings += [found] if found.level == "error" else []
    if steps and not findings:
        names = ", ".join(dict.fromkeys(step.name for step in steps))
        findings.append(Finding("ok", "steps-ready", f"All steps are there: {names}."))
    return findings


def parameter_names(parameters: Parameters) -> frozenset[str]:
    """The top-level keys that installed steps of the pipelines take as parameters."""
    names: set[str] = set()
    for phase in PIPELINES:
        for step in _entries(phase, parameters):
            if isinstance(step, PlannedStep) and step.kind == "step" and is_installed(step.name):
                names |= set(get_step(step.name).parameters_model.model_fields)
    return frozenset(names)


def own_values(
    step: PlannedStep,
    model: type[BaseModel],
    top_level: Mapping[str, Any],
    *,
    rehearsal: bool,
) -> dict[str, Any]:
    """The values for a step's parameter model: keys of the parameter file that it has fields for,
    and over them the entry's own. A null means "not given"."""
    open_model = model.model_config.get("extra") == "allow"
    own = {
        name: value
        for name, value in step.parameters.items()
        if open_model or name in model.model_fields
    }
    below = {name: top_level.get(name) for name in model.model_fields}
    given = {name: value for name, value in {**below, **own}.items() if value is not None}
    return with_own_paths(given, model, rehearsal=rehearsal)


def runs_sealed(step: Step) -> bool:
    """Whether a step runs when the manifest is sealed, last of all."""
    return bool(getattr(step, "after_seal", False))


def session_values(parameters: Parameters) -> dict[str, Any]:
    """All parameters of a session as JSON values, under both spellings of keys that have two."""
    values = parameters.values()
    return {**values, **{other: values.get(key) for other, key in SPELLINGS.items()}}


def _entries(phase: Phase, parameters: Parameters) -> Iterator[PlannedStep | Finding]:
    """Each entry as a step, or as what is wrong with it; warnings come before their step."""
    pipeline: list[Any] = getattr(parameters, PIPELINES[phase])
    for position, raw in enumerate(pipeline):
        for read in read_entry(raw, f"{PIPELINES[phase]}[{position}]"):
            if isinstance(read, Finding):
                yield read
            else:
                yield _planned(phase, position, read, parameters.step_timeout_s)


def _planned(phase: Phase, position: int, entry: Entry, timeout_s: float) -> PlannedStep | Finding:
    name, kind = _name_and_kind(entry.module_path)
    step = PlannedStep(
        phase=phase,
        position=position,
        name=name,
        kind=kind,
        parameters=entry.module_parameters,
        function=entry.function,
        arguments=entry.function_args,
        on_failure=entry.on_failure,
        run_after_failure=entry.run_after_failure,
        timeout_s=entry.timeout_s or max(timeout_s, _LONG_S.get(name, 0.0)),
    )
    if entry.module_type == "launcher_module":
        return step
    path = PureWindowsPath(entry.module_path)  # which knows both separators
    if path.anchor or ".." in path.parts:
        return _outside(step._replace(name=entry.module_path))
    return step._replace(kind="script", name=path.as_posix())


def ad_hoc_step(name: str, parameters: Parameters) -> PlannedStep:
    """A step that stands in no pipeline, with the parameters of the session."""
    return PlannedStep(
        "after", -1, name, "step", {}, "", None, "continue", True, parameters.step_timeout_s
    )


def _name_and_kind(module_path: str) -> tuple[str, Kind]:
    """A step by its name or by the place that it had in the launcher's older package; else a
    module that can be imported."""
    package, _, last = module_path.rpartition(".")
    if package in _OLDER_PACKAGES:
        return last, "step"
    if package or (not is_installed(module_path) and _can_be_found(module_path)):
        return module_path, "module"
    return module_path, "step"


def _can_be_found(package: str) -> bool:
    """Whether a package or module is installed. Nothing of it is imported: that runs its code."""
    try:
        return package.isidentifier() and importlib.util.find_spec(package) is not None
    except ValueError:
        return False


def _outside(step: PlannedStep) -> Finding:
    return Finding(
        "error",
        "step-script-outside",
        "A script_module must be a file of the repository.",
        where=f"{step.where}.module_path: {shown(step.name)}",
        fix="Give its path relative to the repository, without '..'.",
    )


def _check(
    step: PlannedStep, parameters: Parameters, source: Source, rehearsal: bool
) -> list[Finding]:
    if step.kind == "script":
        return _check_script(step, source)
    if step.kind == "module":
        return _check_module(step)
    try:
        installed = get_step(step.name)
    except StepError as error:
        return [_not_there(step, error)]
    findings = list(_check_values(step, installed, parameters, rehearsal))
    preflight = getattr(installed, "preflight", None)
    if preflight is not None:
        findings += [found._replace(where=found.where or step.where) for found in preflight()]
    return findings


def _check_values(
    step: PlannedStep, installed: Step, parameters: Parameters, rehearsal: bool
) -> Iterator[Finding]:
    if step.phase == "before" and runs_sealed(installed):
        yield Finding(
            "error",
            "step-wrong-pipeline",
            f"{step.name} is a step for after the acquisition.",
            where=step.where,
            fix=f"Move it to the {PIPELINES['after']}.",
        )
    model = installed.parameters_model
    own_place = f"{step.where}.module_parameters"
    yield from unknown_keys(step.parameters, model, own_place)
    values = own_values(step, model, session_values(parameters), rehearsal=rehearsal)
    places = {key: f"{own_place}.{key}" for key in step.parameters}
    for key in path_fields(model):
        if isinstance(values.get(key), str) and on_missing_drive(values[key]):
            yield drive_error(f"{places.get(key, key)}: {values[key]}")
    try:
        model.model_validate(values)
    except ValidationError as error:
        yield from located(error, places)


def _check_script(step: PlannedStep, source: Source) -> list[Finding]:
    path = Path(PurePosixPath(step.name))
    if source.exists(path):
        return _check_function(step, source, path)
    near = source.similar(path)
    return [
        Finding(
            "error",
            "step-script-missing",
            f"The step's file {path.name} is not in the repository.",
            where=f"{step.where}.module_path: {shown(step.name)}",
            fix=f"Use one of: {', '.join(near)}." if near else "Correct the path.",
        )
    ]


def _check_function(step: PlannedStep, source: Source, path: Path) -> list[Finding]:
    from .functions import function_finding

    wanted = (step.function,) if step.function else (FILE_FUNCTIONS[step.phase], "run")
    try:
        content = source.read(path)
    except (OSError, RepositoryError):
        return []  # it is in a submodule that is not here yet
    found = function_finding(content, wanted, f"{step.where}: {shown(step.name)}")
    return [found] if found else []


def _check_module(step: PlannedStep) -> list[Finding]:
    try:
        require_module(step)
    except StepError as error:
        return [_not_there(step, error)]
    return []


def require_module(step: PlannedStep) -> None:
    """See that a module's package is installed.

    Raises:
        StepError: it is not (`step-unknown`).
    """
    package = step.name.partition(".")[0]
    if not _can_be_found(package):
        raise StepError(
            f"The package '{package}' of the step '{step.name}' is not installed.",
            code="step-unknown",
            fix="Install the package, or name the file with module_type script_module.",
        )


def _not_there(step: PlannedStep, error: StepError) -> Finding:
    """An acquisition must not begin without a step before it; after it, the data count more."""
    where = f"{step.where}: {shown(step.name)}"
    if step.phase == "before" or error.code != "step-unknown":
        return Finding("error", error.code, error.message, where=where, fix=error.fix)
    words = f"{error.message} It will be recorded as skipped."
    return Finding("warning", error.code, words, where=where, fix=error.fix)
