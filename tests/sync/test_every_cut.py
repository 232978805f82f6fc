"""A connection that breaks at any byte of the conversation never makes a half-agreed session."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from datetime import datetime
from typing import Any

import pytest

from openscope_experimental_launcher.errors import SyncError
from openscope_experimental_launcher.session.folder import session_name
from openscope_experimental_launcher.sync import Agreement, agree
from sync.conftest import as_settings, free_port, settings

TOWARDS_MASTER, TOWARDS_SLAVE = 0, 1


class CuttingProxy:
    """Passes a slave's first connection on until so many bytes have gone one way, or until the
    first bytes of this kind, then breaks it; with `silently`, it passes on nothing more instead.
    Later connections are whole."""

    def __init__(self, master_port: int, way: int, at: int | bytes, *, silently: bool) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        self.was_cut = False
        self._master_port = master_port
        self._way, self._at, self._silently = way, at, silently
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self.server.settimeout(0.05)
        first = True
        while not self._over.is_set():
            with suppress(TimeoutError):
                slave, _ = self.server.accept()
                with suppress(OSError), slave:
                    master = socket.create_connection(("127.0.0.1", self._master_port), timeout=1)
                    with master:
                        self._pass_on(slave, master, cut=first)
                        first = False

    def _pass_on(self, slave: socket.socket, master: socket.socket, *, cut: bool) -> None:
        other = {slave: master, master: slave}
        sent = b""
        while not self._over.is_set():
            for ready in select.select([slave, master], [], [], 0.02)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                way = TOWARDS_MASTER if ready is slave else TOWARDS_SLAVE
                if cut and way == self._way and not self.was_cut:
                    sent, before = sent + data, len(sent)
                    end = self._at if isinstance(self._at, int) else sent.find(self._at)
                    self.was_cut = 0 <= end <= len(sent)
                    if self.was_cut:
                        other[ready].sendall(sent[before:end])
                        if not self._silently:
                            return
                        continue
                if not (self.was_cut and self._silently):
                    other[ready].sendall(data)

    def close(self) -> None:
        """Serve no more."""
        self._over.set()
        self._thread.join()
        self.server.close()


def take_part(values: dict[str, Any], results: dict[str, Agreement | SyncError]) -> None:
    own = as_settings(values)
    try:
        results[own.node] = agree(
            own,
            propose_name=lambda: session_name(own.subject, datetime.now()),
            why_not=lambda _: "",
            on_wait=lambda _: False,
        )
    except SyncError as error:
        results[own.node] = error


def meet(
    way: int, at: int | bytes, *, silently: bool
) -> tuple[dict[str, Agreement | SyncError], bool]:
    """Let a master and two slaves meet, one of them behind the proxy."""
    port = free_port()
    proxy = CuttingProxy(port, way, at, silently=silently)
    quick = {"timeout_s": 1.0, "ack_timeout_s": 0.3, "retry_delay_s": 0.01}
    results: dict[str, Agreement | SyncError] = {}
    threads = [
        threading.Thread(
            target=take_part, args=(settings(**{"port": p, "node": n, **quick}), results)
        )
        for n, p in (("master", port), ("camera", port), ("stimulus", proxy.port))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    proxy.close()
    return results, proxy.was_cut


def check(results: dict[str, Agreement | SyncError]) -> str:
    """What must be so, whatever happened. Returns what did happen, in a word."""
    master = results["master"]
    agreed = {name: r.session for name, r in results.items() if isinstance(r, Agreement)}
    assert len(set(agreed.values())) <= 1, results
    if isinstance(master, SyncError):
        assert not agreed, results
        return "no session"
    for name in ("camera", "stimulus"):
        if name not in agreed:  # it has not begun: it says so, and so does the master
            assert isinstance(results[name], SyncError)
            assert results[name].code == "sync-undecided"
            assert name in master.unconfirmed
    return "all agreed" if len(agreed) == 3 else "decision lost"


@pytest.mark.parametrize("way", [TOWARDS_MASTER, TOWARDS_SLAVE])
def test_a_connection_that_breaks_after_any_number_of_bytes(way: int) -> None:
    ends = []
    after, step = 1, 53  # no divisor of a line's length: cuts fall into lines and between them
    while True:
        results, was_cut = meet(way, after, silently=False)
        ends.append(check(results))
        if not was_cut:
            break
        after += step
    assert len(ends) > 10
    assert "all agreed" in ends
    assert ("decision lost" in ends) is (way == TOWARDS_SLAVE)


@pytest.mark.parametrize(
    "way, at, end",
    [
        (TOWARDS_MASTER, b'{"host"', "no session"),  # before it has joined
        (TOWARDS_MASTER, b'{"number"', "no session"),  # before its promise
        (TOWARDS_SLAVE, b'{"missing":[],"nodes"', "decision lost"),
    ],
)
def test_a_connection_that_falls_silent(way: int, at: bytes, end: str) -> None:
    results, was_cut = meet(way, at, silently=True)
    assert was_cut
    assert check(results) == end
