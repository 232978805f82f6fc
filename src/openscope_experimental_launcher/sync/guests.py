"""The connections of a master: who has come, who is a slave, who has vanished."""

from __future__ import annotations

import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from ..errors import SyncError
from .settings import SyncSettings
from .wire import LOOK_S, Channel, DifferentError, ForeignError, GoneError, Message

GREETING_S = 5.0
"""Seconds in which whoever connects must have said who it is."""
SIGN_OF_LIFE_S = 1.0
"""Seconds between two messages of the master; a slave answers each."""
SILENT_S = 5.0
"""Seconds of silence after which a computer counts as vanished."""
MOST_GUESTS = 64
MESSAGES_AT_ONCE = 20


class Guest:
    """A connection; once it has a name, a slave's.

    Attributes:
        channel: the connection.
        address: where it came from.
        name: the slave's name; empty before it has joined.
        process: what tells this slave's process from every other.
        host: what its computer calls itself.
        promised: number of the last proposal it promised to take.
        confirmed: whether it confirmed that the decision reached it.
    """

    def __init__(self, channel: Channel, address: str) -> None:
        self.channel = channel
        self.address = address
        self.came = self.heard = time.monotonic()
        self.greeted = False
        self.name = ""
        self.process = ""
        self.host = ""
        self.promised = 0
        self.confirmed = False

    def __str__(self) -> str:
        return f"{self.name} ({self.address})" if self.name else self.address


class Guests:
    """Everybody who is connected to the master.

    Args:
        settings: the master's part.
        on_gone: told of each guest that is no longer there, and why.
    """

    def __init__(self, settings: SyncSettings, on_gone: Callable[[Guest, GoneError], None]) -> None:
        self._secret = settings.secret
        self._on_gone = on_gone
        self._all: list[Guest] = []
        self._selector = selectors.DefaultSelector()
        self._listener = listen(settings)
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def slaves(self) -> list[Guest]:
        """Those who have joined."""
        return [guest for guest in self._all if guest.name]

    def holds(self, guest: Guest) -> bool:
        """Whether a guest is still connected."""
        return guest in self._all

    def messages(self, wait_s: float) -> Iterator[tuple[Guest, Message]]:
        """Wait a moment, and give out what has come. Who is gone, foreign or silent is dropped.

        Args:
            wait_s: seconds to wait at most for something to come.
        """
        self._selector.select(wait_s)
        self._admit()
        for guest in [*self._all]:
            for _ in range(MESSAGES_AT_ONCE):
                message = self._message_of(guest)
                if message is None:
                    break
                yield guest, message
                if guest not in self._all:
                    break
        self._drop_silent()

    def tell(self, guests: Iterable[Guest], kind: str, **content: object) -> None:
        """Send a message to some guests. Who cannot be reached is dropped."""
        for guest in [*guests]:
            try:
                guest.channel.send(kind, **content)
            except GoneError as error:
                self.drop(guest, error)

    def drop(self, guest: Guest, error: GoneError | None = None) -> None:
        """Close a guest's connection, and say why if there is a reason. May be called again."""
        if guest not in self._all:
            return
        self._all.remove(guest)
        self._selector.unregister(guest.channel)
        guest.channel.close()
        if error is not None:
            self._on_gone(guest, error)

    def hear_out(self, within_s: float) -> None:
        """Read on until all guests have closed: with something unread, closing a connection may
        take back what was said last (RFC 1122, 4.2.2.13).

        Args:
            within_s: seconds to wait at most.
        """
        until = time.monotonic() + within_s
        while self._all and time.monotonic() < until:
            for _ in self.messages(LOOK_S):
                pass

    def close(self) -> None:
        """Listen no more, and close all connections."""
        self._listener.close()
        for guest in [*self._all]:
            self.drop(guest)
        self._selector.close()

    def _admit(self) -> None:
        for _ in range(MOST_GUESTS):
            try:
                connection, address = self._listener.accept()
                channel = Channel(connection, "master", self._secret)
            except OSError:  # nobody else is there, or who was has gone
                return
            strangers = [guest for guest in self._all if not guest.name]
            if len(strangers) >= MOST_GUESTS:
                self.drop(strangers[0])
            guest = Guest(channel, str(address[0]))
            self._all.append(guest)
            self._selector.register(channel, selectors.EVENT_READ, guest)

    def _message_of(self, guest: Guest) -> Message | None:
        try:
            if not guest.greeted:
                if not _greet(guest.channel):
                    return None
                guest.greeted = True
            message = guest.channel.receive()
        except GoneError as error:
            self.drop(guest, error)
            return None
        if message is not None:
            guest.heard = time.monotonic()
        return message

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for guest in [*self._all]:
            if guest.name and now - guest.heard > SILENT_S:
                self.drop(guest, GoneError("nothing was heard of it"))
            elif not guest.name and now - guest.came > GREETING_S:
                self.drop(guest, ForeignError("it did not say who it is"))


def _greet(channel: Channel) -> bool:
    """Exchange greetings, as soon as the slave's has come."""
    try:
        came = channel.receive_greeting()
    except DifferentError:
        channel.greet()  # so that it can tell its operator what does not match
        raise
    if came:
        channel.greet()
    return came


def listen(settings: SyncSettings) -> socket.socket:
    """A listening socket that never blocks.

    Raises:
        SyncError: the address or the port cannot be had.
    """
    try:
        found = socket.getaddrinfo(
            settings.address, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:  # a name that can be no computer's
        raise _cannot_listen(settings, error) from error
    try:
        if sys.platform == "win32":  # where others could else share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(MOST_GUESTS)
        listener.setblocking(False)
    except OSError as error:
        with suppress(OSError):
            listener.close()
        raise _cannot_listen(settings, error) from error
    return listener


def _cannot_listen(settings: SyncSettings, error: Exception) -> SyncError:
    why = getattr(error, "strerror", None) or error
    return SyncError(
        f"The master cannot listen at {settings.place}: {why}.",
        code="sync-port-unusable",
        where="session_sync_bind_host, session_sync_port",
        fix="Close the program that has the port (another session?), or give all computers "
        "another session_sync_port; session_sync_bind_host must be an address of this computer.",
    )
