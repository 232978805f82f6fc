"""Who may see the page, and who may act on it: the one gate that every request goes through.

A browser carries requests of other pages too, so an open port of this machine is open to every page
that is visited on it. What holds them off (source: the OWASP cheat sheets on cross-site request
forgery and on securing cookies):

- The name in `Host` must be one of this machine, so that a foreign name that was made to lead here
  (DNS rebinding) leads to nothing.
- The key that the program prints is exchanged for a cookie that no script can read and that no
  other site's requests carry.
- What changes something is a POST from this very page (`Origin`), with a word in a header that
  only this page was told, and a body that other pages cannot send.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Iterable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .assets import asset

OPEN_FOLDER = "/assets/"
"""What lies below is the package's own and no secret."""

WORD_HEADER = "x-openscope-word"

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Keys:
    """The secrets of one run of the program; the next run has others.

    Attributes:
        token: opens the page; printed for the person.
        once: opens it a single time: it may be read on a command line.
        cookie: what a browser that was let in carries.
        word: what the page says with everything that changes something.
    """

    def __init__(self) -> None:
        self.token, self.once, self.cookie, self.word = (secrets.token_urlsafe(32) for _ in "1234")

    def let_in(self, key: str) -> bool:
        """Whether this key opens the page."""
        if self.once and _same(key, self.once):
            self.once = ""
            return True
        return _same(key, self.token)


class Names(NamedTuple):
    """The names under which the page may be asked for.

    Attributes:
        known: names and addresses, in lower case.
        any_address: whether any address in digits will do: no foreign name hides behind one.
    """

    known: frozenset[str]
    any_address: bool

    def has(self, host: str) -> bool:
        """Whether a `Host` header names this machine; its port is that of any tunnel to it."""
        name = _without_port(host)
        return name in self.known or (self.any_address and _is_address(name))


def names_of(host: str, *, loopback: bool) -> Names:
    """The names of a page that listens there."""
    if loopback:
        return Names(_LOOPBACK, any_address=False)
    own = {socket.gethostname(), socket.getfqdn(), f"{socket.gethostname()}.local", host}
    return Names(_LOOPBACK | {name.lower() for name in own}, any_address=True)


class Gate:
    """Lets through what may pass, as an application around the page's own.

    Args:
        app: the page.
        keys: its secrets.
        names: its names.
        port: its port, which tells its cookie from those of others on this machine.
        encrypted: whether it is asked for over TLS.
        read_only: whether nothing may be changed.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Keys,
        names: Names,
        port: int,
        encrypted: bool,
        read_only: bool,
    ) -> None:
        self._app = app
        self._keys = keys
        self._names = names
        self._cookie = f"openscope-{port}"
        self._encrypted = encrypted
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it through."""
        if scope["type"] != "http":
            return  # nothing here speaks anything else

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = list(_with_headers(message["headers"]))
            await send(message)

        answer = self._refused(Request(scope))
        await (answer or self._app)(scope, receive, send_guarded)

    def _refused(self, request: Request) -> Response | None:
        """What is answered to a request that is not let through; None for one that is."""
        if not self._names.has(request.headers.get("host", "")):
            return refusal(403, "This page is not asked for by one of its own names.")
        if request.url.path.startswith(OPEN_FOLDER) and request.method in ("GET", "HEAD"):
            return None
        if request.method == "GET" and "token" in request.query_params:
            return self._sign_in(request.query_params["token"])
        if not _same(request.cookies.get(self._cookie, ""), self._keys.cookie):
            return _sign_in_page(request)
        if request.method in ("GET", "HEAD"):
            return None
        return self._refused_to_act(request)

    def _refused_to_act(self, request: Request) -> Response | None:
        headers = request.headers
        scheme = "https" if self._encrypted else "http"
        if headers.get("origin", "").lower() != f"{scheme}://{headers['host']}".lower():
            return refusal(403, "This was not asked for by the page itself.")
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return refusal(403, "This was not asked for by the page itself.")
        if not _same(headers.get(WORD_HEADER, ""), self._keys.word):
            return refusal(403, "The page is from an earlier start of the program. Load it again.")
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return refusal(415, "Only JSON is taken here.")
        if self._read_only:
            return refusal(403, "This page was started with --read-only: it changes nothing.")
        return None

    def _sign_in(self, key: str) -> Response:
        if not self._keys.let_in(key):
            return _page("sign-in.html", 403)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self._cookie,
            self._keys.cookie,
            httponly=True,
            samesite="strict",
            secure=self._encrypted,
        )
        return answer


def refusal(status: int, message: str, *, code: str = "", fix: str = "") -> Response:
    """What is not done, and why, as the page's scripts read it."""
    return JSONResponse({"message": message, "code": code, "fix": fix}, status)


def _sign_in_page(request: Request) -> Response:
    if "text/html" in request.headers.get("accept", "") and request.method == "GET":
        return _page("sign-in.html", 401)
    return refusal(401, "The key is missing. Open the address that openscope serve has printed.")


def _page(name: str, status: int) -> Response:
    return Response(asset(name), status, media_type="text/html")


def _same(given: str, wanted: str) -> bool:
    """Whether two secrets are the same, told in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _with_headers(own: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    given = dict(own)
    yield from own
    for name, value in _HEADERS.items():
        if name.encode() not in given:
            yield name.encode(), value.encode()


def _without_port(host: str) -> str:
    """`[::1]:8484` → `::1`, `rig-2:8484` → `rig-2`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
