"""The standard records of a session by the AIND schema: `acquisition.json`,
`data_description.json` and `processing.json`.

They are made when a session is closed, in a process that nobody waits for: the library that
validates them takes seconds to import. So nothing of this package but this module is imported by
the launcher itself.
"""

from __future__ import annotations

from importlib.util import find_spec

from ...errors import Finding

ACQUISITION = "acquisition.json"
DESCRIPTION = "data_description.json"
PROCESSING = "processing.json"
RECORDS = (ACQUISITION, DESCRIPTION, PROCESSING)
"""The files, in the session folder."""

NOT_INSTALLED = Finding(
    "warning",
    "aind-not-installed",
    f"The standard metadata ({', '.join(RECORDS)}) are not made: the package aind-data-schema is "
    "not installed.",
    fix='Add it: python -m pip install "openscope-experimental-launcher[aind]"',
)
"""What is said without the extra `aind`."""


def is_installed() -> bool:
    """Whether the library of the schema is here; it is not imported to find out."""
    return find_spec("aind_data_schema") is not None
