"""What a failing disk or share means: whether to wait for it, and how to say it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from ..errors import TransferError
from .paths import shown

if TYPE_CHECKING:
    from .places import Place

_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
_FULL_WINDOWS = {39, 112, 1295}  # handle disk full, disk full, disk quota exceeded

_PASSING = {
    number
    for name in (
        "EIO", "ENXIO", "ENODEV", "EBUSY", "ETIMEDOUT", "ESTALE", "ENOTCONN", "ENETDOWN",
        "ENETUNREACH", "ENETRESET", "ECONNABORTED", "ECONNRESET", "ECONNREFUSED", "EHOSTDOWN",
        "EHOSTUNREACH", "EPIPE", "EAGAIN", "EINTR", "EREMOTEIO", "ENOMEDIUM", "ENOENT",
    )
    if (number := getattr(errno, name, None)) is not None
}  # fmt: skip
"""What a share that drops, or a disk that is pulled, answers with. ENOENT: what its mount was on
is there instead."""
_PASSING_WINDOWS = {
    2, 3,  # file, path not found: the drive letter is gone
    21,  # the device is not ready
    32, 33,  # sharing and lock violation: a scanner has the file
    51, 53, 54, 55, 58, 59, 64, 67, 71,  # the network: unreachable, bad path, busy, gone, …
    121, 170, 240,  # semaphore timeout, busy, session canceled
    1117,  # I/O device error
    1167, 1222, 1225, 1226, 1231, 1232, 1233, 1234, 1235, 1236, 1460,  # not connected, …
}  # fmt: skip
"""System error codes (winerror.h) of the same kind."""


def is_full(error: OSError) -> bool:
    """Whether a disk or a quota is full."""
    return error.errno in _FULL or getattr(error, "winerror", None) in _FULL_WINDOWS


def may_pass(error: OSError) -> bool:
    """Whether it is worth trying again in a moment."""
    windows = getattr(error, "winerror", None)
    return windows in _PASSING_WINDOWS if windows is not None else error.errno in _PASSING


def in_words(error: OSError) -> str:
    """What the system says of it."""
    return error.strerror or str(error)


def too_small(place: Place, needed: int, free: int) -> TransferError:
    """The error for a place that cannot take all that it lacks."""
    return TransferError(
        f"The destination needs {needed / 1e9:.2f} GB and has {free / 1e9:.2f} GB free.",
        code="copy-destination-full",
        where=shown(place.root),
        fix="Make room there, or name another destination.",
    )
