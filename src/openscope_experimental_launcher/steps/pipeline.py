"""Reading the pipelines of a parameter file: which steps, in which order, with what.

An entry is a step's name, or an object:

    {"module_type": "launcher_module",        an installed step or module; or
                    "script_module",          a file of the experiment's repository
     "module_path": "disk_space_check",       its name, its dotted path, or the file
     "module_parameters": {…},                over the keys of the parameter file
     "function": "run", "function_args": […], for a file: what is called, with what
     "on_failure": "continue",                or "abort", or "prompt"
     "timeout_s": 60}
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..engines.command import check_program
from ..engines.python import interpreter
from ..errors import Finding, ParameterError, StepError, did_you_mean
from ..parameters.model import SPELLINGS, Parameters, faults
from ..parameters.wording import join_path, printable, shown
from . import Phase, Step, get_step, step_names

if TYPE_CHECKING:
    from ..engines import Source

Kind = Literal["step", "module", "script"]
OnFailure = Literal["continue", "abort", "prompt"]

PIPELINES: Mapping[Phase, str] = {
    "before": "pre_acquisition_pipeline",
    "after": "post_acquisition_pipeline",
}
FILE_FUNCTIONS: Mapping[Phase, str] = {
    "before": "run_pre_acquisition",
    "after": "run_post_acquisition",
}
"""The function of an older module, which is given the path of a parameter file."""

_OF_FUNCTION = ("function", "function_args")


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
    timeout_s: float

    @property
    def where(self) -> str:
        """Its place in the parameter file."""
        return f"{PIPELINES[self.phase]}[{self.position}]"


def _check_arguments(value: Any) -> Any:
    if value is None or isinstance(value, (list, dict)):
        return value
    raise ParameterError(
        "function_args must be a list or an object.",
        code="parameter-type",
        fix='Write ["value"] for arguments by place, {"name": "value"} for arguments by name.',
    )


def _check_module_path(value: str) -> str:
    if value.strip() and value.isprintable():
        return value.strip()
    raise ParameterError(
        "An entry of a pipeline must name its step.",
        code="step-unnamed",
        fix='Give "module_path": a step\'s name, or a file of the repository.',
    )


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    module_type: Literal["launcher_module", "script_module"] = "launcher_module"
    module_path: Annotated[str, AfterValidator(_check_module_path)] = Field(
        default="", validate_default=True
    )
    module_parameters: dict[str, Any] = {}
    function: str = ""
    function_args: Annotated[Any, AfterValidator(_check_arguments)] = None
    on_failure: OnFailure = "continue"
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)


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


def check_steps(parameters: Parameters, source: Source) -> list[Finding]:
    """Findings on both pipelines: entries, steps, their parameters, files of the repository.

    Args:
        parameters: the session's parameters.
        source: the experiment's files.
    """
    findings: list[Finding] = []
    steps: list[PlannedStep] = []
    for phase in PIPELINES:
        for entry in _entries(phase, parameters):
            if isinstance(entry, Finding):
                findings.append(entry)
            else:
                steps.append(entry)
                findings += _check(entry, parameters, source)
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
            if isinstance(step, PlannedStep) and step.kind == "step" and step.name in step_names():
                names |= set(get_step(step.name).parameters_model.model_fields)
    return frozenset(names)


def own_values(
    step: PlannedStep, model: type[BaseModel], top_level: Mapping[str, Any]
) -> dict[str, Any]:
    """The values for a step's parameter model: keys of the parameter file that it has fields for,
    and over them the entry's own."""
    open_model = model.model_config.get("extra") == "allow"
    own = {
        name: value
        for name, value in step.parameters.items()
        if open_model or name in model.model_fields
    }
    below = {
        name: top_level[name] for name in model.model_fields if top_level.get(name) is not None
    }
    return {**below, **own}


def session_values(parameters: Parameters) -> dict[str, Any]:
    """All parameters of a session as JSON values, under both spellings of keys that have two."""
    values = parameters.model_dump(mode="json")
    return {**values, **{other: values.get(key) for other, key in SPELLINGS.items()}}


def _entries(phase: Phase, parameters: Parameters) -> Iterator[PlannedStep | Finding]:
    """Each entry as a step, or as what is wrong with it; warnings come before their step."""
    pipeline: list[Any] = getattr(parameters, PIPELINES[phase])
    for index, raw in enumerate(pipeline):
        place = f"{PIPELINES[phase]}[{index}]"
        given = raw if isinstance(raw, dict) else {"module_path": raw}
        lifted = _inside(given)
        yield from _unknown_keys(given, _Entry, place)
        try:
            entry = _Entry.model_validate({**lifted, **given})
        except ValidationError as error:
            yield from _located(error, _placer(place, lifted))
            continue
        yield _planned(phase, index, entry, parameters.step_timeout_s)


def _inside(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a script's entry says of its function among the parameters, where files have it too."""
    own = entry.get("module_parameters")
    if entry.get("module_type") != "script_module" or not isinstance(own, dict):
        return {}
    return {key: own[key] for key in _OF_FUNCTION if key in own}


def _planned(phase: Phase, index: int, entry: _Entry, timeout_s: float) -> PlannedStep | Finding:
    step = PlannedStep(
        phase=phase,
        position=index,
        name=entry.module_path,
        kind="module" if "." in entry.module_path else "step",
        parameters=entry.module_parameters,
        function=entry.function,
        arguments=entry.function_args,
        on_failure=entry.on_failure,
        timeout_s=entry.timeout_s or timeout_s,
    )
    if entry.module_type == "launcher_module":
        return step
    own = {key: value for key, value in step.parameters.items() if key not in _OF_FUNCTION}
    path = PureWindowsPath(entry.module_path)  # which knows both separators
    if path.anchor or ".." in path.parts:
        return _outside(step)
    return step._replace(kind="script", name=path.as_posix(), parameters=own)


def _outside(step: PlannedStep) -> Finding:
    return Finding(
        "error",
        "step-script-outside",
        "A script_module must be a file of the repository.",
        where=f"{step.where}.module_path: {shown(step.name)}",
        fix="Give its path relative to the repository, without '..'.",
    )


def _placer(place: str, own: Mapping[str, Any]) -> Callable[[str], str]:
    """From a key to the object of the file that it is in."""
    return lambda key: f"{place}.module_parameters" if key in own else place


def _located(error: ValidationError, place: Callable[[str], str]) -> Iterator[Finding]:
    """Faults with the whole path of their key.

    Args:
        error: what a model's validation raised.
        place: from a key to the object it is in; empty for the file's top level.
    """
    for finding, fault in zip(
        faults(error, lambda _: ""), error.errors(include_url=False), strict=True
    ):
        key = str(fault["loc"][0]) if fault["loc"] else ""
        prefix = place(key)
        given = finding.where if fault["type"] != "missing" else join_path(fault["loc"])
        where = f"{prefix}.{given}" if prefix else given
        yield finding._replace(where=where, code="step-parameter-invalid")


def _unknown_keys(
    values: Mapping[str, Any], model: type[BaseModel], place: str
) -> Iterator[Finding]:
    extra = model.model_config.get("extra")
    if extra == "allow":
        return
    for key in values:
        if key not in model.model_fields:
            yield Finding(
                "error" if extra == "forbid" else "warning",
                "step-parameter-unknown",
                f"The key {shown(key)} is not known here.{did_you_mean(key, model.model_fields)}",
                where=f"{place}.{printable(key)}",
                fix=f"Known are: {', '.join(model.model_fields) or 'none'}.",
            )


def _check(step: PlannedStep, parameters: Parameters, source: Source) -> list[Finding]:
    if step.kind == "script":
        return _check_script(step, source)
    if step.kind == "module":
        return _check_module(step)
    try:
        installed = get_step(step.name)
    except StepError as error:
        return [_not_there(step, error)]
    return list(_check_values(step, installed, parameters))


def _check_values(step: PlannedStep, installed: Step, parameters: Parameters) -> Iterator[Finding]:
    model = installed.parameters_model
    own_place = f"{step.where}.module_parameters"
    yield from _unknown_keys(step.parameters, model, own_place)
    try:
        model.model_validate(own_values(step, model, session_values(parameters)))
    except ValidationError as error:
        yield from _located(error, lambda key: own_place if key in step.parameters else "")


def _check_script(step: PlannedStep, source: Source) -> list[Finding]:
    path = Path(PurePosixPath(step.name))
    if source.exists(path):
        return []
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


def _check_module(step: PlannedStep) -> list[Finding]:
    """Whether a module's package is installed. Nothing of it is imported: that runs its code."""
    package = step.name.partition(".")[0]
    try:
        there = importlib.util.find_spec(package) is not None
    except ValueError:
        there = False
    if there:
        return []
    error = StepError(
        f"The package '{package}' of the step '{step.name}' is not installed.",
        code="step-unknown",
        fix="Install the package, or name the file with module_type script_module.",
    )
    return [_not_there(step, error)]


def _not_there(step: PlannedStep, error: StepError) -> Finding:
    """An acquisition must not begin without a step before it; after it, the data count more."""
    where = f"{step.where}: {shown(step.name)}"
    if step.phase == "before" or error.code != "step-unknown":
        return Finding("error", error.code, error.message, where=where, fix=error.fix)
    words = f"{error.message} It will be recorded as skipped."
    return Finding("warning", error.code, words, where=where, fix=error.fix)
