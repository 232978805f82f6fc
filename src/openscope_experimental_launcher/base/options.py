"""How one run is to be done, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import (
    EXIT_BUG,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    Failure,
    Finding,
)

if TYPE_CHECKING:
    from ..plan import Plan
    from ..session.folder import SessionFolder
    from ..sync import OnWait


class Display(Protocol):
    """What shows a running session to a person. It only reads; it may fail or be absent."""

    def start(self) -> None:
        """Begin to show."""

    def stop(self) -> None:
        """Show the rest and give the terminal back. May be called more than once."""

    def pause(self) -> None:
        """Give the terminal away, to somebody who asks a question on it."""

    def resume(self) -> None:
        """Take the terminal again."""


Confirm = Callable[["Plan", Sequence[Finding]], bool]
OpenDisplay = Callable[["SessionFolder", "Plan", Callable[[str], None]], Display]
Tell = Callable[[str], None]
OpenWaiting = Callable[[], "AbstractContextManager[OnWait]"]


class RunOptions(NamedTuple):
    """What the person at the terminal asked for, beside the parameters.

    Attributes:
        overrides: parameters of the command line, the topmost layer.
        defaults: take the documented test subject and user where none are given.
        rehearse: play a stand-in instead of the acquisition, outputs below `./rehearsal/`.
        allow_dirty: run with edits in the checkout, and save them with the session.
        offline: ask no server; a branch is where it was last fetched.
        sync: agree with the other computers in a rehearsal too.
        interactive: whether questions may be asked; None means when there is a terminal.
        offer_again: let the person at the terminal try again what failed.
        confirm: asked with the plan and its findings before anything is changed; False stops.
        open_display: makes what shows the session; None shows nothing but the log.
        open_waiting: makes what shows for which computers the session waits; None says it in lines.
        tell: told in one line what is going on before there is a display.
        arguments: the command line, for the records.
        rerun_of: name of the session that is run again, for the records.
    """

    overrides: Mapping[str, Any] = {}
    defaults: bool = False
    rehearse: bool = False
    allow_dirty: bool = False
    offline: bool = False
    sync: bool = False
    interactive: bool | None = None
    offer_again: bool = False
    confirm: Confirm | None = None
    open_display: OpenDisplay | None = None
    open_waiting: OpenWaiting | None = None
    tell: Tell | None = None
    arguments: tuple[str, ...] = ()
    rerun_of: str = ""


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        name: `completed`, `failed`, `aborted`, `killed`, `lost`; `not started` when it never came
            to an acquisition.
        reason: one sentence; empty when there is nothing to say.
        failure: what stopped the launcher's own work, if something did.
        folder: the session folder; None when none was made.
    """

    name: str = "not started"
    reason: str = ""
    failure: Failure | None = None
    folder: Path | None = None

    @property
    def exit_code(self) -> int:
        """The exit code of the command line for it."""
        if self.failure is not None and self.failure.bug:
            return EXIT_BUG
        if self.name == "aborted":
            return EXIT_INTERRUPTED
        if self.name == "completed" and self.failure is None:
            return EXIT_OK
        return EXIT_FAILED
