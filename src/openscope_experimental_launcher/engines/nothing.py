"""The engine `base`: the steps before and after, and no acquisition between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import Finding
from . import Ask, Ended, Launch, Source

if TYPE_CHECKING:
    from ..parameters.model import Parameters


class NoAcquisition:
    """Starts nothing: a session of steps alone, as for a procedure or a recording by hand."""

    name = "base"

    def prepare(
        self, parameters: Parameters, source: Source, session_folder: str, *, rehearsal: bool
    ) -> Launch:
        """A launch of no program; see `Engine.prepare`."""
        return Launch(arguments=(), folder=str(source.root), ask=Ask("none"))

    def check(self, parameters: Parameters, source: Source, launch: Launch) -> list[Finding]:
        """Say that nothing will be acquired; see `Engine.check`."""
        words = "The launcher is base: the steps are run, and no acquisition."
        return [Finding("ok", "no-acquisition", words)]

    def diagnose(self, ended: Ended) -> list[Finding]:
        """Nothing ran that could have gone wrong; see `Engine.diagnose`."""
        return []
