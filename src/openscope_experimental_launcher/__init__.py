"""The OpenScope experimental launcher: runs one experimental session on a rig.

`openscope run params.json` is the operator's command; `BaseExperiment` is what labs subclass.
The names below are imported when they are first used, so that importing the package is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "1.0.0"

if TYPE_CHECKING:
    from .base.bonsai_interface import BonsaiInterface
    from .base.experiment import BaseExperiment
    from .errors import LauncherError
    from .utils.config_loader import ConfigLoader
    from .utils.git_manager import GitManager
    from .utils.process_monitor import ProcessMonitor

_PUBLIC = {
    "BaseExperiment": "base.experiment",
    "BonsaiInterface": "base.bonsai_interface",
    "ConfigLoader": "utils.config_loader",
    "GitManager": "utils.git_manager",
    "LauncherError": "errors",
    "ProcessMonitor": "utils.process_monitor",
}

__all__ = [
    "BaseExperiment",
    "BonsaiInterface",
    "ConfigLoader",
    "GitManager",
    "LauncherError",
    "ProcessMonitor",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
