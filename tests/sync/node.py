"""One computer of a shared session, as a process of its own: python node.py SETTINGS

SETTINGS is a JSON object of `SyncSettings`. Each thing that happens is one JSON object on a line of
the output. A line `go on` on the input is the operator's wish.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import datetime

from openscope_experimental_launcher.errors import SyncError
from openscope_experimental_launcher.session.folder import session_name
from openscope_experimental_launcher.sync import SyncSettings, Waiting, agree


def say(**what: object) -> None:
    """One line of the output."""
    print(json.dumps(what), flush=True)


def main() -> int:
    """Take part, and say what came of it."""
    asked = json.loads(sys.argv[1])
    taken = asked.pop("taken", "")
    secret = asked.pop("secret")
    settings = SyncSettings(**asked, secret=secret.encode() if secret else None)
    wishes = threading.Event()
    threading.Thread(target=listen, args=(wishes,), daemon=True).start()
    last: list[Waiting] = []

    def on_wait(state: Waiting) -> bool:
        state = state._replace(left_s=0)
        if last != [state]:
            last[:] = [state]
            say(waiting=state._asdict())
        return wishes.is_set()

    try:
        agreement = agree(
            settings,
            propose_name=lambda: session_name(settings.subject, datetime.now()),
            why_not=lambda _: taken,
            on_wait=on_wait,
        )
    except SyncError as error:
        say(error=error.code, message=error.message)
        return 1
    except KeyboardInterrupt:
        say(error="interrupted")
        return 130
    nodes = [node._asdict() for node in agreement.nodes]
    say(agreed={**agreement._asdict(), "nodes": nodes, "unconfirmed": agreement.unconfirmed})
    return 0


def listen(wishes: threading.Event) -> None:
    """Wait for the operator's wish."""
    if sys.stdin.readline().strip() == "go on":
        wishes.set()


if __name__ == "__main__":
    sys.exit(main())
