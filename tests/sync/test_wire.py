"""What the shared secret protects, byte for byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator

import pytest

from openscope_experimental_launcher.sync.wire import (
    LONGEST_LINE,
    Channel,
    DifferentError,
    ForeignError,
    GoneError,
    Message,
    UnprovedError,
)
from sync.conftest import Peer

Bend = Callable[[bytes], bytes]


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        return near, server.accept()[0]


def hear(channel: Channel) -> Message:
    """The next message, as soon as it is there."""
    return Peer.until(channel.receive)  # type: ignore[no-any-return]


class Line:
    """A master and a slave, with somebody between them who sees and sends every byte."""

    def __init__(self, master_secret: bytes | None, slave_secret: bytes | None) -> None:
        own_master, self.at_master = connected()
        own_slave, self.at_slave = connected()
        self.master = Channel(own_master, "master", master_secret)
        self.slave = Channel(own_slave, "slave", slave_secret)

    def to_master(self, bend: Bend = lambda data: data) -> bytes:
        """Carry what the slave has sent to the master."""
        data = self.at_slave.recv(100_000)
        self.at_master.sendall(bend(data))
        return data

    def to_slave(self, bend: Bend = lambda data: data) -> bytes:
        """Carry what the master has sent to the slave."""
        data = self.at_master.recv(100_000)
        self.at_slave.sendall(bend(data))
        return data

    def greet(self) -> None:
        """Let the two greet each other."""
        self.slave.greet()
        self.to_master()
        assert Peer.until(self.master.receive_greeting)
        self.master.greet()
        self.to_slave()
        assert Peer.until(self.slave.receive_greeting)

    def close(self) -> None:
        for end in (self.master, self.slave, self.at_master, self.at_slave):
            end.close()


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line(b"secret" * 4, b"secret" * 4)
    yield one
    one.close()


def test_messages_arrive_whole_and_in_order(line: Line) -> None:
    line.greet()
    for number in range(3):
        line.slave.send("promise", number=number, name="Über\n\u2028", end=None)
    data = line.at_slave.recv(100_000)
    for byte in data:  # one byte at a time
        line.at_master.sendall(bytes([byte]))
    messages = [hear(line.master) for _ in range(3)]
    assert [message["number"] for message in messages] == [0, 1, 2]
    assert messages[0]["name"] == "Über\n\u2028"


@pytest.mark.parametrize(
    "bend",
    [
        lambda data: data.replace(b'"number":1', b'"number":2'),
        lambda data: data.replace(b'"proof":"', b'"proof":"0'),
        lambda data: json.dumps({"type": "promise", "number": 1}).encode() + b"\n",
        lambda data: b'{"type":"promise","number":1,"proof":7}\n',
        lambda data: '{"type":"promise","proof":"ü"}\n'.encode(),
    ],
)
def test_a_changed_message_is_noticed(line: Line, bend: Bend) -> None:
    line.greet()
    line.slave.send("promise", number=1)
    line.to_master(bend)
    with pytest.raises(UnprovedError):
        hear(line.master)


def test_a_repeated_message_is_noticed(line: Line) -> None:
    line.greet()
    line.slave.send("promise", number=1)
    line.to_master(lambda data: data + data)
    assert hear(line.master)
    with pytest.raises(UnprovedError):
        hear(line.master)


def test_messages_in_another_order_are_noticed(line: Line) -> None:
    line.greet()
    line.slave.send("promise", number=1)
    line.slave.send("confirm", number=1)
    line.to_master(lambda data: b"\n".join(data.split(b"\n")[1::-1]) + b"\n")
    with pytest.raises(UnprovedError):
        hear(line.master)


def test_a_message_sent_back_is_noticed(line: Line) -> None:
    line.greet()
    line.master.send("waiting")
    data = line.at_master.recv(100_000)
    line.at_master.sendall(data)
    with pytest.raises(UnprovedError):
        hear(line.master)


def test_a_message_of_another_connection_is_noticed(line: Line) -> None:
    earlier = Line(b"secret" * 4, b"secret" * 4)
    earlier.greet()
    line.greet()
    earlier.master.send("commit", number=1)
    recorded = earlier.at_master.recv(100_000)
    earlier.close()
    line.at_slave.sendall(recorded)
    with pytest.raises(UnprovedError):
        hear(line.slave)


def test_the_master_proves_itself_first() -> None:
    line = Line(b"another" * 4, b"secret" * 4)
    with pytest.raises(UnprovedError):
        line.greet()
    line.close()


def test_a_slave_with_another_secret_proves_nothing() -> None:
    line = Line(b"secret" * 4, b"another" * 4)
    line.slave.greet()
    line.to_master()
    assert Peer.until(line.master.receive_greeting)
    line.at_master.sendall(b'{"type":"join","proof":"' + b"0" * 64 + b'"}\n')
    with pytest.raises(UnprovedError):
        hear(line.master)
    line.close()


@pytest.mark.parametrize("secrets", [(None, b"secret" * 4), (b"secret" * 4, None)])
def test_one_secret_is_none(secrets: tuple[bytes | None, bytes | None]) -> None:
    line = Line(*secrets)
    line.slave.greet()
    line.to_master()
    with pytest.raises(DifferentError):
        Peer.until(line.master.receive_greeting)
    line.close()


def test_an_echo_is_no_master() -> None:
    for secret in (None, b"secret" * 4):
        line = Line(secret, secret)
        line.slave.greet()
        line.at_slave.sendall(line.at_slave.recv(100_000))
        if secret is None:  # it takes the greeting, but then nothing that a slave says
            assert Peer.until(line.slave.receive_greeting)
        else:
            with pytest.raises(UnprovedError):
                Peer.until(line.slave.receive_greeting)
        line.close()


def test_a_line_without_end_is_cut_short(line: Line) -> None:
    line.greet()
    line.at_master.setblocking(False)
    with pytest.raises(ForeignError):
        for _ in range(LONGEST_LINE):
            line.at_master.send(b"x" * 4096)
            line.master.receive()


def test_who_does_not_read_is_gone(line: Line) -> None:
    line.greet()
    with pytest.raises(GoneError):
        for _ in range(10_000):
            line.master.send("waiting", here=["x" * 1000])


def test_the_secret_is_never_sent(line: Line) -> None:
    line.slave.greet()
    seen = line.to_master()
    assert Peer.until(line.master.receive_greeting)
    line.master.greet()
    seen += line.to_slave()
    Peer.until(line.slave.receive_greeting)
    line.slave.send("join", node="camera")
    seen += line.to_master()
    assert b"secretsecret" not in seen
