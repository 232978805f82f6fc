"""Which code of the launcher itself runs, read from files: no process is started to find out."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

from ..masking import mask_text

_PACKAGE = Path(__file__).parents[1]
_REMOTE = re.compile(r'\[remote "origin"\][^\[]*?^\s*url\s*=\s*(\S+)', re.MULTILINE)


def launcher_code(version: str, package: Path = _PACKAGE) -> dict[str, str]:
    """Version of the launcher and, where they are known, `commit` and `url` of its repository:
    it was installed from one (PEP 610), or runs from a checkout.

    Args:
        version: the launcher's version.
        package: folder of its package.
    """
    found = {"version": version}
    with suppress(OSError, ValueError, KeyError, TypeError):
        found |= _installed_from(package, version)
        return found
    with suppress(OSError, ValueError):
        found |= _checked_out(package)
    return found


def _installed_from(package: Path, version: str) -> dict[str, str]:
    name = f"{package.name}-{version}.dist-info"
    origin = json.loads((package.parent / name / "direct_url.json").read_bytes())
    return {"commit": origin["vcs_info"]["commit_id"], "url": mask_text(origin["url"])}


def _checked_out(package: Path) -> dict[str, str]:
    git = package.parents[1] / ".git"  # src/ is between them
    if git.is_file():  # of a worktree
        git = git.parent / git.read_text("utf-8").partition("gitdir:")[2].strip()
    shared = git
    if (git / "commondir").is_file():
        shared = git / (git / "commondir").read_text("utf-8").strip()
    head = (git / "HEAD").read_text("utf-8").strip()
    ref = head.partition("ref: ")[2]
    found = {"commit": _of_ref(ref, git, shared) if ref else head}
    remote = _REMOTE.search((shared / "config").read_text("utf-8", "replace"))
    return found | ({"url": mask_text(remote[1])} if remote else {})


def _of_ref(ref: str, git: Path, shared: Path) -> str:
    for place in (git, shared):
        if (place / ref).is_file():
            return (place / ref).read_text("utf-8").strip()
    for line in (shared / "packed-refs").read_text("utf-8").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    raise ValueError(f"{ref} is nowhere")
