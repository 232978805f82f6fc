"""The port on which the page is asked for."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys

from ..errors import LauncherError

# The numbers are those of Windows' sockets (source: its documentation of their error codes).
_REFUSED = frozenset({errno.EACCES, errno.EPERM, 10013})
_TAKEN = frozenset({errno.EADDRINUSE, 10048})


def is_loopback(host: str) -> bool:
    """Whether a name or address leads to this very machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen_at(host: str, port: int) -> socket.socket:
    """Listen there, and share it with no other program.

    Raises:
        LauncherError: in plain words, why not.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise _no_such_place(host, error) from error
    listener = socket.socket(family, kind)
    try:
        if sys.platform == "win32":  # there, two programs could share a port otherwise
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _not_listening(host, port, error) from error
    return listener


def _not_listening(host: str, port: int, error: OSError) -> LauncherError:
    where = f"--host {host} --port {port}"
    if error.errno in _TAKEN:
        return LauncherError(
            "Another program listens on this port; it may be another live page.",
            code="web-port-taken",
            where=where,
            fix=f"Open that page, or take another port: --port {port + 1}, or --port 0 for any "
            "that is free.",
        )
    if error.errno in _REFUSED:
        return LauncherError(
            "This account may not listen on this port.",
            code="web-port-refused",
            where=where,
            fix="Take one above 1023, such as --port 8484.",
        )
    return _no_such_place(host, error)


def _no_such_place(host: str, error: Exception) -> LauncherError:
    said = getattr(error, "strerror", None) or error
    return LauncherError(
        f"This machine has no such address: {said}.",
        code="web-host-unknown",
        where=f"--host {host}",
        fix="Give one of this machine's own addresses, or 0.0.0.0 for all of them.",
    )
