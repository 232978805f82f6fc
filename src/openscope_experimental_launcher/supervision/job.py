"""The launcher's own hold on the processes of others: a Windows job object."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any


def new_job() -> Any:
    """A new job object for the acquisitions of this launcher; None where there are none.

    The guard takes a handle of its own for it and puts the acquisition into it, and both stay
    outside. While one of the two lives, the acquisition may go on; with the last handle it ends.

    Returns:
        A pywin32 handle, which closes itself when it is forgotten.
    """
    if sys.platform != "win32":
        return None
    import pywintypes

    from .tree_windows import create_job

    return pywintypes.HANDLE(create_job())


def start_inside(job: Any, arguments: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:
    """Start a process that ends, with all it starts, when `job` is closed.

    Args:
        job: what `new_job` made; None starts a process like any other.
        arguments: the program and its arguments.
        settings: what `subprocess.Popen` is given besides.
    """
    if sys.platform != "win32" or job is None:
        return subprocess.Popen(arguments, **settings)
    from .tree_windows import start_in_job

    return start_in_job(int(job), arguments, **settings)
