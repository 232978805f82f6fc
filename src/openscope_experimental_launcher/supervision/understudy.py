"""The guard's understudy: who goes on when a guard is killed. Linux, standard library only.

Before it has anything to guard, the guard's program splits in two. The child becomes the guard.
The parent, its understudy, only waits. It is a child subreaper (prctl(2)), so that the processes of
a killed guard become its own; it is told what is guarded, and shares the guard's lock, so that
nobody takes the run for ended meanwhile. Then it goes on in the guard's place, and still learns the
true exit.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Container
from typing import NoReturn

from openscope_experimental_launcher.supervision.tree_linux import Tree, become_subreaper

if sys.platform != "linux":
    raise ImportError("understudy is for Linux")


BROKEN = 1
"""Exit code of a guard that ended before it had anything to guard."""


class Understudy:
    """The guard's line to its understudy."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def tell(self, order: bytes, lock: int) -> None:
        """Say what is guarded now: the launcher's order, a line, and the lock's descriptor."""
        socket.send_fds(self._line, [order[:1]], [lock])
        self._line.sendall(order[1:])


def split(done: Container[int], go_on: Callable[[bytes, int], NoReturn]) -> Understudy:
    """Go on as two processes; only the guard returns from here.

    Args:
        done: exit codes of a guard that has done its work, which ends both.
        go_on: called in the understudy when the guard was killed or broke down after it said
            what it guards, with that order and the process id the guard had.
    """
    become_subreaper()
    mine, theirs = socket.socketpair()
    guard = os.fork()
    if guard == 0:
        os.setsid()  # so that a signal to the group of one does not reach the other
        mine.close()
        # The two share their memory until one of them writes to it; a look at every object
        # writes to most of it, and it is done before there is any hurry.
        gc.collect()
        return Understudy(theirs)
    theirs.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    order = _told(mine)
    _, status = os.waitpid(guard, 0)
    code = os.waitstatus_to_exitcode(status)
    if code in done:
        os._exit(code)
    if order:
        go_on(order, guard)
    Tree().kill()  # it may have begun, but nobody was told so
    os._exit(BROKEN)


def _told(line: socket.socket) -> bytes:
    """What the guard tells; nothing when it ends before. The lock that comes with it stays open."""
    order, *_ = socket.recv_fds(line, 1, 1)
    while order and not order.endswith(b"\n"):
        more = line.recv(65536)
        if not more:
            return b""
        order += more
    return order
