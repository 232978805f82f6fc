"""A run's part in a session of several computers: agreeing on its name, and recording that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..display.waiting import in_one_line
from ..errors import Finding, PreflightError
from ..plan import Plan
from ..preflight import check_output
from ..session.folder import free_name
from ..session.journal import SessionAgreed
from ..sync import Agreement, OnWait, Waiting, agree
from ..sync.settings import settings_from

_MOST_TROUBLES = 50

Report = Callable[[Sequence[Finding]], None]
Tell = Callable[[str], None]


def agree_on_name(
    plan: Plan,
    *,
    open_waiting: Callable[[], AbstractContextManager[OnWait]] | None,
    tell: Tell,
    report: Report,
) -> Agreement:
    """Agree with the other computers of the plan's session on its name.

    Args:
        plan: the plan, with a role for this computer.
        open_waiting: makes what shows who is missing; None tells it in lines.
        tell: takes such a line.
        report: takes what goes wrong while waiting.

    Raises:
        SyncError: there is no agreement.
    """

    def propose_name() -> str:
        problems = _output_problems(plan)
        if problems:
            raise PreflightError.from_findings("The session cannot be run as it is.", problems)
        return free_name(plan.output_root, plan.parameters.subject_id or "")

    def why_not(name: str) -> str:
        if (plan.output_root / name).exists():
            return "There is a session folder of this name already."
        return " ".join(finding.message for finding in _output_problems(plan))

    settings = settings_from(plan)
    with open_waiting() if open_waiting else nullcontext(in_lines(tell)) as show:
        seen: list[str] = []

        def on_wait(state: Waiting) -> bool:
            if state.trouble not in ("", *seen) and len(seen) < _MOST_TROUBLES:
                seen.append(state.trouble)
                report([Finding("warning", "sync-trouble", state.trouble)])
            return show(state)

        return agree(settings, propose_name=propose_name, why_not=why_not, on_wait=on_wait)


def _output_problems(plan: Plan) -> list[Finding]:
    """What has become wrong with the output folder while waiting."""
    return [finding for finding in check_output(plan) if finding.level == "error"]


def in_lines(tell: Tell) -> OnWait:
    """Tells in a line who is missing, each time that changes."""
    last = [""]

    def on_wait(state: Waiting) -> bool:
        line = in_one_line(state)
        if line != last[0]:
            last[0] = line
            tell(line)
        return False

    return on_wait


def agreement_findings(agreement: Agreement) -> list[Finding]:
    """Warnings for what is not as it should be about an agreement."""
    findings = []
    if agreement.missing:
        findings.append(
            Finding(
                "warning",
                "sync-bypassed",
                f"The operator went on without: {', '.join(agreement.missing)}.",
                where=f"session {agreement.session}",
            )
        )
    if agreement.unconfirmed:
        findings.append(
            Finding(
                "warning",
                "sync-unconfirmed",
                f"No confirmation came from {', '.join(agreement.unconfirmed)}: the session may "
                "not have begun there.",
                where=f"session {agreement.session}",
                fix="Look at that computer's screen. If it has not begun, stop the session and "
                "start all computers again.",
            )
        )
    return findings


def agreement_event(agreement: Agreement) -> SessionAgreed:
    """An agreement as an event of the journal."""
    return SessionAgreed(
        session_uuid=agreement.session,
        role=agreement.role,
        node=agreement.node,
        nodes=[node._asdict() for node in agreement.nodes],
        missing=list(agreement.missing),
        authenticated=agreement.authenticated,
    )


def as_record(agreement: Agreement) -> dict[str, Any]:
    """An agreement as a JSON object, for the metadata."""
    return {**agreement._asdict(), "nodes": [node._asdict() for node in agreement.nodes]}
