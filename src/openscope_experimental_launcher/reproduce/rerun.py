"""The same session again: its parameters at its commit, and what cannot be the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from ..errors import Finding, SessionError
from ..masking import MASK, mask_values
from ..metadata.machine import environment, platform_info
from ..parameters.placeholders import bind
from ..plan import DEFAULT_OUTPUT_DIR, Plan
from ..repository import current_patch
from ..session.comparing import changed
from ..session.past import PastSession, as_object
from .difference import packages_in_words

_FOLDERS_BELOW_THE_START = (
    "output_root_folder",
    "local_repository_path",
    "config_path",
    "rig_config_path",
    "centralized_log_directory",
)

_NOT_COMPARED = (*_FOLDERS_BELOW_THE_START, "repository_commit_hash", "rehearsal")


def parameters_again(past: PastSession, started_in: Path) -> dict[str, Any]:
    """The parameters of a session as one object: what was given in all layers, the code pinned to
    the commit that ran, folders as they were meant then.

    Args:
        past: the session.
        started_in: the folder in which its launcher was started, where relative paths began.

    Raises:
        SessionError: the session did not record them.
    """
    if not past.given:
        raise SessionError(
            "The session did not record the parameters that were given to it.",
            code="rerun-parameters-missing",
            where=str(past.folder.metadata / "given_parameters.json"),
            fix="Run its parameter file again, at its commit: "
            f"--set repository_commit_hash={past.commit or 'COMMIT'}",
        )
    again = {key: value for key, value in past.given.items() if key != "rehearsal"}
    again.setdefault("output_root_folder", DEFAULT_OUTPUT_DIR)
    for key in _FOLDERS_BELOW_THE_START:
        rehearsed = key == "output_root_folder" and past.rehearsal  # below ./rehearsal once more
        if isinstance(again.get(key), str) and not rehearsed:
            again[key] = _absolute(again[key], started_in)
    if past.commit:
        again["repository_commit_hash"] = past.commit
        if MASK in str(again.get("repository_url")):
            again["repository_url"] = past.repository.get("url")
    elif not again.get("local_repository_path"):
        file = past.plan.get("parameter_file")
        again["local_repository_path"] = str(Path(str(file)).parent if file else started_in)
    return again


def _absolute(named: str, folder: Path) -> str:
    elsewhere = named.startswith(("{", "~")) or PureWindowsPath(named).is_absolute()
    return named if elsewhere else str(folder / named)


def what_differs(
    past: PastSession, launcher_version: str, *, allow_dirty: bool, given: Mapping[str, Any]
) -> list[Finding]:
    """What cannot be the same, as far as it is known before anything is looked for.

    Args:
        past: the session.
        launcher_version: this launcher's version.
        allow_dirty: whether edits in the checkout are meant to run.
        given: values that the command line gives.
    """
    return [
        *_code_findings(past, allow_dirty),
        *_secret_findings(past, given),
        *_software_findings(past, launcher_version),
        *_machine_findings(past),
    ]


def _code_findings(past: PastSession, allow_dirty: bool) -> Iterator[Finding]:
    if not past.commit:
        yield Finding(
            "warning",
            "rerun-no-repository",
            "The session had no repository, so nothing brings its code back.",
            where=past.name,
            fix="Compare the script's checksum, which is said below when it is another.",
        )
    elif past.edited:
        rebuild = rebuilding(past)
        yield Finding(
            "warning" if allow_dirty else "error",
            "rerun-edited",
            f"The session ran with edits that are in no commit: {', '.join(past.edited)}.",
            where=str(past.folder.metadata / "repository.patch"),
            fix=f"Its tree can be rebuilt: {rebuild}"
            + ("" if allow_dirty else "; then run it again with --allow-dirty"),
        )
    untracked = past.repository.get("untracked")
    if isinstance(untracked, list) and untracked:
        saved = past.folder.metadata / "repository_untracked"
        yield Finding(
            "warning",
            "rerun-untracked",
            f"The checkout held files that are in no commit: {', '.join(map(str, untracked))}.",
            where=str(past.repository.get("path", "")),
            fix=f"Those saved then are in {saved}." if saved.is_dir() else "They were not saved.",
        )


def rebuilding(past: PastSession) -> str:
    """The commands that rebuild the tree that ran, in a checkout of its repository."""
    folder = past.folder.metadata
    steps = [f"git checkout --detach {past.commit}"]
    if (folder / "repository.patch").is_file():
        steps.append(f'git apply --index "{folder / "repository.patch"}"')
    if (folder / "repository_untracked").is_dir():
        steps.append(f'copy the files of "{folder / "repository_untracked"}" over it')
    return "; ".join(steps)


def _secret_findings(past: PastSession, given: Mapping[str, Any]) -> Iterator[Finding]:
    for path, value in _texts(past.given, ""):
        top = path.partition(".")[0].partition("[")[0]
        hidden = MASK in value and top not in given
        if hidden and not (top == "repository_url" and past.commit):
            yield Finding(
                "error",
                "rerun-secret",
                f"The value of {path} is a secret and was not kept.",
                where=past.name,
                fix=f"Give it again: --set {path}=VALUE",
            )


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, f"{path}[{number}]")


def _software_findings(past: PastSession, launcher_version: str) -> Iterator[Finding]:
    now = environment(launcher_version, {})
    then = past.environment
    for key, words in (("launcher_version", "launcher"), ("python", "launcher's Python")):
        if then.get(key) and then[key] != now[key]:
            yield _other(f"The {words} is another: {then[key]} then, {now[key]} now.")
    packages = changed(as_object(then.get("packages")), now["packages"])
    if then and packages:
        yield _other(f"Packages of the launcher differ: {packages_in_words(packages)}.")


def _machine_findings(past: PastSession) -> Iterator[Finding]:
    then, now = as_object(past.runtime.get("platform")), platform_info()
    for key, words in (("computer_name", "computer"), ("os", "operating system")):
        was, is_now = then.get(key), now[key]
        if isinstance(is_now, tuple):
            is_now = list(is_now)
        if was and was != is_now:
            yield _other(f"The {words} is another: {_words(was)} then, {_words(is_now)} now.")


def _words(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _other(message: str) -> Finding:
    return Finding("warning", "rerun-differs", message)


def what_the_plan_changes(past: PastSession, plan: Plan, given: Mapping[str, Any]) -> list[Finding]:
    """What is not the same in the plan of the session to come.

    Args:
        past: the session.
        plan: the new one's plan.
        given: values that the command line gives, which were meant to be others.
    """
    return [
        *_script_findings(past, plan),
        *_edit_findings(past, plan),
        *_acquisition_findings(past, plan),
        *_parameter_findings(past, plan, {*_NOT_COMPARED, *given}),
    ]


def _script_findings(past: PastSession, plan: Plan) -> Iterator[Finding]:
    then = past.plan.get("script_sha256")
    if then and plan.script_checksum and then != plan.script_checksum:
        yield _other("The workflow or script is another: its checksum differs.")


def _edit_findings(past: PastSession, plan: Plan) -> Iterator[Finding]:
    working = plan.code.working if plan.code else None
    if past.patch and (working is None or current_patch(working.git) != past.patch):
        yield _other("The edits in the checkout are not those that the session ran with.")


def _acquisition_findings(past: PastSession, plan: Plan) -> Iterator[Finding]:
    then = as_object(past.environment.get("acquisition"))
    describe = getattr(plan.engine, "environment", None)
    if not then or plan.rehearsal or describe is None:
        return
    now = describe(plan.parameters, plan.source)
    packages = changed(as_object(then.get("packages")), as_object(now.get("packages")))
    if packages:
        yield _other(f"Packages of the acquisition differ: {packages_in_words(packages)}.")
    for key, value in changed(
        {key: value for key, value in then.items() if key != "packages"},
        {key: value for key, value in now.items() if key != "packages"},
    ).items():
        yield _other(f"The acquisition's {key} is another: {value[0]} then, {value[1]} now.")


def _parameter_findings(past: PastSession, plan: Plan, meant: set[str]) -> Iterator[Finding]:
    values = plan.parameters.values()
    now = mask_values(bind(values, str(past.original_folder), past.name))
    for key, (was, is_now) in changed(past.processed, now).items():
        if key.partition(".")[0] not in meant:
            yield _other(f"The parameter {key} is another: {was} then, {is_now} now.")
