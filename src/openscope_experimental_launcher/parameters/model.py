"""What a session's parameters are: one frozen record that knows each key under one name.

Files may use the other spelling of an older generation (`SPELLINGS`); the layers turn it into the
one used here before anything else looks at it.
"""

# Without `from __future__ import annotations`: the fields are looked at when this is loaded.
import types
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, Literal, Self, get_origin

from ..structs import Meta, msgspec
from .fields import fields_of, read_record, says
from .kinds import (
    LONGEST_S,
    Arguments,
    FilePath,
    Grace,
    Name,
    Pipeline,
    Protocol,
    Role,
    Seconds,
    Slaves,
    Subject,
    Text,
    User,
    read_path,
)


class Expectation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is expected of one output file while the acquisition runs."""

    within_s: Annotated[Seconds, says("Seconds after the start until the file exists.")] = 10.0
    min_mb_per_min: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        says("Megabytes by which the file grows each minute, at least."),
    ] = None
    on_missing: Annotated[
        Literal["warn", "stop"], says("What is done when the file is not there or does not grow.")
    ] = "warn"


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was asked of one session. Frozen; keys that nobody knows are in `others`."""

    # Who and what
    subject_id: Annotated[
        Subject, says("The animal. Begins the session folder's name; asked for if absent.")
    ] = None
    user_id: Annotated[User, says("The operator. Asked for if absent.")] = None
    rig_id: Annotated[Name, says("The rig. One session at a time runs on it.")] = None
    session_type: Annotated[Text, says("Kind of session, for the metadata.")] = None
    protocol_id: Annotated[Protocol, says("The protocol, a number, a text or a list of them.")] = (
        None
    )
    modality: Annotated[Text, says("What is recorded, for the metadata.")] = None
    description: Annotated[str | None, says("Free text about the session.")] = None

    # How it is launched
    launcher: Annotated[
        str,
        says(
            "Engine of the acquisition: bonsai, python, matlab, command or another that "
            "is installed; base runs the steps and no acquisition."
        ),
    ] = "bonsai"
    launcher_version: Annotated[
        Text, says('Versions of this launcher the file is for, as in ">=1.0" (PEP 440).')
    ] = None
    repository_url: Annotated[Text, says("Git URL of the experiment's repository.")] = None
    repository_commit_hash: Annotated[str, says("Commit, branch or tag to run.")] = "main"
    local_repository_path: Annotated[
        FilePath, says("Folder that the repository is cloned into.")
    ] = None
    script_path: Annotated[
        FilePath, says("The workflow or script, relative to the repository.")
    ] = None
    script_parameters: Annotated[
        dict[str, Any], says("Values for the script: a Bonsai workflow's properties by name.")
    ] = {}
    script_arguments: Annotated[Arguments, says("Arguments behind the script's name.")] = []
    output_root_folder: Annotated[FilePath, says("Folder in which session folders are made.")] = (
        None
    )
    bonsai_exe_path: Annotated[
        FilePath,
        says("Bonsai.exe, relative to the repository; else the one in its folder .bonsai."),
    ] = None
    bonsai_setup_script: Annotated[
        FilePath, says("Script of the repository that installs Bonsai and its packages.")
    ] = None
    bonsai_setup_timeout_s: Annotated[Seconds, says("Seconds that the setup script may take.")] = (
        900.0
    )
    bonsai_config_path: Annotated[
        FilePath, says("Bonsai.config with the packages wanted, relative to the repository.")
    ] = None
    bonsai_arguments: Annotated[Arguments, says("More arguments for Bonsai.")] = []
    bonsai_max_retries: Annotated[
        int,
        Meta(ge=0, le=20),
        says("Times that a failed Bonsai is started again by itself, in the same session."),
    ] = 0
    bonsai_retry_delay_sec: Annotated[float, Meta(ge=0, le=3600), says("Seconds before that.")] = (
        5.0
    )
    python_exe_path: Annotated[FilePath, says("Python interpreter for a Python script.")] = None
    python_venv_path: Annotated[
        FilePath, says("Virtual environment whose interpreter runs the script.")
    ] = None
    python_arguments: Annotated[
        Arguments, says("Arguments for the interpreter, before the script's name.")
    ] = []
    matlab_entrypoint: Annotated[
        Text, says("MATLAB function that is called, or its file in the repository.")
    ] = None
    matlab_entrypoint_args: Annotated[
        list[Any], says("Arguments of the MATLAB function, behind the session folder.")
    ] = []
    matlab_entrypoint_kwargs: Annotated[
        dict[str, Any], says("Name and value arguments of the MATLAB function.")
    ] = {}
    matlab_engine_name: Annotated[
        Text,
        says(
            "Name under which a running MATLAB shares its engine. Without it MATLAB is "
            "started for the session."
        ),
    ] = None
    matlab_exe_path: Annotated[
        FilePath, says("MATLAB's program, where it is started for the session.")
    ] = None
    matlab_engine_connect_timeout_sec: Annotated[
        Seconds, says("Seconds to wait for the shared engine.")
    ] = 30.0
    matlab_cancel_timeout_sec: Annotated[
        float,
        Meta(gt=0, le=3600),
        says("Seconds in which MATLAB must cancel the function."),
    ] = 10.0
    matlab_keep_engine_alive: Annotated[
        bool, says("Whether the shared MATLAB stays after the session.")
    ] = True
    command: Annotated[
        Arguments, says("Program and arguments, for the launcher named command. No shell.")
    ] = []

    # How it ends, and what is watched meanwhile
    stop_file: Annotated[
        FilePath, says("File that is created to ask the workflow to end by itself.")
    ] = None
    stop_grace_s: Annotated[Grace, says("Seconds from asking to end until it is made to.")] = 10.0
    terminate_grace_s: Annotated[Grace, says("Seconds from SIGTERM to SIGKILL.")] = 3.0
    kill_threshold: Annotated[
        float,
        Meta(gt=0, le=100),
        says(
            "Percent points of the system's memory above its use at the start, at which "
            "the acquisition is stopped."
        ),
    ] = 90.0
    memory_limit_mb: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        says("Megabytes that the acquisition's processes may use together."),
    ] = None
    max_processes: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        says("Processes that the acquisition may have at a time."),
    ] = 1000
    max_duration_s: Annotated[
        Seconds | None, says("Seconds after which the acquisition is stopped.")
    ] = None
    disk_reserve_gb: Annotated[
        float,
        Meta(ge=0),
        says("Gigabytes of free disk below which the acquisition is stopped."),
    ] = 1.0
    hang_timeout_s: Annotated[
        Seconds | None,
        says("Seconds without output and without growing files that count as hanging."),
    ] = None
    on_hang: Annotated[Literal["warn", "stop"], says("What is done when it hangs.")] = "warn"
    expect: Annotated[
        dict[str, Expectation],
        says("Files that must appear and grow, by name in the session folder."),
    ] = {}
    on_launcher_lost: Annotated[
        Literal["continue", "stop"],
        says("What becomes of the acquisition when the launcher crashes."),
    ] = "continue"
    unattended_minutes: Annotated[
        float,
        Meta(ge=0, le=LONGEST_S / 60),
        says("Minutes that the acquisition may go on without a launcher."),
    ] = 60.0
    on_window_closed: Annotated[
        Literal["stop", "continue"],
        says("What becomes of the acquisition when the window is closed."),
    ] = "stop"
    resource_log_interval: Annotated[
        float, Meta(ge=0.1, le=3600), says("Seconds between samples of memory and CPU.")
    ] = 1.0
    session_report: Annotated[
        bool, says("Whether the session's report is made when it is closed.")
    ] = True
    session_metadata: Annotated[
        bool, says("Whether the standard metadata are made when the session is closed.")
    ] = True
    centralized_log_directory: Annotated[FilePath, says("Folder that gets a copy of the log.")] = (
        None
    )
    config_path: Annotated[FilePath, says("CamStim's configuration file (stim.cfg).")] = None
    rig_config_path: Annotated[FilePath, says("The rig's own file of parameters (TOML).")] = None

    # What runs before and after
    pre_acquisition_pipeline: Annotated[Pipeline, says("Steps before the acquisition.")] = []
    post_acquisition_pipeline: Annotated[Pipeline, says("Steps after the acquisition.")] = []
    step_timeout_s: Annotated[Seconds, says("Seconds that a step may take.")] = 600.0

    # Several computers, one session
    session_sync_role: Annotated[
        Role, says("What this computer is, when several share a session.")
    ] = None
    session_sync_node_name: Annotated[Name, says("This computer's name in the shared session.")] = (
        None
    )
    session_sync_expected_slaves: Annotated[
        Slaves, says("For the master: the names of the slaves it waits for, or how many they are.")
    ] = None
    session_sync_bind_host: Annotated[
        str, says("For the master: address of this computer on which it listens.")
    ] = "0.0.0.0"  # noqa: S104 - the other computers are to reach it
    session_sync_master_host: Annotated[
        Text, says("For a slave: name or address of the master's computer.")
    ] = None
    session_sync_port: Annotated[int, Meta(ge=1, le=65535), says("TCP port of the master.")] = 27471
    session_sync_key_param: Annotated[str, says("Key whose value all computers must agree on.")] = (
        "subject_id"
    )
    session_sync_session_key: Annotated[
        Name, says("Value that all computers must agree on, instead of that key's.")
    ] = None
    session_sync_secret_file: Annotated[
        FilePath, says("File with the secret by which the computers know each other.")
    ] = None
    session_sync_timeout_sec: Annotated[
        Seconds, says("Seconds to wait until all computers are there.")
    ] = 300.0
    session_sync_ack_timeout_sec: Annotated[
        float, Meta(gt=0, le=3600), says("Seconds in which a computer must answer.")
    ] = 10.0
    session_sync_retry_delay_sec: Annotated[
        float,
        Meta(gt=0, le=3600),
        says("For a slave: seconds before it tries again to reach the master."),
    ] = 1.0
    session_sync_allow_bypass: Annotated[
        bool, says("Whether the operator may go on without those who are missing.")
    ] = False

    sound_on_end: Annotated[bool, says("Whether the end is announced by a sound.")] = False
    rehearsal_duration_s: Annotated[Seconds, says("Seconds that a rehearsal's stand-in plays.")] = (
        3.0
    )

    others: dict[str, Any] = {}

    @classmethod
    def read(cls, values: Mapping[str, Any], place: Callable[[str], str] = lambda _: "") -> Self:
        """The parameters that `values` give; the others have their defaults.

        Args:
            values: key → what JSON can hold, keys in the spelling used here.
            place: where the value of a key came from, for the words of an error.

        Raises:
            ParameterError: with every fault of every value.
        """
        known = {key: value for key, value in values.items() if key in FIELDS}
        others = {key: value for key, value in values.items() if key not in FIELDS}
        read = read_record(known, cls, FIELDS, place)
        return msgspec.structs.replace(read, others=others)

    def values(self, only: Collection[str] | None = None) -> dict[str, Any]:
        """Every value by its key, as JSON can hold it.

        Args:
            only: the keys that are wanted; all of them when None.
        """
        values: dict[str, Any] = msgspec.to_builtins(self)
        values |= values.pop("others")
        return {key: value for key, value in values.items() if only is None or key in only}


FIELDS = types.MappingProxyType(
    {name: field for name, field in fields_of(Parameters).items() if name != "others"}
)
"""The keys that are checked, to what they take."""

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

KNOWN_KEYS = frozenset([*FIELDS, *PASSED_ON, *SPELLINGS])

PATH_FIELDS = frozenset(name for name, field in FIELDS.items() if field.read is read_path)
"""The keys whose values are paths."""


def canonical(key: str) -> str:
    """The spelling of `key` used here; an unknown key is its own."""
    return SPELLINGS.get(key, key)


def keeps_text(key: str) -> bool:
    """Whether a value of this key is text, so that `00123` must not become a number."""
    field = FIELDS.get(canonical(key))
    return field is not None and field.bare in (str, str | None)


def holds_keys(key: str) -> bool:
    """Whether a value of this key is an object with keys of its own, or may be one."""
    field = FIELDS.get(canonical(key))
    return field is None or get_origin(field.bare) is dict


def json_schema() -> dict[str, Any]:
    """The JSON Schema of parameter files, for editors: both spellings, other keys allowed."""
    defined = msgspec.json.schema(Parameters)["$defs"]
    properties: dict[str, Any] = defined.pop("Parameters")["properties"]
    properties.pop("others")
    for key, field in FIELDS.items():
        if field.schema is not None:
            said = {"description": properties[key]["description"], "default": field.default}
            properties[key] = {**said, **field.schema}
    properties |= {key: {"description": meaning} for key, meaning in PASSED_ON.items()}
    for other, key in SPELLINGS.items():
        properties[other] = {**properties[key], "description": f"Other spelling of {key}."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "OpenScope parameter file",
        "type": "object",
        "properties": properties,
        "additionalProperties": True,
        "$defs": defined,
    }
