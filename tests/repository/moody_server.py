"""A real git server over HTTP (git's own http-backend) that has moods: `/MOOD/PATH` answers so."""

from __future__ import annotations

import http.server
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

REDIRECTS = {"to-a-file": "file:///etc/passwd", "to-a-program": "ext::sh -c exit"}


class _Handler(http.server.BaseHTTPRequestHandler):
    root: Path

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        _, mood, path = self.path.split("/", 2)
        if mood == "login-page":
            self._send(200, [("Content-Type", "text/html")], b"<html>Please log in.</html>")
        elif mood == "in-a-circle":
            self._send(302, [("Location", self.path)], b"")
        elif mood in REDIRECTS:
            self._send(302, [("Location", REDIRECTS[mood])], b"")
        elif mood.isdecimal():
            self._send(int(mood), [("WWW-Authenticate", "Basic")], b"")
        else:
            self._send(*_spoiled(mood, *self._backend(path, body)))

    def _backend(self, path: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """What git's own server answers."""
        file, _, query = path.partition("?")
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{unquote(file)}",
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type") or "",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol") or "",
        }
        answer = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=True
        ).stdout
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")]
        status = next((int(value[:3]) for name, value in headers if name == "Status"), 200)
        return status, headers, content  # type: ignore[return-value] # two texts each

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _spoiled(
    mood: str, status: int, headers: list[tuple[str, str]], content: bytes
) -> tuple[int, list[tuple[str, str]], bytes]:
    """The answer with its pack of objects cut short, or with one byte of it bent."""
    middle = len(content) * 2 // 3
    if b"PACK" not in content or mood == "well":
        return status, headers, content
    if mood == "cut-short":
        return status, headers, content[:middle]
    bent = bytes([content[middle] ^ 0xFF])
    return status, headers, content[:middle] + bent + content[middle + 1 :]


@contextmanager
def moody_server(root: Path) -> Iterator[str]:
    """Serve the repositories in a folder; gives the address before the mood."""
    handler = type("Handler", (_Handler,), {"root": root})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
