"""The launcher's own hold on the acquisition's processes: a Windows job object."""

from __future__ import annotations

import sys
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
