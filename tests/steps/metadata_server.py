"""A metadata service on a real socket that can misbehave in every way that was seen or feared."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

SUBJECT = {"subject_id": "614173", "genotype": "Sst-IRES-Cre/wt", "note": "ü"}
PROJECTS = ["OpenScope", "Learning mFISH-V1omFISH", "Dynamic Routing"]


class Server:
    """Answers each connection with what `behave` says; remembers what was asked.

    Args:
        behave: from the path that was asked for to the raw bytes of an answer, or to a function
            that is given the connection.
    """

    def __init__(self, behave: Callable[[str], Any]) -> None:
        self.behave = behave
        self.asked: list[str] = []
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self.stopping.set()
        self._listener.close()

    def _serve(self) -> None:
        while not self.stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            request = b""
            try:
                while b"\r\n\r\n" not in request:
                    got = connection.recv(4096)
                    if not got:
                        return
                    request += got
                path = request.split(b" ")[1].decode()
                self.asked.append(path)
                behaviour = self.behave(path)
                if callable(behaviour):
                    behaviour(self, connection)
                else:
                    connection.sendall(behaviour)
            except OSError:
                pass


def answer(status: int, body: Any = b"", **headers: str) -> bytes:
    """A whole answer of HTTP/1.1."""
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    lines = {"Content-Length": str(len(raw)), "Connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return f"HTTP/1.1 {status} Word\r\n{head}\r\n".encode() + raw


def silent(server: Server, connection: socket.socket) -> None:
    """Say nothing until the test is over."""
    server.stopping.wait(30)


def dripping(server: Server, connection: socket.socket) -> None:
    """One byte at a time, without an end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not server.stopping.wait(0.02):
        connection.sendall(b" ")


def flood(server: Server, connection: socket.socket) -> None:
    """More than anybody wants."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    block = b" " * 1_000_000
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not server.stopping.is_set():
        connection.sendall(block)


def cut_off(server: Server, connection: socket.socket) -> None:
    """Half of what was promised."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"subject_id": "6141')


def reset(server: Server, connection: socket.socket) -> None:
    """Hang up with a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
