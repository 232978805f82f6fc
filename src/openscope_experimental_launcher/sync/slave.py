"""A slave's side: find the master, promise to take the name it proposes, wait for its decision."""

from __future__ import annotations

import select
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

from ..errors import ParameterError, SyncError
from ..parameters.names import check_subject
from ..parameters.wording import printable
from ..session.folder import NAME_PATTERN
from . import Agreement, Node, OnWait, Waiting
from .settings import SyncSettings, fingerprint
from .wire import (
    FAREWELL_S,
    LONGEST_TEXT,
    LOOK_S,
    Channel,
    DifferentError,
    ForeignError,
    GoneError,
    Message,
    UnheardError,
    UnprovedError,
    text_of,
)

CONNECT_S = 2.0
GREETING_S = 5.0
SILENT_S = 5.0
"""Seconds of silence after which the master counts as vanished."""
DECISION_MARGIN_S = 5.0
"""Seconds that a promise is kept beyond the time in which all must have promised."""

_LONGEST_PROMISE_S = 3600.0
_MOST_NAMES = 64


class _Promise:
    """The proposal this computer has promised to take."""

    def __init__(self, session: str, number: int, within_s: float) -> None:
        self.session = session
        self.number = number
        self.until = time.monotonic() + within_s + DECISION_MARGIN_S


class Slave:
    """Waits for the master's decision on the session's name.

    Args:
        settings: this computer's part.
        propose_name: gives the name of a session that would begin now, to go on alone with.
        why_not: says why this computer cannot take a name; empty when it can.
        on_wait: shows who is missing, and says when the operator wants to go on without them.
    """

    def __init__(
        self,
        settings: SyncSettings,
        propose_name: Callable[[], str],
        why_not: Callable[[str], str],
        on_wait: OnWait,
    ) -> None:
        self._settings = settings
        self._propose_name = propose_name
        self._why_not = why_not
        self._on_wait = on_wait
        self._process = uuid.uuid4().hex
        self._deadline = time.monotonic() + settings.timeout_s
        self._trouble = ""
        self._connected = False
        self._here: tuple[str, ...] = ()
        self._missing: tuple[str, ...] = ("the master",)
        self._promise: _Promise | None = None
        self._going_on = False

    def agree(self) -> Agreement:
        """Find the master and wait for its decision; see `sync.agree`."""
        while True:
            try:
                channel = self._connect()
            except (OSError, UnicodeError) as error:  # a name that can be no computer's
                why = getattr(error, "strerror", None) or error
                self._trouble = f"The master does not answer: {why}."
            else:
                try:
                    agreement = self._meet(channel)
                except GoneError as error:
                    self._lost(error)
                else:
                    return agreement or self._alone()
                finally:
                    channel.close()
            if self._pause():
                return self._alone()

    def _connect(self) -> Channel:
        place = (self._settings.address, self._settings.port)
        connection = socket.create_connection(place, timeout=CONNECT_S)
        return Channel(connection, "slave", self._settings.secret)

    def _pause(self) -> bool:
        """Wait before the next attempt. Whether the operator goes on without the others."""
        until = time.monotonic() + self._settings.retry_delay_s
        while True:
            if self._goes_on():
                return True
            left_s = until - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(left_s, LOOK_S))

    def _goes_on(self) -> bool:
        """Show who is missing. Whether the operator goes on without them.

        Raises:
            SyncError: the time is over.
        """
        left_s = self._deadline - time.monotonic()
        may_go_on = self._settings.allow_bypass and self._promise is None
        if left_s <= 0 and self._promise is None:
            raise self._late()
        state = Waiting(
            role="slave",
            node=self._settings.node,
            place=f"master at {self._settings.place}",
            connected=self._connected,
            here=self._here,
            missing=self._missing,
            left_s=left_s,
            may_go_on=may_go_on,
            trouble=self._trouble,
        )
        self._going_on = (self._on_wait(state) and may_go_on) or self._going_on
        return self._going_on

    def _late(self) -> SyncError:
        missing = ", ".join(self._missing)
        return SyncError(
            f"Not all computers were there within {self._settings.timeout_s:g} s; missing: "
            f"{missing}. {self._trouble}".rstrip(),
            code="sync-timeout",
            where=f"master at {self._settings.place}",
            fix="Start the master, check session_sync_master_host and session_sync_port and the "
            "firewall of the master's computer, and start this one again.",
        )

    # -- one connection ------------------------------------------------------------------------

    def _meet(self, channel: Channel) -> Agreement | None:
        """Talk to the master until it decides. None when the operator goes on without it.

        Raises:
            GoneError: the connection is of no more use.
            SyncError: there is no agreement.
        """
        self._greet(channel)
        own = self._settings
        channel.send(
            "join",
            node=own.node,
            process=self._process,
            host=own.host,
            key=fingerprint(own.key),
            subject=fingerprint(own.subject),
            rehearsal=own.rehearsal,
        )
        heard = time.monotonic()
        while True:
            message = channel.receive()
            if message is not None:
                heard = time.monotonic()
                agreement = self._take(channel, message)
                if agreement is not None:
                    return agreement
                continue
            if self._goes_on():
                return None
            now = time.monotonic()
            if self._promise is not None and now > self._promise.until:
                raise GoneError("its decision did not come")
            if self._promise is None and now - heard > SILENT_S:
                raise GoneError("nothing was heard of it")
            select.select([channel], [], [], LOOK_S)

    def _greet(self, channel: Channel) -> None:
        channel.greet()
        until = time.monotonic() + GREETING_S
        try:
            while not channel.receive_greeting():
                if time.monotonic() > until:
                    raise GoneError("it accepts connections, but does not answer")
                if self._goes_on():
                    raise GoneError("the operator goes on without it")
                select.select([channel], [], [], LOOK_S)
        except UnprovedError as error:
            raise self._unusable(
                "The master has another shared secret than this computer.",
                "sync-secret-differs",
                "Copy the master's secret file to this computer.",
            ) from error
        except DifferentError as error:
            raise self._unusable(
                f"The master and this computer do not match: {error}.",
                "sync-not-alike",
                "Give all computers the same version of the launcher, and all of them the same "
                "secret file or none.",
            ) from error

    def _take(self, channel: Channel, message: Message) -> Agreement | None:
        kind = message["type"]
        if kind == "waiting":
            self._connected = True
            self._here, self._missing = _names(message, "here"), _names(message, "missing")
            _answer(channel, "here")
        elif kind == "sorry":
            raise self._unusable(
                f"The master does not take this computer: {text_of(message, 'reason')}",
                "sync-refused",
                f"Here it is the node {self._settings.node}, with {self._settings.key_name} "
                f"{self._settings.key}. Correct the parameter file of one of the two.",
            )
        elif kind == "propose":
            self._consider(channel, message)
        elif kind == "abort" and message.get("final") is True:
            raise self._unusable(
                f"The session was called off: {text_of(message, 'reason')}",
                "sync-called-off",
                "Look at the master's screen, and start all again.",
            )
        elif kind == "abort":
            self._promise = None
        elif kind == "commit":
            return self._obey(channel, message)
        else:
            raise ForeignError(f"it sent an unknown message, {kind[:40]!r}")
        return None

    def _consider(self, channel: Channel, message: Message) -> None:
        """Promise to take the proposed name, or say why this computer cannot."""
        session, number = text_of(message, "session"), message.get("number")
        within_s = message.get("within_s")
        if not isinstance(number, int) or not isinstance(within_s, (int, float)):
            raise ForeignError("its proposal lacks a part")
        why = _why_unsafe(session) or self._why_not(session)
        if why:
            _answer(channel, "refuse", number=number, reason=printable(why)[:LONGEST_TEXT])
            raise self._unusable(
                f"This computer cannot take the name {session}: {why}",
                "sync-name-refused",
                "Mend it, and start all computers again.",
            )
        self._promise = _Promise(session, number, min(float(within_s), _LONGEST_PROMISE_S))
        _answer(channel, "promise", number=number)

    def _obey(self, channel: Channel, message: Message) -> Agreement:
        """The master has decided; nothing that happens now changes it."""
        promise = self._promise
        told = (message.get("session"), message.get("number"))
        if promise is None or told != (promise.session, promise.number):
            raise ForeignError("it decided on what it had not proposed")
        nodes, missing = tuple(_nodes(message)), _names(message, "missing")
        try:
            channel.send("confirm", number=promise.number)
            until = time.monotonic() + FAREWELL_S
            while time.monotonic() < until:  # until the master has read it and closes
                channel.receive()
                select.select([channel], [], [], LOOK_S)
        except GoneError:
            pass
        return Agreement(
            session=promise.session,
            role="slave",
            node=self._settings.node,
            nodes=nodes,
            missing=missing,
            authenticated=self._settings.secret is not None,
        )

    # -- no agreement --------------------------------------------------------------------------

    def _alone(self) -> Agreement:
        """The operator goes on with this computer alone."""
        own = self._settings
        me = Node(own.node, "slave", own.host)
        others = tuple(dict.fromkeys([*self._missing, *self._here]))
        return Agreement(self._propose_name(), "slave", own.node, (me,), others, False)

    def _lost(self, error: GoneError) -> None:
        """The connection has broken: try again, unless that could do harm.

        Raises:
            SyncError: it must not be tried again.
        """
        if self._promise is not None:
            raise self._unusable(
                f"The master vanished after this computer had promised to take the name "
                f"{self._promise.session}, and before its decision came: {error}. "
                "The other computers may have begun; this one has not.",
                "sync-undecided",
                "Look at the master's screen. If the session runs there, stop it; start all again.",
            ) from error
        if isinstance(error, ForeignError):
            raise self._unusable(
                f"What answers is no master of a session: {error}.",
                "sync-not-a-master",
                "Check session_sync_master_host and session_sync_port.",
            ) from error
        self._connected, self._here, self._missing = False, (), ("the master",)
        self._trouble = f"The master was lost: {error}."

    def _unusable(self, message: str, code: str, fix: str) -> SyncError:
        return SyncError(message, code=code, where=f"master at {self._settings.place}", fix=fix)


def _why_unsafe(session: str) -> str:
    """Why a name that came from another computer is no name for a folder here."""
    named = NAME_PATTERN.match(session)
    if named is None:
        return "it is not formed as a session's name."
    try:
        check_subject(named["label"])
    except ParameterError as error:
        return error.message
    return ""


def _answer(channel: Channel, kind: str, **content: object) -> None:
    """Send an answer. A master that has closed may have said why, and that is read next."""
    with suppress(UnheardError):
        channel.send(kind, **content)


def _names(message: Message, key: str) -> tuple[str, ...]:
    names = message.get(key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ForeignError(f"its message lacks a usable {key}")
    return tuple(names[:_MOST_NAMES])


def _nodes(message: Message) -> Iterator[Node]:
    nodes = message.get("nodes")
    for node in nodes if isinstance(nodes, list) else []:
        if isinstance(node, dict):
            role: Literal["master", "slave"] = "master" if node.get("role") == "master" else "slave"
            yield Node(text_of(node, "name"), role, text_of(node, "host"))
