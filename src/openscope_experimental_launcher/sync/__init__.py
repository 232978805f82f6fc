"""Several computers, one session: they agree on its name before any of them makes a folder.

One computer is the master; it listens, and waits for the others, its slaves. When all of them are
there it proposes a name, each slave promises to take it, and the master decides. Nobody decides but
the master, it decides once, and nothing takes a decision back: a computer runs under the proposed
name exactly if the decision reached it, and else it runs nothing. `docs/several-computers.md`
says what that means when a computer vanishes in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from .settings import SyncSettings

__all__ = ["Agreement", "Node", "OnWait", "SyncSettings", "Waiting", "agree"]


class Node(NamedTuple):
    """One computer of a shared session.

    Attributes:
        name: its name in the session.
        role: `master` or `slave`.
        host: what the computer calls itself.
        address: where its connection came from; empty for the master, and where it is not known.
        confirmed: whether the master heard from it after the decision.
    """

    name: str
    role: Literal["master", "slave"]
    host: str
    address: str = ""
    confirmed: bool = True


class Agreement(NamedTuple):
    """What the computers agreed on.

    Attributes:
        session: the session's name, on all of them.
        role: this computer's role.
        node: this computer's name.
        nodes: the computers that take part, the master first; only this one when it went on alone.
        missing: those that the operator went on without; for a number of slaves, how many.
        authenticated: whether all of them proved that they know the shared secret.
    """

    session: str
    role: Literal["master", "slave"]
    node: str
    nodes: tuple[Node, ...]
    missing: tuple[str, ...]
    authenticated: bool

    @property
    def unconfirmed(self) -> tuple[str, ...]:
        """The slaves that the master did not hear from after the decision."""
        return tuple(node.name for node in self.nodes if not node.confirmed)


class Waiting(NamedTuple):
    """What there is to see while the computers wait for one another.

    Attributes:
        role: this computer's role.
        node: this computer's name.
        place: where the master is or listens.
        connected: whether a slave has reached its master; always True for the master.
        here: the computers that are there, this one not among them.
        missing: those that are not; for a number of slaves, how many.
        left_s: seconds until the waiting ends with an error.
        may_go_on: whether the operator may go on without those who are missing.
        trouble: the last thing that went wrong, in words; empty when nothing did.
    """

    role: Literal["master", "slave"]
    node: str
    place: str
    connected: bool
    here: tuple[str, ...]
    missing: tuple[str, ...]
    left_s: float
    may_go_on: bool
    trouble: str


OnWait = Callable[[Waiting], bool]
"""Called several times a second; True when the operator wants to go on without the others."""


def agree(
    settings: SyncSettings,
    *,
    propose_name: Callable[[], str],
    why_not: Callable[[str], str],
    on_wait: OnWait,
) -> Agreement:
    """Agree with the other computers on the session's name. Blocks until it is decided.

    Args:
        settings: this computer's part.
        propose_name: gives the name of a session that would begin now, free on this computer.
        why_not: says why this computer cannot take a name; empty when it can.
        on_wait: shows who is missing, and says when the operator wants to go on without them.

    Raises:
        SyncError: there is no agreement, and so no session.
        KeyboardInterrupt: Ctrl-C; the other computers are told.
    """
    if settings.role == "master":
        from .master import Master

        with Master(settings, propose_name, on_wait) as master:
            return master.agree()
    from .slave import Slave

    return Slave(settings, propose_name, why_not, on_wait).agree()
