"""Computers that share a session, as processes of their own on this machine."""

from __future__ import annotations

import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.sync import SyncSettings
from openscope_experimental_launcher.sync.wire import Channel, GoneError, Message

NODE = Path(__file__).with_name("node.py")
SECRET = "a secret of some length"


def free_port() -> int:
    """A port of this machine that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def settings(port: int, node: str, **changes: Any) -> dict[str, Any]:
    """The part of a computer, the master if it is called so, with times that suit a test."""
    slaves = changes.get("slaves", ["camera", "stimulus"])
    return {
        "role": "master" if node == "master" else "slave",
        "node": node,
        "host": f"{node}-pc",
        "address": "127.0.0.1",
        "port": port,
        "slaves": slaves,
        "slave_count": len(slaves),
        "key": "614173",
        "key_name": "subject_id",
        "subject": "614173",
        "same_subject": True,
        "rehearsal": False,
        "secret": SECRET,
        "timeout_s": 20.0,
        "ack_timeout_s": 2.0,
        "retry_delay_s": 0.1,
        "allow_bypass": False,
        **changes,
    }


def as_settings(values: dict[str, Any]) -> SyncSettings:
    """The same for this process."""
    secret = values["secret"]
    return SyncSettings(**{**values, "secret": secret.encode() if secret else None})


class Computer:
    """A node in a process of its own, and what it has said."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(NODE), json.dumps(values)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            bufsize=1,
        )
        self.said: list[dict[str, Any]] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def see(self, condition: Callable[[dict[str, Any]], bool], within_s: float = 15) -> Any:
        """Wait until it says something of which a condition is true; returns that."""
        until = time.monotonic() + within_s
        for heard in self.said:
            if condition(heard):
                return heard
        while True:
            try:
                line = self._lines.get(timeout=max(until - time.monotonic(), 0.01))
            except queue.Empty:
                line = None
            assert line is not None, f"never said; it said {self.said}"
            self.said.append(json.loads(line) if line.startswith("{") else {"text": line})
            if condition(self.said[-1]):
                return self.said[-1]

    def waits_for(self, *missing: str) -> dict[str, Any]:
        """Wait until exactly these are missing."""
        seen = self.see(lambda heard: list(missing) == heard.get("waiting", {}).get("missing"))
        self.said.clear()
        return dict(seen["waiting"])

    def agreed(self) -> dict[str, Any]:
        """What it agreed on."""
        return dict(self.end()["agreed"])

    def error(self) -> str:
        """The code of the error it ended with."""
        return str(self.end()["error"])

    def end(self) -> dict[str, Any]:
        """Its last word."""
        return dict(self.see(lambda heard: "agreed" in heard or "error" in heard))

    def go_on(self) -> None:
        """The operator goes on without those who are missing."""
        assert self.process.stdin is not None
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()


@pytest.fixture
def port() -> int:
    """The master's port."""
    return free_port()


@pytest.fixture
def start(port: int) -> Iterator[Callable[..., Computer]]:
    """Start a computer by its name; what still runs at the end is killed."""
    started: list[Computer] = []

    def start_one(node: str, **changes: Any) -> Computer:
        started.append(Computer(settings(**{"port": port, "node": node, **changes})))
        return started[-1]

    yield start_one
    for computer in started:
        computer.process.kill()
        computer.process.wait()


class Peer:
    """The other end of a conversation, played by the test message by message."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    @classmethod
    def slave(cls, port: int, secret: str | None = SECRET) -> Peer:
        """A slave that has greeted the master."""
        connection = dial(port)
        peer = cls(Channel(connection, "slave", secret.encode() if secret else None))
        peer.channel.greet()
        peer.until(peer.channel.receive_greeting)
        return peer

    @classmethod
    def master(cls, server: socket.socket, secret: str | None = SECRET) -> Peer:
        """A master that a slave has reached."""
        server.settimeout(10)
        connection, _ = server.accept()
        peer = cls(Channel(connection, "master", secret.encode() if secret else None))
        peer.until(peer.channel.receive_greeting)
        peer.channel.greet()
        return peer

    @staticmethod
    def until(look: Callable[[], Any]) -> Any:
        """What `look` gives as soon as it gives something."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = look()
            if found:
                return found
            time.sleep(0.005)
        raise AssertionError("nothing came")

    def join(self, node: str, **changes: Any) -> None:
        """Join as a node would."""
        from openscope_experimental_launcher.sync.settings import fingerprint

        fields = {"process": node, "host": "h", "rehearsal": False} | changes
        same = fingerprint("614173")
        self.channel.send("join", node=node, **{"key": same, "subject": same, **fields})

    def hear(self, kind: str) -> Message:
        """The next message of a kind; signs of life are answered meanwhile."""

        def look() -> Message | None:
            message = self.channel.receive()
            if message is not None and message["type"] == "waiting" and kind != "waiting":
                self.channel.send("here")
            return message if message is not None and message["type"] == kind else None

        found: Message = self.until(look)
        return found

    def is_gone(self) -> bool:
        """Whether the other side closes the connection."""
        try:
            self.until(lambda: self.channel.receive() and None)
        except GoneError:
            return True
        return False


def dial(port: int) -> socket.socket:
    """A connection to the master, as soon as it listens."""
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.02)
