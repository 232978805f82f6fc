"""The master's side: wait for the slaves, propose a name, decide."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ..errors import SyncError
from ..parameters.wording import printable
from . import Agreement, Node, OnWait, Waiting
from .guests import SIGN_OF_LIFE_S, Guest, Guests
from .settings import LONGEST_NODE, SyncSettings, fingerprint
from .wire import (
    FAREWELL_S,
    LONGEST_TEXT,
    LOOK_S,
    DifferentError,
    ForeignError,
    GoneError,
    Message,
    UnprovedError,
    text_of,
)


class Master:
    """Waits for the slaves and decides on the session's name.

    Args:
        settings: this computer's part.
        propose_name: gives the name of a session that would begin now.
        on_wait: shows who is missing, and says when the operator wants to go on without them.

    Raises:
        SyncError: it cannot listen.
    """

    def __init__(
        self, settings: SyncSettings, propose_name: Callable[[], str], on_wait: OnWait
    ) -> None:
        self._settings = settings
        self._propose_name = propose_name
        self._on_wait = on_wait
        self._guests = Guests(settings, self._gone)
        self._trouble = ""
        self._proposal = 0
        self._decided = False
        self._sign_at = 0.0
        self._deadline = time.monotonic() + settings.timeout_s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._decided:
            why = error.message if isinstance(error, SyncError) else "The master has left."
            self._guests.tell(
                self._guests.slaves, "abort", reason=printable(why)[:LONGEST_TEXT], final=True
            )
            self._guests.hear_out(FAREWELL_S)
        self._guests.close()

    def agree(self) -> Agreement:
        """Wait for the slaves and decide; see `sync.agree`."""
        while True:
            self._collect()
            slaves, session = self._guests.slaves, self._propose_name()
            if self._all_promise(session, slaves):
                return self._decide(session, slaves)

    # -- the way to a decision -----------------------------------------------------------------

    def _collect(self) -> None:
        """Wait until all are there, or the operator goes on without the rest."""
        while self._missing():
            left_s = self._deadline - time.monotonic()
            if left_s <= 0:
                raise SyncError(
                    f"Not all computers came within {self._settings.timeout_s:g} s; missing: "
                    f"{', '.join(self._missing())}.",
                    code="sync-timeout",
                    where=f"listening at {self._settings.place}",
                    fix="Look at what they say, and start all again. session_sync_timeout_sec "
                    "says how long to wait; session_sync_allow_bypass lets the operator go on "
                    "without them.",
                )
            if self._on_wait(self._seen(left_s)) and self._settings.allow_bypass:
                return
            self._turn(LOOK_S)

    def _all_promise(self, session: str, slaves: list[Guest]) -> bool:
        """Propose a name. False when one of the slaves has vanished, and all must wait again."""
        self._proposal += 1
        within_s = self._settings.ack_timeout_s
        self._guests.tell(
            slaves, "propose", session=session, number=self._proposal, within_s=within_s
        )
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and self._holds_all(slaves):
            if all(guest.promised == self._proposal for guest in slaves):
                self._turn(0)  # who has vanished meanwhile is noticed now
                break
            self._turn(LOOK_S)
        for guest in slaves:
            if guest.promised != self._proposal:
                # Its promise may be on the way: it must know that it is not bound by it.
                self._guests.tell([guest], "abort", reason="It was too late.", final=False)
                self._guests.drop(guest, GoneError("it did not answer in time"))
        if self._holds_all(slaves):
            return True
        self._guests.tell(self._guests.slaves, "abort", reason="A computer vanished.", final=False)
        return False

    def _holds_all(self, slaves: list[Guest]) -> bool:
        return all(self._guests.holds(guest) for guest in slaves)

    def _decide(self, session: str, slaves: list[Guest]) -> Agreement:
        """From here on the session is: what has reached a slave is never taken back."""
        missing = self._missing(slaves)
        self._decided = True
        me = Node(self._settings.node, "master", self._settings.host)
        nodes = [me, *(Node(guest.name, "slave", guest.host) for guest in slaves)]
        self._guests.tell(
            slaves,
            "commit",
            session=session,
            number=self._proposal,
            nodes=[{"name": node.name, "role": node.role, "host": node.host} for node in nodes],
            missing=list(missing),
        )
        late = [guest for guest in self._guests.slaves if guest not in slaves]
        self._guests.tell(late, "abort", reason="It has begun without this computer.", final=True)
        deadline = time.monotonic() + self._settings.ack_timeout_s
        while time.monotonic() < deadline and any(map(self._guests.holds, slaves)):
            self._turn(LOOK_S)
        others = (Node(g.name, "slave", g.host, g.address, g.confirmed) for g in slaves)
        proved = self._settings.secret is not None
        return Agreement(session, "master", self._settings.node, (me, *others), missing, proved)

    # -- what comes ----------------------------------------------------------------------------

    def _turn(self, wait_s: float) -> None:
        """Take in what came, and give a sign of life."""
        for guest, message in self._guests.messages(wait_s):
            try:
                self._take(guest, message)
            except GoneError as error:
                self._guests.drop(guest, error)
        now = time.monotonic()
        if now >= self._sign_at and not self._decided:
            self._sign_at = now + SIGN_OF_LIFE_S
            here = [guest.name for guest in self._guests.slaves]
            missing = list(self._missing())
            self._guests.tell(self._guests.slaves, "waiting", here=here, missing=missing)

    def _take(self, guest: Guest, message: Message) -> None:
        kind = message["type"]
        if not guest.name:
            if kind != "join":
                raise ForeignError("it did not say who it is")
            self._take_join(guest, message)
        elif kind == "promise" and message.get("number") == self._proposal:
            guest.promised = self._proposal
        elif kind == "refuse" and message.get("number") == self._proposal and not self._decided:
            raise SyncError(
                f"{guest.name} cannot take part: {text_of(message, 'reason')}",
                code="sync-name-refused",
                where=str(guest),
                fix="Mend what it says on that computer, and start all again.",
            )
        elif kind == "confirm" and self._decided:
            guest.confirmed = True
            self._guests.drop(guest)

    def _take_join(self, guest: Guest, message: Message) -> None:
        name, process = text_of(message, "node", LONGEST_NODE), text_of(message, "process", 64)
        host = text_of(message, "host")
        again = [known for known in self._guests.slaves if known.process == process]
        for known in again:  # its connection broke, and this end has not noticed yet
            self._guests.drop(known)
        why = self._why_not(name, message)
        if why:
            guest.channel.send("sorry", reason=why)
            self._guests.drop(guest, GoneError(f"{name} was refused: {why.rstrip('.')}"))
            return
        guest.name, guest.process, guest.host = name, process, host
        self._sign_at = 0.0

    def _why_not(self, name: str, message: Message) -> str:
        """Why a computer cannot join; empty when it can."""
        own = self._settings
        names = [own.node, *(guest.name for guest in self._guests.slaves)]
        if message.get("rehearsal") is not own.rehearsal:
            return "One of the two is a rehearsal, and the other is not."
        if message.get("key") != fingerprint(own.key):
            return f"Its {own.key_name} is another one than the master's."
        if own.same_subject and message.get("subject") != fingerprint(own.subject):
            return "Its subject is another one than the master's."
        if not name.strip():
            return "It has no name."
        if name in names:
            return f"There is a computer named {name} already."
        if own.slaves and name not in own.slaves:
            return f"The master expects {', '.join(own.slaves)}."[:LONGEST_TEXT]
        if self._decided or len(names) > own.slave_count:
            return "The session has all its computers already."
        return ""

    def _gone(self, guest: Guest, error: GoneError) -> None:
        # A foreign program on the port, such as a scanner, is nothing the operator can mend.
        if guest.greeted or isinstance(error, (DifferentError, UnprovedError)):
            self._trouble = f"{guest}: {error}."

    # -- who is there --------------------------------------------------------------------------

    def _missing(self, slaves: list[Guest] | None = None) -> tuple[str, ...]:
        here = {guest.name for guest in (self._guests.slaves if slaves is None else slaves)}
        if self._settings.slaves:
            return tuple(name for name in self._settings.slaves if name not in here)
        more = self._settings.slave_count - len(here)
        return (f"{more} more",) if more > 0 else ()

    def _seen(self, left_s: float) -> Waiting:
        return Waiting(
            role="master",
            node=self._settings.node,
            place=f"listening at {self._settings.place}",
            connected=True,
            here=tuple(str(guest) for guest in self._guests.slaves),
            missing=self._missing(),
            left_s=left_s,
            may_go_on=self._settings.allow_bypass,
            trouble=self._trouble,
        )
