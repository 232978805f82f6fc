"""One entry of a pipeline: the forms in which parameter files write it, read into one.

"disk_space_check"                       a step's name; or an object:

{"module_type": "launcher_module",       an installed step or module; or
                "script_module",         a file of the experiment's repository
 "module_path": "disk_space_check",      its name, its dotted path, or the file
 "module_parameters": {…},               over the keys of the parameter file
 "function": "run", "function_args": …,  for a file: what is called, with what; may also stand
                                         among the module_parameters
 "on_failure": "continue",               or "abort", or "prompt"
 "run_after_failure": true,              whether it is run when the acquisition failed
 "timeout_s": 60}

{"module_type": "repo_module",           the older form for a file of the repository; its keys
 "repo_relative_path": "code/x.py",      may also stand among the module_parameters or in an
 "function": "run", "kwargs": {…}}       object "repo_module"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ..errors import Finding, ParameterError
from .faults import located, unknown_keys

OnFailure = Literal["continue", "abort", "prompt"]

_OLDER = "repo_module"
_OLDER_PATH = "repo_relative_path"
_LIFTED = {
    _OLDER_PATH: "module_path",
    "function": "function",
    "kwargs": "function_args",
    "function_args": "function_args",
}


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


class Entry(BaseModel):
    """An entry in the form that all others are turned into."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    module_type: Literal["launcher_module", "script_module"] = "launcher_module"
    module_path: Annotated[str, AfterValidator(_check_module_path)] = Field(
        default="", validate_default=True
    )
    module_parameters: dict[str, Any] = {}
    function: str = ""
    function_args: Annotated[Any, AfterValidator(_check_arguments)] = None
    on_failure: OnFailure = "continue"
    run_after_failure: bool = True
    timeout_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class _Form(NamedTuple):
    values: dict[str, Any]
    written: dict[str, str]
    """Where a key stands in the entry, for those that stand elsewhere or have another name."""


def read_entry(raw: Any, place: str) -> Iterator[Entry | Finding]:
    """The entry, or what is wrong with it; warnings come before it.

    Args:
        raw: what the parameter file has.
        place: where it has it, as in `pre_acquisition_pipeline[0]`.
    """
    form = _newest({"module_path": raw} if isinstance(raw, str) else raw)
    yield from unknown_keys(form.values, Entry, place)
    try:
        yield Entry.model_validate(form.values)
    except ValidationError as error:
        yield from located(error, {key: f"{place}.{form.written.get(key, key)}" for key in _KEYS})


def _newest(entry: Mapping[str, Any]) -> _Form:
    own, older = (entry.get(name) for name in ("module_parameters", _OLDER))
    own_keys = own if isinstance(own, dict) else {}
    older_keys = older if isinstance(older, dict) else {}
    is_older = _OLDER in (entry.get("module_type"), entry.get("type")) or any(
        _OLDER_PATH in keys for keys in (entry, own_keys, older_keys)
    )
    values = dict(entry)
    written: dict[str, str] = {}
    if not is_older and entry.get("module_type") != "script_module":
        return _Form(values, written)
    for keys, prefix in ((own_keys, "module_parameters."), (older_keys, f"{_OLDER}."), (entry, "")):
        for name, key in _LIFTED.items():
            if name in keys and not (name == "kwargs" and "function_args" in keys):
                values[key], written[key] = keys[name], f"{prefix}{name}"
    if own_keys:
        values["module_parameters"] = {k: v for k, v in own_keys.items() if k not in _LIFTED}
    if is_older:
        values["module_type"] = "script_module"
        values.pop("type", None)
        if older_keys or isinstance(older, dict):
            values.pop(_OLDER)
    for name in (_OLDER_PATH, "kwargs"):
        values.pop(name, None)
    return _Form(values, written)


_KEYS = tuple(Entry.model_fields)
