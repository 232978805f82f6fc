"""The code that a session ran, as `Code` of the schema: the experiment's and the launcher's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from ...masking import mask_text
from ...session.past import as_object
from .facts import Facts

LAUNCHER = "openscope-experimental-launcher"

_COMMIT = re.compile(r"[0-9a-fA-F]{7,60}")
"""What the schema takes for a commit's hash; those of a SHA-256 repository are longer."""

_LANGUAGES = {"bonsai": "Bonsai", "python": "Python", "matlab": "MATLAB"}
_PARAMETERS = {
    "python": ("script_parameters", "script_arguments"),
    "bonsai": ("script_parameters", "bonsai_arguments"),
    "matlab": ("matlab_entrypoint_args", "matlab_entrypoint_kwargs"),
    "command": ("command",),
}


def experiment_code(facts: Facts) -> dict[str, Any] | None:
    """The experiment's code; None when nothing of it is known."""
    repository = _repository(facts)
    script = _slashes(facts.past.plan.get("script") or facts.values.get("script_path"))
    if not repository and not script:
        return None
    acquisition = as_object(facts.past.environment.get("acquisition"))
    found: dict[str, Any] = {
        "object_type": "Code",
        "url": mask_text(str(repository.get("url") or _file_address(script))),
        "name": _name(str(repository.get("url") or script)),
        **_identity(str(repository.get("commit") or ""), _checksum(facts)),
        "run_script": _inside(script, _slashes(repository.get("path"))) or None,
        "language": _LANGUAGES.get(facts.launcher),
        "language_version": _language_version(facts.launcher, acquisition),
        "core_dependency": _bonsai(acquisition) if facts.launcher == "bonsai" else None,
        "parameters": _parameters(facts),
    }
    return {key: value for key, value in found.items() if value is not None}


def repository_file_code(facts: Facts, file: str) -> dict[str, Any] | None:
    """The code of a step that is a file of the experiment's repository."""
    code = experiment_code(facts)
    if code is None:
        return None
    keys = ("object_type", "url", "name", "commit_hash", "version")
    kept: dict[str, Any] = {key: code[key] for key in keys if key in code}
    return {**kept, "run_script": file, "language": "Python"}


def launcher_code(facts: Facts) -> dict[str, Any]:
    """The launcher's own."""
    opened, environment = facts.past.record.opened, facts.past.environment
    own = as_object(environment.get("launcher"))
    version = str(own.get("version") or opened.get("launcher_version") or "")
    commit = str(own.get("commit") or "")
    told = {key: opened.get(key) for key in ("launcher", "parameter_file", "params_checksum")}
    return {
        "object_type": "Code",
        # A package URL, when it is not known where its repository is.
        "url": str(own.get("url") or f"pkg:pypi/{LAUNCHER}@{version}"),
        "name": LAUNCHER,
        "version": version,
        **({"commit_hash": commit} if _COMMIT.fullmatch(commit) else {}),
        "language": "Python",
        "language_version": str(environment.get("python") or "").partition(" ")[0] or None,
        "parameters": {key: value for key, value in told.items() if value},
    }


def _repository(facts: Facts) -> Mapping[str, Any]:
    past = facts.past
    return past.repository or past.record.repository or as_object(past.plan.get("repository"))


def _identity(commit: str, checksum: str) -> dict[str, str]:
    if _COMMIT.fullmatch(commit):
        return {"commit_hash": commit}
    if commit:
        return {"version": commit}
    return {"version": f"sha256:{checksum}"} if checksum else {}


def _checksum(facts: Facts) -> str:
    return str(facts.past.plan.get("script_sha256") or "")


def _language_version(launcher: str, acquisition: Mapping[str, Any]) -> str | None:
    if launcher == "bonsai":
        return _bonsai_version(acquisition) or None
    return str(acquisition.get(launcher) or "").partition(" ")[0] or None


def _bonsai(acquisition: Mapping[str, Any]) -> dict[str, Any]:
    version = _bonsai_version(acquisition)
    return {"object_type": "Software", "name": "Bonsai", "version": version or None}


def _bonsai_version(acquisition: Mapping[str, Any]) -> str:
    packages = as_object(acquisition.get("packages"))
    return str(packages.get("Bonsai") or packages.get("Bonsai.Core") or "")


def _parameters(facts: Facts) -> dict[str, Any] | None:
    keys = _PARAMETERS.get(facts.launcher, ("script_parameters",))
    given = {key: facts.values.get(key) for key in keys if facts.values.get(key)}
    named = given.pop("script_parameters", None)
    return {**(named if isinstance(named, dict) else {}), **given} or None


def _slashes(path: Any) -> str:
    return str(path or "").replace("\\", "/")


def _inside(script: str, folder: str) -> str:
    """`script` below `folder`; as it is when it is not below it."""
    begin = folder.rstrip("/") + "/"
    inside = bool(folder) and script.lower().startswith(begin.lower())
    return script[len(begin) :] if inside else script


def _name(address: str) -> str:
    return PurePosixPath(_slashes(address).rstrip("/")).name.removesuffix(".git")


def _file_address(path: str) -> str:
    return "file://" + quote(path if path.startswith("/") else f"/{path}", safe="/:")
