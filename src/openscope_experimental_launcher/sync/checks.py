"""The checks before a shared session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ..errors import Finding, SyncError
from .guests import listen
from .settings import SyncSettings, secret_path, setting_problems, settings_from

if TYPE_CHECKING:
    from ..plan import Plan


def check_sync(plan: Plan) -> list[Finding]:
    """Whether this computer can take part in the session, as far as it can say alone."""
    problems = setting_problems(plan)
    if problems:
        return problems
    settings = settings_from(plan)
    findings = [*_check_secret(plan), *_check_port(settings)]
    if not any(finding.level == "error" for finding in findings):
        findings.append(Finding("ok", "sync-ready", _words(settings), where="session_sync_role"))
    return findings


def _words(settings: SyncSettings) -> str:
    if settings.role == "slave":
        return (
            f"This computer is the slave {settings.node}; the master at {settings.place} is "
            "asked when the session starts."
        )
    slaves = ", ".join(settings.slaves) or f"{settings.slave_count} slaves"
    return f"This computer is the master {settings.node}; it will wait for {slaves}."


def _check_port(settings: SyncSettings) -> list[Finding]:
    if settings.role == "slave":
        return []
    try:
        listen(settings).close()
    except SyncError as error:
        return list(error.findings)
    return []


def _check_secret(plan: Plan) -> list[Finding]:
    path = secret_path(plan)
    if path is None:
        return [
            Finding(
                "warning",
                "sync-unauthenticated",
                "There is no shared secret: whoever reaches the port can take part.",
                where="session_sync_secret_file",
                fix="Give all computers the same secret file, unless the network is only theirs.",
            )
        ]
    if sys.platform != "win32" and path.stat().st_mode & 0o077:
        return [
            Finding(
                "warning",
                "sync-secret-open",
                "Other users of this computer can read the shared secret.",
                where=f"session_sync_secret_file: {path}",
                fix=f"chmod 600 {path}",
            )
        ]
    return []
