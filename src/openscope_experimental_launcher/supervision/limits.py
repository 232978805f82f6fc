"""Limits: from what was measured to a verdict, without side effects.

Standard library only; the guard calls `judge` with every sample. Each limit warns before it acts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

SYSTEM_MEMORY_CEILING = 97.0
"""Percent of system memory at which the limit acts at the latest: above it, a machine swaps or
its kernel kills at random, so that a limit of 100 % or more would never fire."""

WARN_AT = 0.9
"""Fraction of a limit at which it is warned about."""

_WARN_S = 0.3
"""A limit of time is warned about at least so many seconds before, more than lie between two
samples."""

_DISK_WARN = 2.0
"""Times the reserve of free space at which is warned: a fast camera leaves little time."""

_HELD_AT = 4
"""Times `max_processes` at which the system itself refuses more: far enough above that watching
acts first, and that threads, which some systems count too, do not reach it."""

_FLOOD_MB_PER_MIN = 60.0
_FLOOD_S = 5.0
"""So much output over so many seconds is warned of: nobody reads it, and it fills the disk."""

_RATE_S = 60.0
"""The growth of a file is measured over so many seconds, since it is written in bursts."""

_MB = 1e6

AT_ONCE = frozenset({"memory_limit_mb", "kill_threshold", "max_processes"})
"""Limits that end an acquisition without asking it first: a runaway must not be given the time of
a polite stop to take the machine down."""


class Limits(NamedTuple):
    """What the acquisition must stay within. `None` switches a limit off.

    Attributes:
        kill_threshold: percentage points system memory may rise above `initial_memory_percent`.
        initial_memory_percent: system memory in use before the start, in percent.
        memory_limit_mb: resident memory of the whole process tree, in MB (10^6 bytes).
        max_processes: processes of the tree at a time.
        max_duration_s: seconds from the start.
        disk_reserve_gb: GB (10^9 bytes) that must stay free on the session's volume.
        hang_timeout_s: seconds without output and without growth of a file of the session.
        on_hang: `warn` or `stop`.
        expect: file name in the session folder → `{"within_s": s, "min_mb_per_min": mb,
            "on_missing": "warn" | "stop"}`.
    """

    kill_threshold: float | None = 90.0
    initial_memory_percent: float = 0.0
    memory_limit_mb: float | None = None
    max_processes: int | None = None
    max_duration_s: float | None = None
    disk_reserve_gb: float | None = 1.0
    hang_timeout_s: float | None = None
    on_hang: str = "warn"
    expect: Mapping[str, Mapping[str, Any]] = {}


class Sample(NamedTuple):
    """One measurement of the acquisition.

    Attributes:
        elapsed_s: monotonic seconds since the start.
        memory_mb: resident memory of the tree, MB.
        cpu_s: processor seconds the tree has used so far.
        processes: how many processes are in the tree.
        system_percent: system memory in use, percent.
        disk_free_mb: free space on the session's volume, MB; None when it could not be read.
        quiet_s: seconds since the last output or growth of a file.
        files: size in bytes of each expected file; None for one that is not there.
        output_mb: how much it has printed so far, MB.
    """

    elapsed_s: float
    memory_mb: float
    cpu_s: float
    processes: int
    system_percent: float
    disk_free_mb: float | None
    quiet_s: float
    files: Mapping[str, int | None]
    output_mb: float = 0.0


class Verdict(NamedTuple):
    """What a limit says of a sample.

    Attributes:
        limit: the parameter that set the limit, with the file's name for `expect`, and with the
            word `forecast` when it is only going to be reached.
        action: `warn` or `stop`.
        message: one sentence for a person.
    """

    limit: str
    action: str
    message: str


def system_ceiling(limits: Limits) -> float | None:
    """The percentage of system memory at which `kill_threshold` acts."""
    if limits.kill_threshold is None:
        return None
    return min(limits.initial_memory_percent + limits.kill_threshold, SYSTEM_MEMORY_CEILING)


def held_at(limits: Limits) -> int | None:
    """The number of processes at which the system, where it can, refuses the tree any more."""
    return None if limits.max_processes is None else _HELD_AT * limits.max_processes


def judge(limits: Limits, history: Sequence[Sample], sample: Sample) -> list[Verdict]:
    """All verdicts on one sample.

    Args:
        limits: the session's limits.
        history: earlier samples, oldest first, some minutes of them, for rates.
        sample: the newest sample.
    """
    return [
        *_tree_memory(limits, sample),
        *_system_memory(limits, sample),
        *_processes(limits, sample),
        *_disk(limits, history, sample),
        *_duration(limits, sample),
        *_hang(limits, sample),
        *_expected_files(limits, history, sample),
        *_flood(history, sample),
    ]


def _tree_memory(limits: Limits, sample: Sample) -> list[Verdict]:
    limit = limits.memory_limit_mb
    if limit is None or sample.memory_mb < WARN_AT * limit:
        return []
    if sample.memory_mb < limit:
        words = f"The acquisition uses {sample.memory_mb:.0f} MB of its {limit:.0f} MB of memory."
        return [Verdict("memory_limit_mb", "warn", words)]
    words = (
        f"The acquisition used {sample.memory_mb:.0f} MB of memory; its limit is {limit:.0f} MB."
    )
    return [Verdict("memory_limit_mb", "stop", words)]


def _system_memory(limits: Limits, sample: Sample) -> list[Verdict]:
    ceiling = system_ceiling(limits)
    if ceiling is None:
        return []
    now, start = sample.system_percent, limits.initial_memory_percent
    rise = f"System memory rose from {start:.0f} % to {now:.0f} %"
    if now >= ceiling and now > start:
        words = (
            f"System memory rose from {start:.0f} % to {now:.0f} %; the limit is {ceiling:.0f} %."
        )
        return [Verdict("kill_threshold", "stop", words)]
    if now > start + WARN_AT * (ceiling - start) and now > start + 1:
        words = f"{rise}; at {ceiling:.0f} % the acquisition is stopped."
        return [Verdict("kill_threshold", "warn", words)]
    return []


def _processes(limits: Limits, sample: Sample) -> list[Verdict]:
    limit = limits.max_processes
    if limit is None or sample.processes <= WARN_AT * limit:
        return []
    words = f"The acquisition has {sample.processes} processes; at most {limit} are allowed."
    return [Verdict("max_processes", "stop" if sample.processes > limit else "warn", words)]


def _disk(limits: Limits, history: Sequence[Sample], sample: Sample) -> list[Verdict]:
    if limits.disk_reserve_gb is None or sample.disk_free_mb is None:
        return []
    reserve_mb = limits.disk_reserve_gb * 1000
    if sample.disk_free_mb < reserve_mb:
        words = (
            f"The session's disk has {sample.disk_free_mb / 1000:.2f} GB left; "
            f"{limits.disk_reserve_gb:g} GB are kept free for its records."
        )
        return [Verdict("disk_reserve_gb", "stop", words)]
    if sample.disk_free_mb < _DISK_WARN * reserve_mb:
        words = (
            f"The session's disk has {sample.disk_free_mb / 1000:.2f} GB left; "
            f"at {limits.disk_reserve_gb:g} GB the acquisition is stopped."
        )
        return [Verdict("disk_reserve_gb", "warn", words)]
    full_in_s = seconds_until_full(history, sample, reserve_mb)
    planned_s = limits.max_duration_s
    left_s = planned_s - sample.elapsed_s if planned_s is not None else 1800.0
    if full_in_s is None or full_in_s > left_s:
        return []
    end = f", before the planned end {_clock(left_s)}" if planned_s is not None else ""
    words = f"The session's disk will be full at {_clock(full_in_s)}{end}"
    # Under a name of its own: whoever was told of it is told again when it comes true.
    return [
        Verdict("disk_reserve_gb forecast", "warn", f"{words}; the acquisition is stopped then.")
    ]


def seconds_until_full(
    history: Sequence[Sample], sample: Sample, reserve_mb: float
) -> float | None:
    """Seconds until free space reaches the reserve at the rate of the history; None when it is
    not shrinking or less than 10 s are known."""
    known = [old for old in history if old.disk_free_mb is not None]
    if not known or sample.disk_free_mb is None or sample.elapsed_s - known[0].elapsed_s < 10:
        return None
    first = known[0]
    used_mb = (first.disk_free_mb or 0.0) - sample.disk_free_mb
    if used_mb < 1:
        return None
    rate = used_mb / (sample.elapsed_s - first.elapsed_s)
    return max(sample.disk_free_mb - reserve_mb, 0.0) / rate


def _clock(seconds_from_now: float) -> str:
    return time.strftime("%H:%M", time.localtime(time.time() + seconds_from_now))


def _warned_from(limit_s: float) -> float:
    return min(WARN_AT * limit_s, limit_s - _WARN_S)


def _duration(limits: Limits, sample: Sample) -> list[Verdict]:
    limit = limits.max_duration_s
    if limit is None or sample.elapsed_s < _warned_from(limit):
        return []
    if sample.elapsed_s < limit:
        words = f"The acquisition has run {sample.elapsed_s:.0f} s; it is stopped at {limit:.0f} s."
        return [Verdict("max_duration_s", "warn", words)]
    words = f"The acquisition reached its maximum duration of {limit:.0f} s."
    return [Verdict("max_duration_s", "stop", words)]


def _hang(limits: Limits, sample: Sample) -> list[Verdict]:
    limit, acts = limits.hang_timeout_s, limits.on_hang == "stop"
    if limit is None or sample.quiet_s < (_warned_from(limit) if acts else limit):
        return []
    words = f"No output and no growing file for {sample.quiet_s:.3g} s"
    if sample.quiet_s < limit:
        words += f"; at {limit:g} s the acquisition is stopped."
        return [Verdict("hang_timeout_s", "warn", words)]
    return [Verdict("hang_timeout_s", "stop" if acts else "warn", f"{words} (limit {limit:g} s).")]


def _flood(history: Sequence[Sample], sample: Sample) -> list[Verdict]:
    recent = next(
        (o for o in reversed(history) if sample.elapsed_s - o.elapsed_s >= _FLOOD_S), None
    )
    if recent is None:
        return []
    printed_mb = sample.output_mb - recent.output_mb
    rate = 60 * printed_mb / (sample.elapsed_s - recent.elapsed_s)
    if rate < _FLOOD_MB_PER_MIN:
        return []
    words = f"The acquisition prints {rate:.0f} MB a minute, which is kept and fills the disk."
    return [Verdict("output", "warn", words)]


def _expected_files(limits: Limits, history: Sequence[Sample], sample: Sample) -> list[Verdict]:
    verdicts = []
    for name, rule in limits.expect.items():
        acts = rule.get("on_missing", "warn") == "stop"
        words, nearly = _missing(name, rule, sample)
        if not words:
            words, nearly = _slow(name, rule, history, sample)
        if words and (acts or not nearly):
            action = "stop" if acts and not nearly else "warn"
            verdicts.append(Verdict(f"expect {name}", action, words))
    return verdicts


def _missing(name: str, rule: Mapping[str, Any], sample: Sample) -> tuple[str, bool]:
    """What is wrong with a file that is not there, and whether it is only about to be."""
    within_s = rule["within_s"]
    if sample.files.get(name) is not None:
        return "", False
    words = f"The file {name} was expected within {within_s:g} s and is not there."
    if sample.elapsed_s >= within_s:
        return words, False
    if sample.elapsed_s >= _warned_from(within_s):
        return f"The file {name} is expected within {within_s:g} s and is not there yet.", True
    return "", False


def _slow(
    name: str, rule: Mapping[str, Any], history: Sequence[Sample], sample: Sample
) -> tuple[str, bool]:
    """What is wrong with a file that grows slowly, and whether it is only about to be."""
    wanted, size = rule.get("min_mb_per_min"), sample.files.get(name)
    since = [
        old
        for old in history
        if old.files.get(name) is not None and sample.elapsed_s - old.elapsed_s <= _RATE_S
    ]
    if wanted is None or size is None or not since or sample.elapsed_s - since[0].elapsed_s < 10:
        return "", False
    minutes = (sample.elapsed_s - since[0].elapsed_s) / 60
    rate = (size - (since[0].files[name] or 0)) / _MB / minutes
    if rate >= wanted / WARN_AT:
        return "", False
    words = f"The file {name} grows by {rate:.1f} MB a minute; at least {wanted:g} are expected."
    return words, rate >= wanted
