"""The plan: what a session will do, exactly, before anything is done.

`check` shows it, `run` carries it out, the metadata quotes it. Making one starts and writes
nothing. The session folder is not known yet: a slot stands for it, bound once when it is claimed.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .engines import Engine, Launch, Source
from .masking import mask_arguments, mask_text, mask_values
from .parameters.paths import rehearsal_path
from .parameters.placeholders import SLOT_FOLDER, SLOT_UUID, bind, show

if TYPE_CHECKING:
    from .parameters.layers import Loaded
    from .parameters.model import Parameters
    from .repository import Resolved

DEFAULT_OUTPUT_DIR = "data"

_LIMITS = (
    "kill_threshold",
    "memory_limit_mb",
    "max_processes",
    "max_duration_s",
    "disk_reserve_gb",
    "hang_timeout_s",
    "on_hang",
    "expect",
)


class Plan(NamedTuple):
    """One session, resolved.

    Attributes:
        parameters: the session's parameters, with slots where the session folder belongs.
        origins: where each parameter's value comes from.
        code: the experiment's repository at its commit; None when there is none.
        source: the experiment's files at that commit.
        engine: what launches and judges the acquisition.
        launch: what will be started, with slots.
        script_checksum: SHA-256 of the workflow or script; empty when there is none.
        limits: fields of the supervision's limits.
        output_root: absolute folder in which the session folder will be made.
        rig_id: the rig's name, for its lock and the records.
        parameter_file: absolute path of the parameter file; None without one.
        rehearsal: whether a stand-in plays the acquisition.
        sync_node: this computer's name among those that share the session; empty when it is alone.
    """

    parameters: Parameters
    origins: Mapping[str, str]
    code: Resolved | None
    source: Source
    engine: Engine
    launch: Launch
    script_checksum: str
    limits: Mapping[str, Any]
    output_root: Path
    rig_id: str
    parameter_file: Path | None
    rehearsal: bool
    sync_node: str = ""

    def bound_launch(self, session_folder: Path) -> Launch:
        """The launch with the session folder in its place."""
        return bind_launch(self.launch, session_folder)

    def as_json(self) -> dict[str, Any]:
        """The plan as a JSON object, secrets masked, slots shown as `{name}`."""
        return {
            "subject_id": self.parameters.subject_id,
            "user_id": self.parameters.user_id,
            "rig_id": self.rig_id,
            "protocol_id": self.parameters.protocol_id,
            "rehearsal": self.rehearsal,
            "parameter_file": str(self.parameter_file) if self.parameter_file else None,
            "output_root": str(self.output_root),
            "repository": _code_as_json(self.code),
            "launcher": self.engine.name,
            "arguments": [show(text) for text in mask_arguments(list(self.launch.arguments))],
            "working_directory": show(self.launch.folder),
            "environment": {
                name: show(value) for name, value in mask_values(self.launch.environment).items()
            },
            "script": show(str(self.launch.script)) if self.launch.script else None,
            "script_sha256": self.script_checksum or None,
            "stop": {"how": self.launch.ask.how, "loses": self.launch.ask.loses},
            "session_sync": self._sync_as_json(),
            "limits": dict(self.limits),
            "before": mask_values(self.parameters.pre_acquisition_pipeline),
            "after": mask_values(self.parameters.post_acquisition_pipeline),
        }

    def _sync_as_json(self) -> dict[str, Any] | None:
        if not self.sync_node:
            return None
        asked = self.parameters
        common = {"role": asked.session_sync_role, "node": self.sync_node}
        secret = {"authenticated": bool(asked.session_sync_secret_file)}
        if asked.session_sync_role == "master":
            at = {"address": asked.session_sync_bind_host, "port": asked.session_sync_port}
            return {**common, **at, "slaves": asked.session_sync_expected_slaves, **secret}
        at = {"address": asked.session_sync_master_host, "port": asked.session_sync_port}
        return {**common, **at, **secret}


def make_plan(
    loaded: Loaded,
    *,
    engine: Engine,
    source: Source,
    code: Resolved | None,
    rehearsal: bool = False,
    sync: bool = True,
) -> Plan:
    """Turn what was asked into what will happen.

    Args:
        loaded: the parameters in their layers.
        engine: the engine that `launcher` names.
        source: the experiment's files.
        code: the repository's resolved commit, None without a repository.
        rehearsal: plan a rehearsal: a stand-in plays, outputs go below `./rehearsal/`.
        sync: agree with the other computers when the parameters name a role among them.

    Raises:
        EngineError: the parameters describe nothing that can be started.
    """
    parameters = loaded.parameters
    launch = engine.prepare(parameters, source, SLOT_FOLDER, rehearsal=rehearsal)
    environment = {**session_variables(parameters, rehearsal), **launch.environment}
    return Plan(
        parameters=parameters,
        origins=loaded.origins,
        code=code,
        source=source,
        engine=engine,
        launch=launch._replace(environment=environment),
        script_checksum=_checksum(source, launch.script),
        # What plays in a rehearsal is a stand-in, which writes none of the real files.
        limits=parameters.values(_LIMITS) | ({"expect": {}} if rehearsal else {}),
        output_root=output_root(parameters.output_root_folder, rehearsal=rehearsal),
        rig_id=parameters.rig_id or platform.node(),
        parameter_file=loaded.file.absolute() if loaded.file else None,
        rehearsal=rehearsal,
        sync_node=_sync_node(parameters) if sync else "",
    )


def _sync_node(parameters: Parameters) -> str:
    if parameters.session_sync_role is None:
        return ""
    return parameters.session_sync_node_name or platform.node()


def session_variables(parameters: Parameters, rehearsal: bool) -> dict[str, str]:
    """The variables that tell every acquisition which session it belongs to."""
    variables = {
        "OPENSCOPE_SESSION_DIRECTORY": SLOT_FOLDER,
        "OPENSCOPE_SESSION_UUID": SLOT_UUID,
        "OPENSCOPE_SUBJECT_ID": parameters.subject_id or "",
        "OPENSCOPE_USER_ID": parameters.user_id or "",
        "OPENSCOPE_PARAMETERS_FILE": f"{SLOT_FOLDER}/experiment_metadata/processed_parameters.json",
    }
    return variables | ({"OPENSCOPE_REHEARSAL": "1"} if rehearsal else {})


def bind_launch(launch: Launch, session_folder: Path) -> Launch:
    """`launch` with `session_folder` in every slot."""

    def bound(text: str) -> str:
        filled: str = bind(text, str(session_folder), session_folder.name)
        return filled

    return launch._replace(
        arguments=tuple(bound(text) for text in launch.arguments),
        folder=bound(launch.folder),
        environment={name: bound(value) for name, value in launch.environment.items()},
        ask=launch.ask._replace(stop_file=bound(launch.ask.stop_file)),
    )


def output_root(named: str | None, *, rehearsal: bool) -> Path:
    """The absolute folder of all sessions: the one named, else `./data`; in a rehearsal, whose
    parameters name a folder below `./rehearsal/` already, the default one below it."""
    if rehearsal and not named:
        return rehearsal_path(DEFAULT_OUTPUT_DIR)
    return Path(named or DEFAULT_OUTPUT_DIR).expanduser().absolute()


def _checksum(source: Source, script: Path | None) -> str:
    if script is None:
        return ""
    try:
        return hashlib.sha256(source.read(script)).hexdigest()
    except OSError:
        return ""  # the engine's check says that it is missing


def _code_as_json(code: Resolved | None) -> dict[str, Any] | None:
    if code is None:
        return None
    return {
        "url": mask_text(code.url),
        "ref": code.ref,
        "commit": code.commit,
        "path": str(code.path),
        "dirty": code.working is not None and bool(code.working.edited),
    }
