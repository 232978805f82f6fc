"""Names of people and animals, and whether a session can bear them."""

from __future__ import annotations

from ..errors import ParameterError
from .wording import shown

LONGEST_SUBJECT = 100
"""Characters of a subject's name."""

_LONGEST_FOLDER_BYTES = 255  # ext4, NTFS and APFS alike, NTFS counting UTF-16 units
_SUFFIX_BYTES = len("_2025-01-31_13-45-00")
_FORBIDDEN_IN_FOLDERS = '<>:"|?*/\\'
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED_NAMES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{port}{n}" for port in ("COM", "LPT") for n in "0123456789¹²³"]
)


def check_subject(name: str) -> str:
    """`name`, when it can begin the name of a session folder on every system.

    Raises:
        ParameterError: it cannot, and why.
    """
    reason = _why_no_folder(name)
    if reason is None:
        return name
    raise ParameterError(
        f"The subject's name cannot be part of a folder name: it {reason}.",
        code="subject-invalid",
        where=f"subject_id: {shown(name)}",
        fix="Use letters, digits, - and _, as in 614173."
        if name.strip()
        else "Give the subject, or remove the key to be asked for it.",
    )


def _why_no_folder(name: str) -> str | None:
    if not name.strip():
        return "is empty"
    if not name.isprintable():
        return "holds a line break or another character that cannot be seen"
    if forbidden := next((c for c in name if c in _FORBIDDEN_IN_FOLDERS), None):
        return f"holds the character {forbidden}"
    if name.strip() != name:
        return "begins or ends with a space"
    if name.endswith("."):
        return "ends with a dot"
    if name.partition(".")[0].rstrip().upper() in _RESERVED_NAMES:
        return "is a name that Windows keeps for a device"
    return _why_too_long(name)


def _why_too_long(name: str) -> str | None:
    if len(name) > LONGEST_SUBJECT:
        return f"has {len(name)} characters, and {LONGEST_SUBJECT} are allowed"
    if len(name.encode()) > _LONGEST_FOLDER_BYTES - _SUFFIX_BYTES:
        return f"takes {len(name.encode())} bytes, too long with the date behind it"
    return None


def check_user(name: str) -> str:
    """`name`, when it is one line of visible text.

    Raises:
        ParameterError: it is not, and why.
    """
    if name.strip() and name.isprintable() and len(name) <= LONGEST_SUBJECT:
        return name
    raise ParameterError(
        f"The user's name must be one line of 1 to {LONGEST_SUBJECT} visible characters.",
        code="user-invalid",
        where=f"user_id: {shown(name)}",
        fix="Give a name or initials, or remove the key to be asked for it.",
    )
