"""Show the sessions of this machine on a page in the browser: the live page.

Running sessions come first, whatever started them: what they do, their last lines, their memory,
processor and disk against their limits. From there a note is added, a session is stopped, a lost
one is closed; then the history, with a report of every session. ROOT is a folder of sessions that
is looked through besides those that are known here.

Only this machine reaches the page, and only with the address that is printed: it holds a key. The
page reads what sessions write. It may be closed and opened at any time; no session notices.

examples:
  openscope serve --open
  openscope serve D:/sessions --read-only
  openscope serve --host 0.0.0.0 --certificate rig.pem --key rig.key
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_OK, LauncherError, ParameterError

if TYPE_CHECKING:
    from ..web.server import Addresses

_PORT = 8484
_NEEDED = ("starlette", "uvicorn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope serve`."""
    parser.add_argument("roots", nargs="*", metavar="ROOT", help="a folder of sessions")
    parser.add_argument(
        "--port", type=int, default=_PORT, metavar="N", help=f"{_PORT} if not given; 0: any free"
    )
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument("--read-only", action="store_true", help="a page that changes nothing")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="let other machines in, at this address of this one (0.0.0.0: at all); needs the "
        "certificate, or --unencrypted",
    )
    parser.add_argument("--certificate", metavar="FILE", help="TLS certificate, PEM")
    parser.add_argument("--key", metavar="FILE", help="its key, PEM, when it is not in there too")
    parser.add_argument(
        "--unencrypted",
        action="store_true",
        help="other machines may come without encryption: who listens to the network gets the key",
    )


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LauncherError(
            f"The live page needs what is not installed: {' and '.join(missing)}.",
            code="web-missing",
            fix='Install it: python -m pip install "openscope-experimental-launcher[web]"',
        )
    if not 0 <= args.port <= 65535:
        raise ParameterError(
            "This is no port.",
            code="web-port-invalid",
            where=f"--port {args.port}",
            fix=f"Give a number up to 65535, such as {_PORT}.",
        )
    from ..web.server import Settings, serve

    settings = Settings(
        roots=tuple(Path(root).expanduser().absolute() for root in args.roots),
        host=args.host,
        port=args.port,
        certificate=Path(args.certificate) if args.certificate else None,
        key=Path(args.key) if args.key else None,
        unencrypted=args.unencrypted,
        read_only=args.read_only,
    )

    def say(addresses: Addresses) -> None:
        _say(addresses, read_only=args.read_only)
        if args.open:
            _open(addresses.once)

    serve(settings, say)
    sys.stdout.write("\nThe page is closed; sessions go on.\n")
    return EXIT_OK


def _say(addresses: Addresses, *, read_only: bool) -> None:
    may = "see all sessions" if read_only else "see all sessions, and stop them"
    sys.stdout.write(
        f"The live page is at\n\n  {addresses.shown}\n\n"
        f"Whoever has this address can {may}. Ctrl-C closes the page; sessions go on.\n"
    )
    if not addresses.loopback:
        sys.stdout.write("Other machines can reach it.\n")
    sys.stdout.flush()


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        sys.stdout.write("No browser was found; open the address by hand.\n")
