"""What this machine is, without starting a process to find out."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .launcher_code import launcher_code

_DIST_INFO = re.compile(r"^(?P<name>.+?)-(?P<version>[^-]+)\.(?:dist|egg)-info$")


def platform_info(rig_id: str | None = None) -> dict[str, Any]:
    """The documented description of the machine.

    Args:
        rig_id: the rig's name when it is known; else the computer's name stands for it.

    Returns:
        `python` (version), `os` (name, release, version), `hardware` (processor, machine),
        `computer_name` and `rig_id`.
    """
    computer = platform.node()
    return {
        "python": platform.python_version(),
        "os": (platform.system(), platform.release(), platform.version()),
        "hardware": (_processor(), platform.machine()),
        "computer_name": computer,
        "rig_id": rig_id or computer,
    }


def _processor() -> str:
    # platform.processor() starts a process on Linux and says less than the kernel does.
    if sys.platform == "linux":
        try:
            with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    if line.startswith("model name"):
                        return line.partition(":")[2].strip()
        except OSError:
            pass
        return platform.machine()
    return os.environ.get("PROCESSOR_IDENTIFIER", "") or platform.processor()


def installed_packages() -> dict[str, str]:
    """Distribution name → version of all that this Python can import.

    Read from the names of the `*.dist-info` folders (source: the binary distribution format of
    the Python packaging specifications), which takes a millisecond where reading the metadata
    takes hundreds.
    """
    found: dict[str, str] = {}
    for entry in sys.path:
        try:
            names = os.listdir(entry or ".")  # noqa: PTH208 - names are all that is needed
        except OSError:
            continue
        for name in names:
            if match := _DIST_INFO.match(name):
                found.setdefault(match["name"].replace("_", "-").lower(), match["version"])
    return dict(sorted(found.items()))


def environment(launcher_version: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """The software environment of a session as a JSON object.

    Args:
        launcher_version: this launcher's version.
        variables: what the launcher sets for the acquisition, secrets masked by the caller.
    """
    return {
        "launcher_version": launcher_version,
        "launcher": launcher_code(launcher_version),
        "python": sys.version,
        "executable": sys.executable,
        # Not platform.platform(), which starts a process on Linux.
        "platform": " ".join((platform.system(), platform.release(), platform.machine())),
        "packages": installed_packages(),
        "acquisition_variables": dict(variables),
    }
