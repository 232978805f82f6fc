"""The real program of the live page, and a client that says exactly what it is told to."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from openscope_experimental_launcher.session.state import (
    forget_session,
    remember_session,
    session_lock,
)

COMMAND = [sys.executable, "-m", "openscope_experimental_launcher", "serve"]


class Served:
    """A running live page.

    Attributes:
        address: what it printed, with the key.
        token: the key in it.
        port: where it listens.
        cookie: what it gave for the key, as `name=value`; empty before `sign_in`.
        word: what it wants to hear with a POST; empty before `sign_in`.
    """

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "--port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONUTF8": "1", **environment},
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        found = wait_for(self._find_address)
        self.address = found[0]
        self.port, self.token = int(found["port"]), found["token"]
        self.cookie = self.word = ""

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said.extend(iter(self.process.stdout.readline, ""))

    def _find_address(self) -> re.Match[str] | None:
        said = "".join(self.said)
        assert self.process.poll() is None, said
        return re.search(r"https?://\S+?:(?P<port>\d+)/\?token=(?P<token>[\w-]+)\s", said)

    @property
    def origin(self) -> str:
        """Scheme, name and port."""
        return self.address.partition("/?")[0]

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request as it is given, with nothing but these headers (`_` stands for `-`)."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": f"127.0.0.1:{self.port}", **named}.items():
            if value:
                line.putheader(name, value)
        if body is not None:
            line.putheader("Content-Length", str(len(body)))
        line.endheaders(body)
        answer = line.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        line.close()
        return found

    def sign_in(self) -> Served:
        """Exchange the key for the cookie, and hear the word."""
        status, headers, _ = self.ask(f"/?token={self.token}")
        assert status == 303, status
        self.cookie = headers["set-cookie"].partition(";")[0]
        self.word = next(self.messages())["word"]
        return self

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """What somebody who was let in is answered, as JSON."""
        status, _, body = self.ask(path, Cookie=self.cookie, **headers)
        return status, json.loads(body)

    def post(self, path: str, what: Any = None, **headers: str) -> tuple[int, Any]:
        """What the page itself is answered when it wants something done."""
        own = {
            "Cookie": self.cookie,
            "Origin": f"http://127.0.0.1:{self.port}",
            "X_OpenScope_Word": self.word,
            "Content_Type": "application/json",
        }
        body = what if isinstance(what, bytes) else json.dumps(what or {}).encode()
        status, _, answer = self.ask(path, "POST", body, **{**own, **headers})
        return status, json.loads(answer)

    def messages(self) -> Iterator[dict[str, Any]]:
        """What a page that was just opened is told, as it is told."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        line.request("GET", "/api/events", headers={"Cookie": self.cookie})
        answer = line.getresponse()
        assert answer.status == 200, answer.status
        try:
            while text := answer.readline():
                if text.startswith(b"data: "):
                    yield json.loads(text[6:])
        finally:
            line.close()

    def sessions(self) -> list[dict[str, Any]]:
        """All sessions that a page that is opened now is told of."""
        return next(said["sessions"] for said in self.messages() if said["kind"] == "all")

    def session(self, folder: Path) -> dict[str, Any]:
        """What it says of one session, once it knows it."""
        return wait_for(
            lambda: next((s for s in self.sessions() if s["path"] == str(folder)), None),
            every_s=0.2,
        )

    def end(self) -> int:
        """Ctrl-C. Returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def kill(self) -> None:
        """End it in any case."""
        self.process.kill()
        self.process.wait()
        self._reader.join(10)


def wait_for(condition: Callable[[], Any], seconds: float = 60, every_s: float = 0.02) -> Any:
    """Wait until something is so, and give it back."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(every_s)
    return found


class Running:
    """A session of this machine that somebody runs: noted as open, its lock held by this test, its
    journal written by it.

    Args:
        folder: a session folder with a journal, as `Past.written` makes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = session_lock(folder)
        assert self._lock.acquire()
        remember_session(folder)
        self._seq = (folder / "journal.jsonl").read_bytes().count(b"\n")

    def tell(
        self, event: str, /, *, raw: bytes | None = None, ago_s: float = 0.0, **data: Any
    ) -> None:
        """Write one event that happens now, or some seconds ago; or a line as it is."""
        self._seq += 1
        line = {
            "seq": self._seq,
            "time": "2026-11-03T09:09:00.000+00:00",
            "mono": round(time.monotonic() - ago_s, 6),
            "name": event,
            "data": data,
        }
        with (self.folder / "journal.jsonl").open("ab") as journal:
            journal.write(raw if raw is not None else json.dumps(line).encode() + b"\n")

    def measure(self, elapsed_s: float, **more: Any) -> None:
        """Write one measurement."""
        sample = {
            "elapsed_s": elapsed_s,
            "memory_mb": 400.0,
            "cpu_s": 0.5 * elapsed_s,
            "processes": 2,
            "system_percent": 31.0,
            "disk_free_mb": 900_000,
        }
        self.tell("acquisition.sampled", **{**sample, **more})

    def print(self, data: bytes, stream: str = "stdout") -> None:
        """Write on a stream as an acquisition would."""
        with (self.folder / "logs" / f"{stream}.log").open("ab") as log:
            log.write(data)

    def lose(self) -> None:
        """The launcher is gone."""
        self._lock.release()

    def end(self) -> None:
        """Nobody knows of it any more."""
        forget_session(self.folder)
        self.lose()
