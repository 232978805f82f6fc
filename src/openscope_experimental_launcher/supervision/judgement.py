"""From the guard's record of the end to the acquisition's outcome."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..engines import Ended, Engine
from ..errors import Finding

OutcomeName = Literal["completed", "failed", "aborted", "killed", "lost"]


class Judgement(NamedTuple):
    """What the end of an acquisition means.

    Attributes:
        outcome: one word.
        reason: one sentence; empty when it completed.
        findings: the engine's diagnosis.
    """

    outcome: OutcomeName
    reason: str
    findings: tuple[Finding, ...] = ()


def judge_end(
    ended: Mapping[str, Any] | None, engine: Engine, stdout: Path, stderr: Path
) -> Judgement:
    """Judge how an acquisition ended.

    Args:
        ended: data of `acquisition.ended`; None when the end was not seen.
        engine: knows what its exit codes and messages mean.
        stdout: what was printed.
        stderr: what was printed on standard error.
    """
    unseen = Judgement("lost", "The end of the acquisition was not seen; its exit is unknown.")
    if ended is None:
        return unseen
    code, number = ended["exit_code"], ended["signal"]
    findings = tuple(engine.diagnose(Ended(code, number, stdout, stderr)))
    stop = ended["stop"]
    if stop is not None and stop.get("limit"):
        return Judgement("killed", str(stop.get("reason", "")), findings)
    if stop is not None:
        reason = f"Stopped by the {stop.get('by')}: {str(stop.get('reason', '')).rstrip('.')}."
        return Judgement("aborted", reason, findings)
    if code is None and number is None:
        return unseen
    problems = [finding for finding in findings if finding.level == "error"]
    if problems:
        return Judgement("failed", problems[0].message, findings)
    if number is not None:
        return Judgement("failed", f"The acquisition was ended by {_signal(number)}.", findings)
    if code != 0:
        return Judgement("failed", f"The acquisition ended with exit code {code}.", findings)
    return Judgement("completed", "", findings)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
