"""The guard's understudy: who goes on when a guard is killed. Linux, standard library only.

Before it starts anything, the guard's program splits in two. The child is the guard. The parent
only waits, and whatever the guard held open (its lock among it) stays open in it; it is a child
subreaper (prctl(2)), so that a killed guard's processes become its own. Then it goes on in the
guard's place, and still learns the true exit.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Container

from openscope_experimental_launcher.supervision.tree_linux import become_subreaper

if sys.platform != "linux":
    raise ImportError("understudy is for Linux")


def split(done: Container[int]) -> int:
    """Go on as two processes.

    Args:
        done: exit codes of a guard that has done its work, which ends both.

    Returns:
        0 in the guard. In the understudy this returns only when the guard was killed or broke
        down, with the process id it had.
    """
    become_subreaper()
    guard = os.fork()
    if guard == 0:
        os.setsid()  # so that a signal to the group of one does not reach the other
        return 0
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    _, status = os.waitpid(guard, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) in done:
        os._exit(os.WEXITSTATUS(status))
    return guard
