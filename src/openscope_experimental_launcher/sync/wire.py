"""One connection between two computers: JSON objects, one a line, proved by the shared secret.

With a secret, each line carries a keyed hash (HMAC-SHA-256, RFC 2104) over its content, its
direction, its number and a random number of either side. So it proves that its sender knows the
secret, and cannot be changed, repeated, reordered, sent back or taken from another connection. It
does not hide the content.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import socket
from typing import Any, Literal

PROTOCOL = 1
LONGEST_LINE = 65536
"""Bytes; a longer line is no message of a launcher."""

LONGEST_TEXT = 400
"""Characters of a text in a message."""

LOOK_S = 0.1
FAREWELL_S = 1.0
"""Seconds in which the other side may read what was said last, and close."""

Side = Literal["master", "slave"]
Message = dict[str, Any]


class GoneError(Exception):
    """The connection is of no more use; its text says why."""


class UnheardError(GoneError):
    """The other side has closed the connection. What it said before may still be read."""


class ForeignError(GoneError):
    """What came is no message of a launcher."""


class UnprovedError(GoneError):
    """A message does not prove that its sender knows the secret."""


class DifferentError(GoneError):
    """A launcher with which nothing can be agreed."""


class OneSidedError(DifferentError):
    """One side has a secret and the other has none."""


class Channel:
    """A connected socket, as one side sees it. Sending and receiving never block.

    Args:
        connection: the socket.
        side: whose end this is.
        secret: the shared secret; None for none.
    """

    def __init__(self, connection: socket.socket, side: Side, secret: bytes | None) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._nonce = secrets.token_hex(16)
        self._connection = connection
        self._side: Side = side
        self._other: Side = "slave" if side == "master" else "master"
        self._secret = secret
        self._peer_nonce = ""
        self._sent = self._received = 0
        self._buffer = b""

    def fileno(self) -> int:
        """The socket's, for a selector; -1 once it is closed."""
        return self._connection.fileno()

    def greet(self) -> None:
        """Send this side's greeting. The master's comes second, and so is proved already.

        Raises:
            GoneError: the other side is gone.
        """
        has_secret = self._secret is not None
        self.send("hello", protocol=PROTOCOL, secret=has_secret, nonce=self._nonce)

    def receive_greeting(self) -> bool:
        """Take the other side's greeting, if it has come; from now on all lines are proved.

        Raises:
            GoneError, ForeignError, UnprovedError: as `receive`.
            DifferentError: it is a launcher, but one with which nothing can be agreed.
        """
        line = self._next_line()
        if line is None:
            return False
        greeting = _parse(line)
        if greeting["type"] != "hello":
            raise ForeignError("it does not begin as a launcher does")
        if greeting.get("protocol") != PROTOCOL:
            raise DifferentError("it is of another version, which agrees in another way")
        if greeting.get("secret") is not (self._secret is not None):
            raise OneSidedError(
                "it has no shared secret, and this computer has one"
                if self._secret is not None
                else "it asks for a shared secret, and this computer has none"
            )
        self._peer_nonce = text_of(greeting, "nonce", 64)
        if self._side == "slave":
            self._check(greeting)
        return True

    def send(self, kind: str, **content: object) -> None:
        """Send one message.

        Raises:
            UnheardError: the other side has closed the connection.
            GoneError: it is gone, or has not read for long.
        """
        message: Message = {"type": kind, **content}
        self._sent += 1
        if self._proved:
            message["proof"] = self._proof(self._side, self._sent, message)
        data = _canonical(message) + b"\n"
        try:
            whole = self._connection.send(data) == len(data)
        except ConnectionError as error:
            raise UnheardError(f"the connection was lost: {error.strerror or error}") from error
        except OSError as error:
            raise GoneError(f"the connection was lost: {error.strerror or error}") from error
        if not whole:
            raise GoneError("it does not read what it is sent")

    def receive(self) -> Message | None:
        """The next whole message after the greeting; None when there is none yet.

        Raises:
            GoneError: the other side is gone, and all it sent was received.
            ForeignError: what came is no message.
            UnprovedError: a message does not prove that its sender knows the secret.
        """
        line = self._next_line()
        if line is None:
            return None
        message = _parse(line)
        self._check(message)
        return message

    @property
    def _proved(self) -> bool:
        return self._secret is not None and bool(self._peer_nonce)

    def _check(self, message: Message) -> None:
        proof = message.pop("proof", None)
        if not self._proved:
            return
        expected = self._proof(self._other, self._received, message)
        if not isinstance(proof, str) or not _same(proof, expected):
            raise UnprovedError("it does not prove that it knows the shared secret")

    def _next_line(self) -> bytes | None:
        if b"\n" not in self._buffer:
            self._read()
        line, newline, rest = self._buffer.partition(b"\n")
        if len(line) > LONGEST_LINE:
            raise ForeignError("it sent a line that is too long")
        if not newline:
            return None
        self._buffer = rest
        self._received += 1
        return line

    def _read(self) -> None:
        try:
            data = self._connection.recv(LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError as error:
            raise GoneError(f"the connection was lost: {error.strerror or error}") from error
        if not data:
            raise GoneError("it closed the connection")
        self._buffer += data

    def _proof(self, side: Side, number: int, message: Message) -> str:
        nonces = (self._nonce, self._peer_nonce)
        master, slave = nonces if self._side == "master" else reversed(nonces)
        parts = ["openscope session sync", str(PROTOCOL), side, master, slave, str(number)]
        said = "\n".join(parts).encode("utf-8", "replace") + b"\n" + _canonical(message)
        return hmac.new(self._secret or b"", said, hashlib.sha256).hexdigest()

    def close(self) -> None:
        """Close the connection. May be called again."""
        self._connection.close()


def _canonical(message: Message) -> bytes:
    return json.dumps(message, sort_keys=True, separators=(",", ":")).encode("ascii")


def _same(proof: str, expected: str) -> bool:
    return hmac.compare_digest(proof.encode("utf-8", "replace"), expected.encode("ascii"))


def _parse(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ForeignError("it sent something that is no message of a launcher")
    return message


def text_of(message: Message, name: str, longest: int = LONGEST_TEXT) -> str:
    """A text in a message from another computer: one line, not too long.

    Raises:
        ForeignError: it is missing or something else.
    """
    value = message.get(name)
    if not isinstance(value, str) or len(value) > longest or not value.isprintable():
        raise ForeignError(f"its message lacks a usable {name}")
    return value
