"""Trying again: an acquisition that failed is started once more, in the same session.

What was asked and done before it (subject, weight, steps) holds for all attempts. What a failed
attempt has written is kept in a folder of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

from ..errors import Finding, ParameterError
from ..plan import Plan
from ..session.attempts import data_entries, set_aside
from ..session.folder import SessionFolder
from ..session.journal import AcquisitionRetried, Journal, StageEntered
from .options import Display

MOST_ASKED = 5
"""Times that a person is asked whether to try once more."""

By = Literal["bonsai_max_retries", "operator"]


class Attempts:
    """The attempts at one session's acquisition.

    Args:
        plan: the session's plan.
        folder: its folder, as it is before the first attempt.
        journal: its journal.
        report: takes findings about a further attempt.
        display: what shows the session; None when nothing does.
        may_ask: whether a person may be asked.
        end_wanted: whether the end was asked for after the last attempt.

    Attributes:
        number: that of the present attempt.
        deciding: whether it is being decided now; then Ctrl-C means "no further attempt".
    """

    def __init__(
        self,
        plan: Plan,
        folder: SessionFolder,
        journal: Journal,
        report: Callable[[str, Sequence[Finding]], None],
        *,
        display: Display | None,
        may_ask: bool,
        end_wanted: Callable[[], bool],
    ) -> None:
        self.number = 1
        self.deciding = False
        self._plan = plan
        self._folder = folder
        self._journal = journal
        self._report = report
        self._display = display
        self._may_ask = may_ask
        self._end_wanted = end_wanted
        self._asked = 0
        self._before = data_entries(folder)

    def another(self, reason: str) -> bool:
        """After a failure: whether there is to be another attempt, and the way is clear for it.

        Args:
            reason: why the last one failed.

        Raises:
            SessionError: what the last one wrote cannot be put aside.
        """
        by = self._decided(reason)
        if by is None:
            return False
        kept = set_aside(self._folder, self._before, self.number)
        self._before = data_entries(self._folder)
        plan = self._plan
        findings = plan.engine.check(plan.parameters, plan.source, plan.launch)
        self._report("another attempt", findings)
        if any(finding.level == "error" for finding in findings) or self._end_wanted():
            return False
        self.number += 1
        self._journal.record(AcquisitionRetried(self.number, by, reason, kept))
        return True

    def _decided(self, reason: str) -> By | None:
        parameters = self._plan.parameters
        self.deciding = True
        try:
            if self._plan.engine.name == "bonsai" and self.number <= parameters.bonsai_max_retries:
                self._journal.record(StageEntered("waiting before another attempt"))
                time.sleep(parameters.bonsai_retry_delay_sec)
                return "bonsai_max_retries"
            if self._may_ask and self._asked < MOST_ASKED:
                self._asked += 1
                return "operator" if self._operator_wants(reason) else None
        except (KeyboardInterrupt, ParameterError):  # Ctrl-C, or the input has ended
            return None
        finally:
            self.deciding = False
        return None

    def _operator_wants(self, reason: str) -> bool:
        from ..parameters.prompts import ask
        from .session_steps import own_terminal

        def one_of(answer: str) -> str:
            if answer.lower() not in ("t", "c"):
                raise ValueError("Answer t or c.")
            return answer.lower()

        question = f"The acquisition failed. {reason} (t)ry again, or (c)lose the session"
        with own_terminal(self._display):
            return ask(question, default="c", validate=one_of) == "t"
