"""The checks before a session: what was planned, looked at without changing anything."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .engines import Launch
from .errors import Finding
from .locks import ProcessLock, is_held
from .parameters.model import PATH_FIELDS
from .parameters.paths import drive_error, on_missing_drive
from .parameters.placeholders import SLOT_FOLDER
from .plan import Plan
from .session.folder import session_name
from .session.state import has_launcher, locks_folder, runs_folder
from .supervision.strays import live_runs

if TYPE_CHECKING:
    from .parameters.model import Parameters

_LONGEST_PATH_WINDOWS = 260
_LONGEST_NAME_BYTES = 255
_LONGEST_COMMAND_WINDOWS = 32767
_LONGEST_ARGUMENT_LINUX = 131072
_ACQUISITION_KEYS = (
    "script_parameters",
    "script_arguments",
    "bonsai_arguments",
    "python_arguments",
    "command",
)
_RESTART_KEYS = (
    r"SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
    r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
)
"""Keys of HKEY_LOCAL_MACHINE that Windows Update and its component store make while a restart is
due, and that go with the restart."""
_WAIT = "Wait for its end, or stop it in its own window."
_ROOM_FOR_FILES = 60  # experiment_metadata/… and the log's name below the session folder


def check_plan(plan: Plan, *, allow_dirty: bool = False) -> list[Finding]:
    """All findings on a plan, in the order in which things would happen.

    Args:
        plan: the plan.
        allow_dirty: whether edits in the checkout are meant to run.
    """
    findings: list[Finding] = []
    if plan.code is not None:
        findings += plan.code.check(allow_dirty=allow_dirty)
    else:
        findings.append(
            Finding(
                "warning",
                "repository-none",
                "No repository is named, so nothing proves which code ran.",
                where="repository_url",
                fix="Keep the experiment in a git repository and name it.",
            )
        )
    findings += plan.engine.check(plan.parameters, plan.source, plan.launch)
    if plan.parameters.pre_acquisition_pipeline or plan.parameters.post_acquisition_pipeline:
        from .steps.pipeline import check_steps

        findings += check_steps(plan.parameters, plan.source, rehearsal=plan.rehearsal)
    findings += check_launch(plan.launch)
    findings += [found for found in check_paths(plan.parameters) if found not in findings]
    findings += check_output(plan)
    findings += _check_sync(plan)
    findings += check_rig(plan)
    if not plan.rehearsal:
        findings += check_serial_ports(plan)
        findings += check_restart()
    return findings


def check_restart() -> list[Finding]:
    """Whether Windows waits for a restart for its updates, and may do it by itself."""
    if sys.platform != "win32":
        return []
    import winreg

    for key in _RESTART_KEYS:
        try:
            access = winreg.KEY_READ | winreg.KEY_WOW64_64KEY
            winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key, 0, access).Close()
        except OSError:
            continue
        return [
            Finding(
                "warning",
                "restart-pending",
                "Windows waits for a restart to finish its updates, and may restart by itself.",
                where=rf"HKEY_LOCAL_MACHINE\{key}",
                fix="Restart the computer before the session, or pause its updates.",
            )
        ]
    return []


def _check_sync(plan: Plan) -> list[Finding]:
    if plan.sync_node:
        from .sync.checks import check_sync

        return check_sync(plan)
    if plan.parameters.session_sync_role is None:
        return []
    words = "A rehearsal does not wait for the other computers; with --sync it does."
    return [Finding("ok", "sync-not-rehearsed", words, where="session_sync_role")]


def check_launch(launch: Launch) -> list[Finding]:
    """Whether the system can carry the command line at all."""
    problems: list[Finding] = []
    for number, argument in enumerate(launch.arguments):
        text = argument.replace(SLOT_FOLDER, "")
        wrong = _why_not_carried(text)
        if wrong:
            problems.append(
                Finding(
                    "error",
                    "argument-unusable",
                    f"An argument of the acquisition {wrong}.",
                    where=f"argument {number}: {text[:60]!r}",
                    fix="Change the parameter it comes from; put long data into a file.",
                )
            )
    length = sum(len(argument) + 3 for argument in launch.arguments)
    if sys.platform == "win32" and length > _LONGEST_COMMAND_WINDOWS:
        problems.append(
            Finding(
                "error",
                "command-line-too-long",
                f"The command line has {length} characters; Windows carries 32,767.",
                fix="Put long values into a file of the repository.",
            )
        )
    return problems


def _why_not_carried(argument: str) -> str:
    if "\0" in argument.replace("\0session_uuid\0", "").replace("\0output_root_folder\0", ""):
        return "holds a NUL character"
    try:
        size = len(argument.encode("utf-8"))
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is no character"
    if sys.platform != "win32" and size >= _LONGEST_ARGUMENT_LINUX:
        return f"has {size} bytes; the system carries {_LONGEST_ARGUMENT_LINUX - 1}"
    return ""


def check_paths(parameters: Parameters) -> list[Finding]:
    """Errors for paths on drives and shares, where the system has neither."""
    values = {key: getattr(parameters, key) or "" for key in sorted(PATH_FIELDS)}
    return [
        drive_error(f"{key}: {value}") for key, value in values.items() if on_missing_drive(value)
    ]


def check_output(plan: Plan) -> list[Finding]:
    """Whether the session folder can be made, and how much room is there."""
    root = plan.output_root
    if on_missing_drive(plan.parameters.output_root_folder or ""):
        return []  # it has been refused with the other paths
    try:
        existing = next((p for p in (root, *root.parents) if p.exists()), None)
    except OSError as error:  # a name that is too long, a loop of links
        words = f"The output folder cannot be used: {error.strerror}."
        return [_output_error(words, root, "Choose another folder.")]
    if existing is None:
        return [_output_error("The drive of the output folder is not there.", root, "Connect it.")]
    if not existing.is_dir():
        return [_output_error("The output folder is a file.", existing, "Choose another folder.")]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [_output_error("The output folder cannot be written to.", existing, "Ask for it.")]
    problems = _name_problems(plan)
    if problems:
        return problems
    free = shutil.disk_usage(existing).free
    reserve_gb = plan.limits.get("disk_reserve_gb") or 0.0
    if free < reserve_gb * 1e9:
        words = (
            f"The output folder's disk has {free / 1e9:.1f} GB free; "
            f"{reserve_gb:g} GB are kept for records."
        )
        return [_output_error(words, root, "Make room, or choose another disk.", "disk-full")]
    return [_room_finding(plan, free, reserve_gb)]


def _room_finding(plan: Plan, free: int, reserve_gb: float) -> Finding:
    from .session.estimate import SAME_EXPERIMENT, estimate_room

    root, words = plan.output_root, f"The output folder has {free / 1e9:.0f} GB free"
    parameters = plan.parameters
    expected = sum(item.min_mb_per_min or 0.0 for item in parameters.expect.values())
    keys = {*SAME_EXPERIMENT, "max_duration_s"}
    values = parameters.values(keys)
    estimate = None if plan.rehearsal else estimate_room(root, values, expected)
    if estimate is None:
        return Finding("ok", "output-folder", f"{words}.", str(root))
    words += f"; this session may need {estimate.size / 1e9:.1f} GB ({estimate.words})"
    if estimate.size <= free - reserve_gb * 1e9:
        return Finding("ok", "output-folder", f"{words}.", str(root))
    fix = (
        f"Make room, or choose another disk: the acquisition is stopped when {reserve_gb:g} GB "
        "are left (disk_reserve_gb)."
    )
    return Finding("warning", "disk-may-fill", f"{words}.", f"output_root_folder: {root}", fix)


def _output_error(
    message: str, path: Path, fix: str, code: str = "output-folder-unusable"
) -> Finding:
    return Finding("error", code, message, where=f"output_root_folder: {path}", fix=fix)


def _name_problems(plan: Plan) -> list[Finding]:
    from datetime import datetime

    name = session_name(plan.parameters.subject_id or "", datetime.now().astimezone())
    if len(name.encode()) > _LONGEST_NAME_BYTES:
        words = f"The session folder's name would have {len(name.encode())} bytes; 255 are allowed."
        return [_output_error(words, Path(name), "Shorten the subject id.", "name-too-long")]
    length = len(str(plan.output_root / name)) + _ROOM_FOR_FILES
    if sys.platform == "win32" and length > _LONGEST_PATH_WINDOWS:
        words = (
            f"Paths in the session folder would have over {length} characters; Windows carries 260."
        )
        return [_output_error(words, plan.output_root, "Use a shorter folder.", "path-too-long")]
    return []


def check_serial_ports(plan: Plan) -> list[Finding]:
    """Warnings for serial ports that the acquisition's own parameters name and that are not here.

    Only warnings: a device that is plugged in later gets its port then.
    """
    from .ports import missing_port, named_ports

    named = [
        found
        for key in _ACQUISITION_KEYS
        for found in named_ports(getattr(plan.parameters, key), key)
    ]
    return [
        Finding(
            "warning",
            "serial-port-missing",
            f"The serial port {name} is not there: {why}.",
            where=place,
            fix="Connect and switch on the device, or correct the port's name.",
        )
        for name, place in named
        if (why := missing_port(name))
    ]


def rig_lock(rig_id: str, sync_node: str = "") -> ProcessLock:
    """The lock that lets one session at a time run on a rig, or on one node of a rig that several
    computers or launchers share."""
    node = f"--node-{_file_name(sync_node)}" if sync_node else ""
    return ProcessLock(locks_folder() / f"rig-{_file_name(rig_id)}{node}.lock")


def held_beside(rig_id: str, sync_node: str) -> ProcessLock | None:
    """A lock on the same rig that excludes this one and is held: a session alone excludes the
    nodes of a shared one, and they exclude it, but not one another."""
    if sync_node:
        others = [rig_lock(rig_id)]
    else:
        files = locks_folder().glob(f"rig-{_file_name(rig_id)}--node-*.lock")
        others = [ProcessLock(file) for file in files]
    return next((lock for lock in others if is_held(lock.path)), None)


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)[:80]


def check_rig(plan: Plan) -> list[Finding]:
    """Whether another session holds the rig or the checkout."""
    busy = busy_findings(plan)
    # A session that runs holds its rig's lock too: it is one problem, and this knows its name.
    return busy if any(found.code == "rig-busy" for found in busy) else busy + _held_findings(plan)


def busy_findings(plan: Plan) -> list[Finding]:
    """Errors for acquisitions that run on this rig or from this checkout, their launchers alive or
    not."""
    checkout = str(plan.code.path) if plan.code else ""
    findings = []
    for run in live_runs(runs_folder()):
        session, user = run.get("session_uuid", "?"), run.get("user_id", "")
        attended = has_launcher(Path(run.get("session_folder", "")))
        ways = _WAIT if attended else _ways_without_launcher(session)
        if _excludes(run, plan):
            findings.append(_busy(session, run.get("rig_id", ""), user, ways))
        elif checkout and run.get("checkout") == checkout:
            findings.append(_checkout_busy(session, checkout, user, ways))
    return list(dict.fromkeys(findings))  # a session may have several runs


def _ways_without_launcher(session: str) -> str:
    return (
        f"Its launcher was lost. Go on with it: openscope attach {session}; "
        f"or end it: openscope stop {session}"
    )


def _excludes(run: Mapping[str, Any], plan: Plan) -> bool:
    if run.get("rig_id") != plan.rig_id:
        return False
    nodes = (run.get("sync_node", ""), plan.sync_node)
    return not all(nodes) or nodes[0] == nodes[1]


def _held_findings(plan: Plan) -> list[Finding]:
    lock: ProcessLock | None = rig_lock(plan.rig_id, plan.sync_node)
    if lock is not None and lock.acquire():
        lock.release()
        lock = held_beside(plan.rig_id, plan.sync_node)
    if lock is None:
        return []
    holder = lock.holder()
    subject = holder.get("session")  # its folder may not be there yet
    session = f"a session of {subject}" if subject else "another session"
    return [_busy(session, plan.rig_id, holder.get("user", ""), _WAIT)]


def _busy(session: str, rig_id: str, user: str, ways: str) -> Finding:
    by = f" started by {user}" if user else ""
    return Finding(
        "error",
        "rig-busy",
        f"The rig is in use: {session}{by} is running.",
        where=f"rig {rig_id}",
        fix=ways,
    )


def _checkout_busy(session: str, checkout: str, user: str, ways: str) -> Finding:
    by = f" started by {user}" if user else ""
    return Finding(
        "error",
        "checkout-busy",
        f"The checkout is in use: {session}{by} is running from it.",
        where=checkout,
        fix=f"{ways.removesuffix('.')}; or give this file another folder: local_repository_path.",
    )
