"""What a session's parameters are: one frozen model, and the words for what is wrong with them.

The model knows each key under one name. Files may use the other spelling of an older generation
(`SPELLINGS`); the layers turn it into the model's before anything else looks at it.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from ..errors import Finding, ParameterError, did_you_mean
from .wording import join_path, printable, shown

LONGEST_SUBJECT = 100
"""Characters of a subject's name."""

_LONGEST_FOLDER_BYTES = 255  # ext4, NTFS and APFS alike, NTFS counting UTF-16 units
_SUFFIX_BYTES = len("_2025-01-31_13-45-00")
_LONGEST_S = 30 * 24 * 3600.0
_FORBIDDEN_IN_FOLDERS = '<>:"|?*/\\'
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED_NAMES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³"]
)

# Without NUL, which marks the slots of names that are known only later (see placeholders.py).
_CONTROL_CHARACTER = re.compile(r"[\x01-\x1f\x7f-\x9f]")


def check_subject(name: str) -> str:
    """`name`, when it can begin the name of a session folder on every system.

    Raises:
        ParameterError: it cannot, and why.
    """
    reason = _why_no_folder(name)
    if reason is None:
        return name
    raise ParameterError(
        f"The subject's name cannot be part of a folder name: it {reason}.",
        code="subject-invalid",
        where=f"subject_id: {shown(name)}",
        fix="Use letters, digits, - and _, as in 614173."
        if name.strip()
        else "Give the subject, or remove the key to be asked for it.",
    )


def _why_no_folder(name: str) -> str | None:
    if not name.strip():
        return "is empty"
    if not name.isprintable():
        return "holds a line break or another character that cannot be seen"
    if forbidden := next((c for c in name if c in _FORBIDDEN_IN_FOLDERS), None):
        return f"holds the character {forbidden}"
    if name.strip() != name:
        return "begins or ends with a space"
    if name.endswith("."):
        return "ends with a dot"
    if name.partition(".")[0].rstrip().upper() in _RESERVED_NAMES:
        return "is a name that Windows keeps for a device"
    return _why_too_long(name)


def _why_too_long(name: str) -> str | None:
    if len(name) > LONGEST_SUBJECT:
        return f"has {len(name)} characters, and {LONGEST_SUBJECT} are allowed"
    if len(name.encode()) > _LONGEST_FOLDER_BYTES - _SUFFIX_BYTES:
        return f"takes {len(name.encode())} bytes, too long with the date behind it"
    return None


def check_user(name: str) -> str:
    """`name`, when it is one line of visible text.

    Raises:
        ParameterError: it is not, and why.
    """
    if name.strip() and name.isprintable() and len(name) <= LONGEST_SUBJECT:
        return name
    raise ParameterError(
        f"The user's name must be one line of 1 to {LONGEST_SUBJECT} visible characters.",
        code="user-invalid",
        where=f"user_id: {shown(name)}",
        fix="Give a name or initials, or remove the key to be asked for it.",
    )


def _optional(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    def check_given(value: str | None) -> str | None:
        # Templates leave these blank to have them asked for.
        return check(value) if value and value.strip() else None

    return check_given


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _numbers_as_texts(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [
        str(item) if isinstance(item, (int, float)) and not isinstance(item, bool) else item
        for item in value
    ]


def _blank_is_not_given(value: str | None) -> str | None:
    return value if value and value.strip() else None


def _blank_as_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _check_path(path: str | None) -> str | None:
    if path is None or not _CONTROL_CHARACTER.search(path):
        return _blank_is_not_given(path)
    raise ParameterError(
        "The path holds a line break, a tab or another control character.",
        code="path-invalid",
        fix='Write Windows paths with / or with \\\\: in "C:\\temp", \\t is a tab.',
    )


def _check_pipeline(entries: list[Any]) -> list[Any]:
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) and not (isinstance(entry, str) and entry.strip()):
            raise ParameterError(
                f"Entry {number} of a pipeline must be a step's name or an object.",
                code="parameter-type",
                fix='Write "name", or {"module_type": …, "module_path": "name"}.',
            )
    return entries


def _check_protocol(value: Any) -> Any:
    if value is None or (isinstance(value, (int, str, list)) and not isinstance(value, bool)):
        return value
    raise ParameterError(
        "The protocol must be a number, a text or a list of them.",
        code="parameter-type",
        fix="Write the protocol's number.",
    )


def _check_slaves(value: Any) -> Any:
    names = value if isinstance(value, list) else []
    texts = all(isinstance(name, str) and name.strip() for name in names)
    if value is None or (names and texts and len(set(names)) == len(names)):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise ParameterError(
        "The slaves must be a list of different names, or how many they are (1 or more).",
        code="parameter-type",
        fix='Write their names: ["camera", "stimulus"].',
    )


_TEXT_OR_NUMBER = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}
_ARGUMENT_LIST = {"type": "array", "items": {"type": ["string", "number"]}}

_Text = Annotated[str | None, AfterValidator(_blank_is_not_given)]
_Path = Annotated[str | None, AfterValidator(_check_path)]
_Name = Annotated[
    str | None,
    AfterValidator(_blank_is_not_given),
    BeforeValidator(_number_as_text),
    WithJsonSchema(_TEXT_OR_NUMBER),
]
_Arguments = Annotated[
    list[str], BeforeValidator(_numbers_as_texts), WithJsonSchema(_ARGUMENT_LIST)
]
_Slaves = Annotated[
    Any,
    AfterValidator(_check_slaves),
    WithJsonSchema({"type": ["integer", "array", "null"], "items": {"type": "string"}}),
]
_Pipeline = Annotated[
    list[Any],
    AfterValidator(_check_pipeline),
    WithJsonSchema({"type": "array", "items": {"type": ["string", "object"]}}),
]


# Looking for plugins, pydantic would read what every installed package says of itself, a tenth of
# the start. The model wants none; what is launched later must not hear of it.
_NO_PLUGINS = "PYDANTIC_DISABLE_PLUGINS"
_plugins_before = os.environ.get(_NO_PLUGINS)
os.environ[_NO_PLUGINS] = "__all__"


class Expectation(BaseModel):
    """What is expected of one output file while the acquisition runs."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    within_s: float | None = Field(
        default=None,
        gt=0,
        le=_LONGEST_S,
        description="Seconds after the start until the file exists.",
    )
    min_mb_per_min: float | None = Field(
        default=None, ge=0, description="Megabytes by which the file grows each minute, at least."
    )
    on_missing: Literal["warn", "stop"] = Field(
        default="warn", description="What is done when the file is not there or does not grow."
    )


class Parameters(BaseModel):
    """Everything that was asked of one session. Frozen; keys that nobody knows are kept."""

    model_config = ConfigDict(
        frozen=True,
        extra="allow",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        title="OpenScope parameter file",
    )

    # Who and what
    subject_id: Annotated[
        str | None,
        AfterValidator(_optional(check_subject)),
        BeforeValidator(_number_as_text),
        WithJsonSchema(_TEXT_OR_NUMBER),
    ] = Field(
        default=None,
        description="The animal. Begins the session folder's name; asked for if absent.",
    )
    user_id: Annotated[
        str | None,
        AfterValidator(_optional(check_user)),
        BeforeValidator(_number_as_text),
        WithJsonSchema(_TEXT_OR_NUMBER),
    ] = Field(default=None, description="The operator. Asked for if absent.")
    rig_id: _Name = Field(default=None, description="The rig. One session at a time runs on it.")
    session_type: _Text = Field(default=None, description="Kind of session, for the metadata.")
    protocol_id: Annotated[
        Any,
        AfterValidator(_check_protocol),
        WithJsonSchema({"type": ["integer", "string", "array", "null"]}),
    ] = Field(default=None, description="The protocol, a number, a text or a list of them.")
    modality: _Text = Field(default=None, description="What is recorded, for the metadata.")
    description: str | None = Field(default=None, description="Free text about the session.")

    # How it is launched
    launcher: str = Field(
        default="bonsai",
        description="Engine of the acquisition: bonsai, python, matlab, command or another that "
        "is installed; base runs the steps and no acquisition.",
    )
    launcher_version: _Text = Field(
        default=None,
        description='Versions of this launcher the file is for, as in ">=1.0" (PEP 440).',
    )
    repository_url: _Text = Field(
        default=None, description="Git URL of the experiment's repository."
    )
    repository_commit_hash: str = Field(default="main", description="Commit, branch or tag to run.")
    local_repository_path: _Path = Field(
        default=None, description="Folder that the repository is cloned into."
    )
    script_path: _Path = Field(
        default=None, description="The workflow or script, relative to the repository."
    )
    script_parameters: dict[str, Any] = Field(
        default={}, description="Values for the script: a Bonsai workflow's properties by name."
    )
    script_arguments: _Arguments = Field(
        default=[], description="Arguments behind the script's name."
    )
    output_root_folder: _Path = Field(
        default=None, description="Folder in which session folders are made."
    )
    bonsai_exe_path: _Path = Field(
        default=None,
        description="Bonsai.exe, relative to the repository; else the one in its folder .bonsai.",
    )
    bonsai_setup_script: _Path = Field(
        default=None, description="Script of the repository that installs Bonsai and its packages."
    )
    bonsai_setup_timeout_s: float = Field(
        default=900.0, gt=0, le=_LONGEST_S, description="Seconds that the setup script may take."
    )
    bonsai_config_path: _Path = Field(
        default=None,
        description="Bonsai.config with the packages wanted, relative to the repository.",
    )
    bonsai_arguments: _Arguments = Field(default=[], description="More arguments for Bonsai.")
    bonsai_max_retries: int = Field(
        default=0,
        ge=0,
        le=20,
        description="Times that a failed Bonsai is started again by itself, in the same session.",
    )
    bonsai_retry_delay_sec: float = Field(
        default=5.0, ge=0, le=3600, description="Seconds before that."
    )
    python_exe_path: _Path = Field(
        default=None, description="Python interpreter for a Python script."
    )
    python_venv_path: _Path = Field(
        default=None, description="Virtual environment whose interpreter runs the script."
    )
    python_arguments: _Arguments = Field(
        default=[], description="Arguments for the interpreter, before the script's name."
    )
    matlab_entrypoint: _Text = Field(
        default=None,
        description="MATLAB function that is called, or its file in the repository.",
    )
    matlab_entrypoint_args: list[Any] = Field(
        default=[], description="Arguments of the MATLAB function, behind the session folder."
    )
    matlab_entrypoint_kwargs: dict[str, Any] = Field(
        default={}, description="Name and value arguments of the MATLAB function."
    )
    matlab_engine_name: _Text = Field(
        default=None,
        description="Name under which a running MATLAB shares its engine. Without it MATLAB is "
        "started for the session.",
    )
    matlab_exe_path: _Path = Field(
        default=None, description="MATLAB's program, where it is started for the session."
    )
    matlab_engine_connect_timeout_sec: float = Field(
        default=30.0, gt=0, le=_LONGEST_S, description="Seconds to wait for the shared engine."
    )
    matlab_cancel_timeout_sec: float = Field(
        default=10.0, gt=0, le=3600, description="Seconds in which MATLAB must cancel the function."
    )
    matlab_keep_engine_alive: bool = Field(
        default=True, description="Whether the shared MATLAB stays after the session."
    )
    command: _Arguments = Field(
        default=[], description="Program and arguments, for the launcher named command. No shell."
    )

    # How it ends, and what is watched meanwhile
    stop_file: _Path = Field(
        default=None, description="File that is created to ask the workflow to end by itself."
    )
    stop_grace_s: float = Field(
        default=10.0,
        ge=0,
        le=_LONGEST_S,
        description="Seconds from asking to end until it is made to.",
    )
    terminate_grace_s: float = Field(
        default=3.0, ge=0, le=_LONGEST_S, description="Seconds from SIGTERM to SIGKILL."
    )
    kill_threshold: float = Field(
        default=90.0,
        gt=0,
        le=100,
        description="Percent points of the system's memory above its use at the start, at which "
        "the acquisition is stopped.",
    )
    memory_limit_mb: float | None = Field(
        default=None,
        gt=0,
        description="Megabytes that the acquisition's processes may use together.",
    )
    max_duration_s: float | None = Field(
        default=None,
        gt=0,
        le=_LONGEST_S,
        description="Seconds after which the acquisition is stopped.",
    )
    disk_reserve_gb: float = Field(
        default=1.0,
        ge=0,
        description="Gigabytes of free disk below which the acquisition is stopped.",
    )
    hang_timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=_LONGEST_S,
        description="Seconds without output and without growing files that count as hanging.",
    )
    on_hang: Literal["warn", "stop"] = Field(
        default="warn", description="What is done when it hangs."
    )
    expect: dict[str, Expectation] = Field(
        default={}, description="Files that must appear and grow, by name in the session folder."
    )
    on_launcher_lost: Literal["continue", "stop"] = Field(
        default="continue", description="What becomes of the acquisition when the launcher crashes."
    )
    unattended_minutes: float = Field(
        default=60.0,
        ge=0,
        le=_LONGEST_S / 60,
        description="Minutes that the acquisition may go on without a launcher.",
    )
    on_window_closed: Literal["stop", "continue"] = Field(
        default="stop", description="What becomes of the acquisition when the window is closed."
    )
    resource_log_interval: float = Field(
        default=1.0, ge=0.1, le=3600, description="Seconds between samples of memory and CPU."
    )
    session_report: bool = Field(
        default=True, description="Whether the session's report is made when it is closed."
    )
    session_metadata: bool = Field(
        default=True,
        description="Whether the standard metadata are made when the session is closed.",
    )
    centralized_log_directory: _Path = Field(
        default=None, description="Folder that gets a copy of the log."
    )
    config_path: _Path = Field(default=None, description="CamStim's configuration file (stim.cfg).")
    rig_config_path: _Path = Field(
        default=None, description="The rig's own file of parameters (TOML)."
    )

    # What runs before and after
    pre_acquisition_pipeline: _Pipeline = Field(
        default=[], description="Steps before the acquisition."
    )
    post_acquisition_pipeline: _Pipeline = Field(
        default=[], description="Steps after the acquisition."
    )
    step_timeout_s: float = Field(
        default=600.0, gt=0, le=_LONGEST_S, description="Seconds that a step may take."
    )

    # Several computers, one session
    session_sync_role: Annotated[
        Literal["master", "slave"] | None, BeforeValidator(_blank_as_none)
    ] = Field(default=None, description="What this computer is, when several share a session.")
    session_sync_node_name: _Name = Field(
        default=None, description="This computer's name in the shared session."
    )
    session_sync_expected_slaves: _Slaves = Field(
        default=None,
        description="For the master: the names of the slaves it waits for, or how many they are.",
    )
    session_sync_bind_host: str = Field(
        default="0.0.0.0",  # noqa: S104 - the other computers are to reach it
        description="For the master: address of this computer on which it listens.",
    )
    session_sync_master_host: _Text = Field(
        default=None, description="For a slave: name or address of the master's computer."
    )
    session_sync_port: int = Field(
        default=27471, ge=1, le=65535, description="TCP port of the master."
    )
    session_sync_key_param: str = Field(
        default="subject_id", description="Key whose value all computers must agree on."
    )
    session_sync_session_key: _Name = Field(
        default=None, description="Value that all computers must agree on, instead of that key's."
    )
    session_sync_secret_file: _Path = Field(
        default=None, description="File with the secret by which the computers know each other."
    )
    session_sync_timeout_sec: float = Field(
        default=300.0,
        gt=0,
        le=_LONGEST_S,
        description="Seconds to wait until all computers are there.",
    )
    session_sync_ack_timeout_sec: float = Field(
        default=10.0, gt=0, le=3600, description="Seconds in which a computer must answer."
    )
    session_sync_retry_delay_sec: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="For a slave: seconds before it tries again to reach the master.",
    )
    session_sync_allow_bypass: bool = Field(
        default=False, description="Whether the operator may go on without those who are missing."
    )

    sound_on_end: bool = Field(
        default=False, description="Whether the end is announced by a sound."
    )
    rehearsal_duration_s: float = Field(
        default=3.0, gt=0, le=_LONGEST_S, description="Seconds that a rehearsal's stand-in plays."
    )


if _plugins_before is None:
    del os.environ[_NO_PLUGINS]
else:
    os.environ[_NO_PLUGINS] = _plugins_before

SPELLINGS = types.MappingProxyType(
    {
        "bonsai_path": "script_path",
        "bonsai_parameters": "script_parameters",
        "OutputFolder": "output_root_folder",
        "python_executable": "python_exe_path",
        "python_args": "python_arguments",
        "matlab_function": "matlab_entrypoint",
        "mouse_id": "subject_id",
    }
)
"""The other spelling of a key, to the one used here."""

METADATA_KEYS = types.MappingProxyType(
    {
        "experimenters": "Names of those who did the experiment; without it the user.",
        "modalities": "What is recorded: names or abbreviations of the AIND schema.",
        "project_name": "The project that the data belong to.",
        "institution": "Name or abbreviation of the institution, as in AIND.",
        "funding_source": "Who pays: names, or objects with funder, grant_number and fundee.",
        "investigators": "Names of those who answer for the data.",
        "ethics_review_id": "Number of the ethics review, or a list of them.",
        "stimulus_table": "Table of the stimuli, in the session folder.",
        "stimulus_modalities": "How stimuli reach the animal, as in Visual.",
        "active_devices": "Devices that were used, of those in instrument.json.",
        "device_configurations": "Settings of devices, as objects of the AIND schema.",
        "mouse_platform_name": "Name of the platform the animal is on.",
        "active_mouse_platform": "Whether the platform moves by itself.",
    }
)
"""Keys that are only for the standard metadata, to their meaning."""

PASSED_ON = types.MappingProxyType(
    {
        "$schema": "Address of this schema, for editors. Never fetched.",
        **METADATA_KEYS,
        "collect_mouse_runtime_data": "Whether the operator is asked for the animal's data.",
        "metadata_service_base_url": "Address of the metadata service.",
        "metadata_service_timeout": "Seconds to wait for the metadata service.",
    }
)
"""Keys that are known and passed on as they are, to their meaning."""

ASKED_FOR = ("subject_id", "user_id")
"""What a session cannot do without and a person is asked for."""

KNOWN_KEYS = frozenset([*Parameters.model_fields, *PASSED_ON, *SPELLINGS])

PATH_FIELDS = frozenset(
    name
    for name, field in Parameters.model_fields.items()
    if any(getattr(part, "func", None) is _check_path for part in field.metadata)
)
"""The keys whose values are paths."""


def canonical(key: str) -> str:
    """The spelling of `key` used here; an unknown key is its own."""
    return SPELLINGS.get(key, key)


def keeps_text(key: str) -> bool:
    """Whether a value of this key is text, so that `00123` must not become a number."""
    field = Parameters.model_fields.get(canonical(key))
    return field is not None and field.annotation in (str, str | None)


def holds_keys(key: str) -> bool:
    """Whether a value of this key is an object with keys of its own, or may be one."""
    field = Parameters.model_fields.get(canonical(key))
    return field is None or get_origin(field.annotation) is dict


def json_schema() -> dict[str, Any]:
    """The JSON Schema of parameter files, for editors: both spellings, other keys allowed."""
    schema = Parameters.model_json_schema()
    properties = schema["properties"]
    properties |= {key: {"description": meaning} for key, meaning in PASSED_ON.items()}
    for other, key in SPELLINGS.items():
        properties[other] = properties[key] | {
            "title": other,
            "description": f"Other spelling of {key}.",
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "additionalProperties": True,
    }


def faults(error: ValidationError, place: Callable[[str], str]) -> Iterator[Finding]:
    """What pydantic found, in plain words, one finding a fault.

    Args:
        error: what `Parameters.model_validate` raised.
        place: where the value of a top-level key came from, for the words of an error.
    """
    for fault in error.errors(include_url=False):
        parts = tuple(part for part in fault["loc"] if part != "[key]")
        path = join_path(parts)
        key = str(parts[0]) if parts else ""
        where = ", ".join(filter(None, [place(key), f"{path}: {shown(fault['input'], path)}"]))
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, ParameterError):
            yield Finding("error", cause.code, cause.message, where=where, fix=cause.fix)
        else:
            what, fix = _plain_words(fault["type"], fault.get("ctx", {}), path)
            yield Finding("error", "parameter-invalid", f"{path} {what}.", where=where, fix=fix)


_KINDS = {
    "missing": ("must be given", "Give it a value."),
    "string_type": ("must be text", "Write it in double quotes."),
    "int_type": ("must be a whole number", "Write it without quotes."),
    "int_parsing": ("must be a whole number", "Write it without quotes."),
    "int_from_float": ("must be a whole number", "Write it without a fraction."),
    "float_type": ("must be a number", "Write it without quotes."),
    "float_parsing": ("must be a number", "Write it without quotes."),
    "bool_type": ("must be true or false", "Write true or false, without quotes."),
    "bool_parsing": ("must be true or false", "Write true or false, without quotes."),
    "list_type": ("must be a list", 'Write it in square brackets: ["…", "…"].'),
    "dict_type": ("must be an object", 'Write it in braces: {"name": value}.'),
    "model_type": ("must be an object", 'Write it in braces: {"name": value}.'),
    "finite_number": ("must be a finite number", "Give a number that is not infinite."),
}
_BOUNDS = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than_equal": ("must be at most", "le"),
}


def _plain_words(kind: str, context: dict[str, Any], path: str) -> tuple[str, str]:
    if kind in _KINDS:
        return _KINDS[kind]
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return f"{words} {context[name]:g}", "Give a number within the limit."
    if kind == "literal_error":
        return f"must be {context['expected']}", "Use one of these."
    if kind == "extra_forbidden":
        known = ", ".join(Expectation.model_fields)
        word = path.rpartition(".")[2]
        guess = did_you_mean(word, Expectation.model_fields)
        return "is not known", f"Use {known}.{guess}"
    return f"cannot be used ({printable(kind)})", "Correct the value."
