"""Each record, from what is known of a session to the form of the schema."""

from __future__ import annotations

from . import ACQUISITION, DESCRIPTION, PROCESSING
from .acquisition import build_acquisition
from .description import build_description
from .facts import Facts
from .processing import build_processing
from .schema import Fitted, fit

_BUILDERS = {
    ACQUISITION: build_acquisition,
    DESCRIPTION: build_description,
    PROCESSING: build_processing,
}


def build(record: str, facts: Facts) -> Fitted:
    """One record of a session, and what it lacks.

    Args:
        record: name of its file.
        facts: the session.
    """
    return fit(record, _BUILDERS[record](facts))
