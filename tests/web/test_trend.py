"""A forecast is made where there is a trend, and only there."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openscope_experimental_launcher.web.trend import seconds_until

MINUTE = [float(second) for second in range(60)]


def test_a_line_is_followed_to_its_limit() -> None:
    rising = [400.0 + 2 * at for at in MINUTE]
    assert seconds_until(MINUTE, rising, 1000.0, upper=True) == pytest.approx(300.0 - 59.0)
    falling = [50.0 - 0.1 * at for at in MINUTE]
    assert seconds_until(MINUTE, falling, 1.0, upper=False) == pytest.approx(490.0 - 59.0)


def test_noise_on_a_line_changes_little() -> None:
    dice = random.Random(7)
    noisy = [400.0 + 2 * at + dice.uniform(-10, 10) for at in MINUTE]
    assert seconds_until(MINUTE, noisy, 1000.0, upper=True) == pytest.approx(241.0, rel=0.1)


@pytest.mark.parametrize(
    "values",
    [
        [400.0] * 60,
        [400.0 - at for at in MINUTE],
        [400.0 + 50 * (at % 7) for at in MINUTE],  # a saw that goes nowhere
        [2000.0 + at for at in MINUTE],  # beyond it already
        [400.0 + 1e-4 * at for at in MINUTE],  # in half a year
    ],
)
def test_what_goes_nowhere_is_not_foretold(values: list[float]) -> None:
    assert seconds_until(MINUTE, values, 1000.0, upper=True) is None


def test_too_little_is_known_of_a_session_that_has_just_begun() -> None:
    rising = [400.0 + 2 * at for at in MINUTE]
    assert seconds_until(MINUTE[:20], rising[:20], 1000.0, upper=True) is None
    assert seconds_until([0.0, 59.0], [400.0, 518.0], 1000.0, upper=True) is None
    assert seconds_until([], [], 1000.0, upper=True) is None


@given(
    st.lists(st.floats(-1e15, 1e15), min_size=10, max_size=60),
    st.floats(-1e15, 1e15),
    st.booleans(),
)
def test_whatever_was_measured_the_answer_is_a_time_ahead_or_none(
    values: list[float], limit: float, upper: bool
) -> None:
    at = [4.0 * number for number in range(len(values))]
    left_s = seconds_until(at, values, limit, upper=upper)
    assert left_s is None or 0 < left_s < 12 * 3600
