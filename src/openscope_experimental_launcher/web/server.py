"""The program that serves the page: its port, its encryption, its end."""

from __future__ import annotations

import logging
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import uvicorn

from ..display.history import Progress
from ..errors import LauncherError
from ..session.index import open_history, sessions_below
from ..session.state import remember_root, state_folder
from ..session.summary import OPEN
from .app import LivePage
from .finding import OpenSessions
from .gate import Gate, Keys, names_of
from .listening import is_loopback, listen_at
from .watcher import Watcher

_LOG_BYTES = 1_000_000
_END_S = 1  # for what is being answered at the end


class Settings(NamedTuple):
    """What was asked for.

    Attributes:
        roots: folders of sessions besides those known on this machine.
        host: name or address on which to listen.
        port: port on which to listen; 0 for any that is free.
        certificate, key: files of the TLS certificate and its key; None without encryption.
        unencrypted: whether other machines may ask without encryption.
        read_only: whether nothing can be done on the page.
    """

    roots: tuple[Path, ...]
    host: str
    port: int
    certificate: Path | None
    key: Path | None
    unencrypted: bool
    read_only: bool


class Addresses(NamedTuple):
    """Where the page is.

    Attributes:
        shown: for the person, with the key; opens the page any number of times.
        once: opens it once.
        loopback: whether only this machine reaches it.
    """

    shown: str
    once: str
    loopback: bool


def serve(settings: Settings, on_open: Callable[[Addresses], object]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        settings: what was asked for.
        on_open: called once, when it can be opened.

    Raises:
        LauncherError: in plain words, why it cannot be served.
    """
    loopback = is_loopback(settings.host)
    _check_encryption(settings, loopback)
    for root in settings.roots:
        _check_root(root)
    with listen_at(settings.host, settings.port) as listener:
        port = listener.getsockname()[1]
        keys = Keys()
        live = LivePage(
            Watcher(OpenSessions(settings.roots, _known_to_be_closed(settings.roots))),
            list(settings.roots),
            keys.word,
            read_only=settings.read_only,
        )
        gate = Gate(
            live.application(),
            keys=keys,
            names=names_of(settings.host, loopback=loopback),
            port=port,
            encrypted=settings.certificate is not None,
            read_only=settings.read_only,
        )
        _log_to(state_folder() / "live-page.log")
        place = f"{_scheme(settings)}://{_named(settings.host, loopback)}:{port}/?token="
        addresses = Addresses(place + keys.token, place + keys.once, loopback)
        live.start()
        server = _Server(_config(gate, settings), lambda: on_open(addresses), live.end)
        server.run_until_ctrl_c(listener)


def _config(gate: Gate, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        gate,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,  # it would hold the key
        server_header=False,
        proxy_headers=False,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
        timeout_graceful_shutdown=_END_S,
    )


def _log_to(file: Path) -> None:
    """Keep what goes wrong with the page; never what is asked for, which may hold the key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    log = RotatingFileHandler(
        file, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8", delay=True
    )
    log.setLevel(logging.WARNING)
    log.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
    logging.getLogger().addHandler(log)


class _Server(uvicorn.Server):
    """Ends at once, also while pages are open, and in order from its first moment on."""

    def __init__(
        self, config: uvicorn.Config, on_open: Callable[[], object], on_end: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_open, self._on_end = on_open, on_end

    def run_until_ctrl_c(self, listener: socket.socket) -> None:
        # uvicorn begins to listen for Ctrl-C only after it has made its event loop.
        before = signal.signal(signal.SIGINT, self.handle_exit)
        try:
            self.run(sockets=[listener])
        finally:
            signal.signal(signal.SIGINT, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_open()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_end()
        super().handle_exit(sig, frame)


def _scheme(settings: Settings) -> str:
    return "https" if settings.certificate else "http"


def _named(host: str, loopback: bool) -> str:
    """The name in the address that is shown."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - everywhere
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _check_encryption(settings: Settings, loopback: bool) -> None:
    if not (loopback or settings.certificate or settings.unencrypted):
        raise LauncherError(
            "Other machines would reach the page without encryption, its key and all it shows.",
            code="web-unencrypted",
            where=f"--host {settings.host}",
            fix="Give --certificate FILE and --key FILE, or say --unencrypted on a network that "
            "you trust.",
        )
    if settings.certificate is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.certificate, settings.key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise LauncherError(
            f"The certificate or its key cannot be used: {error.args[-1]}.",
            code="web-certificate",
            where=f"--certificate {settings.certificate} --key {settings.key or ''}",
            fix="Give both as PEM files that belong together, the key without a password.",
        ) from error


def _check_root(root: Path) -> None:
    if not root.is_dir():
        raise LauncherError(
            "This folder is not there.",
            code="web-root-missing",
            where=str(root),
            fix="Name the folder in which the session folders lie, or bring its disk back.",
        )


def _known_to_be_closed(roots: tuple[Path, ...]) -> list[str]:
    """Take the sessions below the roots into the history, as far as they are not in it; returns
    the folders of all that are closed."""
    with open_history(Progress(sys.stderr)) as history:
        if not roots:
            return []
        known = {session.folder for session in history.find(look=False)}
        for root in roots:
            remember_root(root)
            history.read([path for path in sessions_below(root) if str(path) not in known])
        return [session.folder for session in history.find(look=False) if session.outcome != OPEN]
