"""Five hundred cases of bad input; `bench/fuzz.py` has ten thousand."""

from __future__ import annotations

import sys

import pytest
from hypothesis import HealthCheck, settings

from bad_input.cases import PROPERTIES

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths and programs")

# The same cases each time: new ones are looked for by bench/fuzz.py.
FEW = settings(
    max_examples=125,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("name", PROPERTIES)
def test_no_traceback_reaches_the_user(name: str) -> None:
    FEW(PROPERTIES[name])()
