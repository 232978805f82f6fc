"""What a computer must know to take part in a shared session, taken from the parameters."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..errors import Finding, SyncError

if TYPE_CHECKING:
    from ..plan import Plan

SHORTEST_SECRET = 16
"""Bytes; who listens to the network can try shorter ones out."""

LONGEST_NODE = 100
"""Characters of a node's name."""

_LARGEST_SECRET_FILE = 65536


class SyncSettings(NamedTuple):
    """This computer's part in a shared session.

    Attributes:
        role: `master` or `slave`.
        node: this computer's name in it.
        host: what the computer calls itself.
        address: on which the master listens, or where a slave finds it.
        port: TCP port of the master.
        slaves: names of the slaves the master waits for; empty when only their number is known.
        slave_count: how many slaves the master waits for.
        key: what all computers must agree on, as text.
        key_name: what that is, in words.
        subject: the animal, as this computer has it.
        same_subject: whether another subject is refused. It is not when the parameter file names
            something else that must agree.
        rehearsal: whether this is one; a rehearsal and a session never agree.
        secret: by which the computers know each other; None for none.
        timeout_s: to wait for all computers.
        ack_timeout_s: in which a computer must answer.
        retry_delay_s: before a slave tries again.
        allow_bypass: whether the operator may go on without those who are missing.
    """

    role: Literal["master", "slave"]
    node: str
    host: str
    address: str
    port: int
    slaves: tuple[str, ...]
    slave_count: int
    key: str
    key_name: str
    subject: str
    same_subject: bool
    rehearsal: bool
    secret: bytes | None
    timeout_s: float
    ack_timeout_s: float
    retry_delay_s: float
    allow_bypass: bool

    @property
    def place(self) -> str:
        """The master's address and port, in words."""
        return f"{self.address} port {self.port}"


def settings_from(plan: Plan) -> SyncSettings:
    """This computer's part, from a plan whose parameters name a role.

    Raises:
        SyncError: with everything that is missing or cannot be used.
    """
    problems = list(setting_problems(plan))
    if problems:
        raise SyncError.from_findings("This computer cannot take part in the session.", problems)
    parameters = plan.parameters
    is_master = parameters.session_sync_role == "master"
    slaves = parameters.session_sync_expected_slaves
    names = tuple(slaves) if isinstance(slaves, list) else ()
    own_key = parameters.session_sync_session_key
    key_name = "session_sync_session_key" if own_key else parameters.session_sync_key_param
    return SyncSettings(
        role="master" if is_master else "slave",
        node=plan.sync_node,
        host="".join(filter(str.isprintable, platform.node()))[:100],
        address=parameters.session_sync_bind_host
        if is_master
        else parameters.session_sync_master_host or "",
        port=parameters.session_sync_port,
        slaves=names,
        slave_count=len(names) or int(slaves or 0),
        key=own_key or _key_value(plan) or "",
        key_name=key_name,
        subject=parameters.subject_id or "",
        same_subject=key_name == "subject_id",
        rehearsal=plan.rehearsal,
        secret=read_secret(plan),
        timeout_s=parameters.session_sync_timeout_sec,
        ack_timeout_s=parameters.session_sync_ack_timeout_sec,
        retry_delay_s=parameters.session_sync_retry_delay_sec,
        allow_bypass=parameters.session_sync_allow_bypass,
    )


def setting_problems(plan: Plan) -> list[Finding]:
    """Errors for what is missing or cannot be used."""
    parameters = plan.parameters
    problems: list[Finding] = []
    if parameters.session_sync_role == "master" and not parameters.session_sync_expected_slaves:
        problems.append(
            Finding(
                "error",
                "sync-incomplete",
                "The master does not know which slaves to wait for.",
                where="session_sync_expected_slaves",
                fix='Write their names: ["camera", "stimulus"], or how many they are.',
            )
        )
    if parameters.session_sync_role == "slave" and not parameters.session_sync_master_host:
        problems.append(
            Finding(
                "error",
                "sync-incomplete",
                "The slave does not know where its master is.",
                where="session_sync_master_host",
                fix="Write the name or address of the master's computer.",
            )
        )
    if not plan.sync_node.isprintable() or len(plan.sync_node) > LONGEST_NODE:
        problems.append(
            Finding(
                "error",
                "sync-node-invalid",
                f"The node's name must be one line of 1 to {LONGEST_NODE} visible characters.",
                where="session_sync_node_name",
                fix='Give a short one, as in "camera".',
            )
        )
    slaves = parameters.session_sync_expected_slaves
    if parameters.session_sync_role == "master" and plan.sync_node in _names(slaves):
        problems.append(
            Finding(
                "error",
                "sync-node-twice",
                f"The master has the name of one of its slaves: {plan.sync_node}.",
                where="session_sync_node_name",
                fix="Give each computer a name of its own.",
            )
        )
    if not parameters.session_sync_session_key and not _key_value(plan):
        problems.append(
            Finding(
                "error",
                "sync-key-missing",
                "What all computers must agree on has no value: "
                f"{parameters.session_sync_key_param}.",
                where=f"session_sync_key_param: {parameters.session_sync_key_param}",
                fix="Give that key, or session_sync_session_key.",
            )
        )
    try:
        read_secret(plan)
    except SyncError as error:
        problems += error.findings
    return problems


def _names(slaves: object) -> list[str]:
    return slaves if isinstance(slaves, list) else []


def _key_value(plan: Plan) -> str | None:
    """The value of the key that all computers must agree on, as text."""
    parameters = plan.parameters
    key = parameters.session_sync_key_param
    value = parameters.values().get(key)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def fingerprint(text: str) -> str:
    """What two computers compare instead of a text of any length (SHA-256)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def secret_path(plan: Plan) -> Path | None:
    """The file of the shared secret. A relative path starts at the parameter file's folder."""
    named = plan.parameters.session_sync_secret_file
    if not named:
        return None
    folder = plan.parameter_file.parent if plan.parameter_file else Path.cwd()
    return folder / Path(named).expanduser()


def read_secret(plan: Plan) -> bytes | None:
    """The shared secret, without white space around it; None when no file is named.

    Raises:
        SyncError: the file cannot be read, or what is in it is no secret.
    """
    path = secret_path(plan)
    if path is None:
        return None
    try:
        with path.open("rb") as stream:
            secret = stream.read(_LARGEST_SECRET_FILE).strip()
    except OSError as error:
        raise SyncError(
            f"The shared secret cannot be read: {error.strerror or error}",
            code="sync-secret-unreadable",
            where=f"session_sync_secret_file: {path}",
            fix="Copy the file from the master's computer, and make it readable for this user.",
        ) from error
    if len(secret) < SHORTEST_SECRET:
        raise SyncError(
            f"The shared secret has {len(secret)} characters; fewer than {SHORTEST_SECRET} can be "
            "guessed.",
            code="sync-secret-short",
            where=f"session_sync_secret_file: {path}",
            fix='Make one: python -c "import secrets; print(secrets.token_hex(32))"',
        )
    return secret
