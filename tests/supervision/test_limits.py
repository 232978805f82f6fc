"""The limits, each a pure function of samples, and each warned about before it acts."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Any

import pytest

from openscope_experimental_launcher.supervision.limits import (
    Limits,
    Sample,
    Verdict,
    judge,
    seconds_until_full,
    system_ceiling,
)

QUIET = Sample(
    elapsed_s=0.0,
    memory_mb=100.0,
    cpu_s=0.0,
    processes=1,
    system_percent=30.0,
    disk_free_mb=500_000.0,
    quiet_s=0.0,
    files={},
)


def verdicts(limits: Limits, sample: Sample, history: Sequence[Sample] = ()) -> list[Verdict]:
    """What the limits say of a sample."""
    return judge(limits, list(history), sample)


def only(found: Sequence[Verdict]) -> Verdict:
    """The one verdict."""
    assert len(found) == 1, found
    return found[0]


def test_within_the_limits_nothing_is_said() -> None:
    limits = Limits(memory_limit_mb=1000, max_duration_s=100, hang_timeout_s=10)
    assert verdicts(limits, QUIET._replace(elapsed_s=50)) == []


@pytest.mark.parametrize(
    ("limits", "warned", "stopped", "limit"),
    [
        ({"memory_limit_mb": 1000}, {"memory_mb": 950}, {"memory_mb": 1000}, "memory_limit_mb"),
        (
            {"kill_threshold": 20, "initial_memory_percent": 30},
            {"system_percent": 49},
            {"system_percent": 50},
            "kill_threshold",
        ),
        ({"max_processes": 50}, {"processes": 46}, {"processes": 51}, "max_processes"),
        ({"disk_reserve_gb": 2}, {"disk_free_mb": 2100}, {"disk_free_mb": 1999}, "disk_reserve_gb"),
        ({"max_duration_s": 100}, {"elapsed_s": 95}, {"elapsed_s": 100}, "max_duration_s"),
        (
            {"hang_timeout_s": 10, "on_hang": "stop"},
            {"quiet_s": 9.5},
            {"quiet_s": 10},
            "hang_timeout_s",
        ),
        (
            {"expect": {"video.avi": {"within_s": 10, "on_missing": "stop"}}},
            {"elapsed_s": 9.5, "files": {"video.avi": None}},
            {"elapsed_s": 10, "files": {"video.avi": None}},
            "expect video.avi",
        ),
    ],
    ids=["memory", "system memory", "processes", "disk", "duration", "hang", "missing file"],
)
def test_each_limit_warns_before_it_acts(
    limits: dict[str, Any], warned: dict[str, Any], stopped: dict[str, Any], limit: str
) -> None:
    first = only(verdicts(Limits(**limits), QUIET._replace(**warned)))
    then = only(verdicts(Limits(**limits), QUIET._replace(**stopped)))
    assert (first.limit, first.action) == (limit, "warn")
    assert (then.limit, then.action) == (limit, "stop")
    assert first.message != then.message


@pytest.mark.parametrize("kind", ["hang", "missing", "slow"])
def test_policies_that_only_warn_never_stop(kind: str) -> None:
    rule = {"within_s": 1, "min_mb_per_min": 100}
    limits = Limits(hang_timeout_s=1, expect={"video.avi": rule})
    sample = QUIET._replace(elapsed_s=60, quiet_s=60 if kind == "hang" else 0)
    size = None if kind == "missing" else 200_000_000
    history = [QUIET._replace(files={"video.avi": size})] if kind == "slow" else []
    found = verdicts(limits, sample._replace(files={"video.avi": size}), history)
    found = [v for v in found if kind == "hang" or v.limit.startswith("expect")]
    assert found and {v.action for v in found} == {"warn"}


def test_a_system_limit_that_could_never_act_is_lowered() -> None:
    limits = Limits(kill_threshold=90, initial_memory_percent=40)
    assert system_ceiling(limits) == 97
    assert only(verdicts(limits, QUIET._replace(system_percent=97.5))).action == "stop"
    # A machine that was as full before the start is not the acquisition's fault.
    full = Limits(kill_threshold=90, initial_memory_percent=98)
    assert verdicts(full, QUIET._replace(system_percent=98)) == []


def filling(mb_per_s: float, seconds: int, free_mb: float) -> list[Sample]:
    """A disk that fills, one sample a second."""
    return [
        QUIET._replace(elapsed_s=float(s), disk_free_mb=free_mb - mb_per_s * s)
        for s in range(seconds + 1)
    ]


def test_the_disk_is_forecast_from_its_slope() -> None:
    *history, last = filling(10, 60, 20_000)
    assert seconds_until_full(history, last, 1000) == pytest.approx(1840)
    planned = Limits(disk_reserve_gb=1, max_duration_s=60 + 2940)
    words = only(verdicts(planned, last, history)).message
    found = re.fullmatch(
        r"The session's disk will be full at (\d\d:\d\d), before the planned end (\d\d:\d\d)"
        r"; the acquisition is stopped then\.",
        words,
    )
    assert found, words
    now = time.time()
    for said, in_s in zip(found.groups(), (1840, 2940), strict=True):
        assert said in {time.strftime("%H:%M", time.localtime(now + in_s + d)) for d in (-2, 2)}
    # When it comes true, it is warned of once more: the two go by different names.
    nearly = only(verdicts(planned, last._replace(disk_free_mb=1900), history))
    assert nearly.action == "warn" and nearly.limit == "disk_reserve_gb"
    assert only(verdicts(planned, last, history)).limit == "disk_reserve_gb forecast"


def test_a_disk_that_lasts_until_the_planned_end_is_not_warned_of() -> None:
    *history, last = filling(10, 60, 20_000)
    assert verdicts(Limits(disk_reserve_gb=1, max_duration_s=1000), last, history) == []
    # Without a planned end, half an hour ahead is warned of.
    assert verdicts(Limits(disk_reserve_gb=1), last, history) == []
    assert only(verdicts(Limits(disk_reserve_gb=2), last, history)).action == "warn"


def test_a_disk_that_gets_emptier_or_is_gone_is_forecast_nothing() -> None:
    *history, last = filling(-10, 60, 20_000)
    assert seconds_until_full(history, last, 1000) is None
    assert seconds_until_full([], last, 1000) is None
    assert verdicts(Limits(disk_reserve_gb=2), last._replace(disk_free_mb=None), history) == []


@pytest.mark.parametrize(
    ("mb_per_min", "action"), [(12.0, None), (10.5, "warn"), (9.0, "stop"), (0.0, "stop")]
)
def test_a_file_must_grow_as_fast_as_is_expected(mb_per_min: float, action: str | None) -> None:
    rule = {"within_s": 5, "min_mb_per_min": 10, "on_missing": "stop"}
    samples = [
        QUIET._replace(elapsed_s=s, files={"video.avi": int(mb_per_min * 1e6 * s / 60)})
        for s in (5.0, 35.0)
    ]
    found = verdicts(Limits(expect={"video.avi": rule}), samples[1], samples[:1])
    assert [v.action for v in found] == ([action] if action else [])


def test_the_growth_of_a_file_is_that_of_the_last_minute() -> None:
    rule = {"min_mb_per_min": 10, "on_missing": "stop"}
    *history, last = [
        QUIET._replace(elapsed_s=float(s), files={"video.avi": min(s, 60) * 10_000_000})
        for s in range(0, 131, 5)
    ]
    limits = Limits(expect={"video.avi": {"within_s": 5, **rule}})
    assert verdicts(limits, history[18], history[:18]) == []  # half a minute after its end
    assert only(verdicts(limits, last, history)).action == "stop"


@pytest.mark.parametrize(("mb_per_s", "warned"), [(0.9, False), (1.1, True)])
def test_a_flood_of_output_is_warned_of(mb_per_s: float, warned: bool) -> None:
    *history, last = [QUIET._replace(elapsed_s=s, output_mb=mb_per_s * s) for s in range(8)]
    found = verdicts(Limits(), last, history)
    assert [(v.limit, v.action) for v in found] == ([("output", "warn")] if warned else [])
    assert verdicts(Limits(), last, history[4:]) == []  # a burst is none


def test_limits_that_are_off_say_nothing() -> None:
    off = Limits(kill_threshold=None, disk_reserve_gb=None, max_processes=None)
    worst = QUIET._replace(
        elapsed_s=1e6, memory_mb=1e6, system_percent=100, disk_free_mb=0, quiet_s=1e6
    )
    assert verdicts(off, worst) == []
