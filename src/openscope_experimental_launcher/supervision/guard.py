"""The guard: a small program that owns the acquisition.

It is the parent of the acquisition, not the launcher: it holds the whole process tree, gives the
main process its output files directly, enforces the limits, stops what must be stopped and records
the true end, whatever becomes of the launcher. It is executed as `python -I -S guard.py`, waits
for one line on its standard input that names its run folder, and imports the standard library
only, so that no package of the environment can break it.

The run folder is its only contact with the world:

    spec.json      what to start and how to watch it (written by the launcher before)
    guard.lock     held while the guard lives; whoever waits for the end waits for this lock
    launcher.lock  held by the launcher that is attached; free means that it was lost
    control.jsonl  requests, appended by anyone who may write here: stop, kill
    guard.jsonl    what happened, one JSON object a line
    reserve        room that is given up when the disk is full, so that the end can be recorded
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":  # executed as a file: let it find its own modules, after the library's
    sys.path.append(str(Path(__file__).parents[2]))

from openscope_experimental_launcher.locks import ProcessLock, is_held
from openscope_experimental_launcher.supervision.awake import stay_awake
from openscope_experimental_launcher.supervision.records import complain
from openscope_experimental_launcher.supervision.spawn import (
    COOKIE,
    GUARDED,
    NOT_STARTED,
    own_session,
)
from openscope_experimental_launcher.supervision.tree import Tree
from openscope_experimental_launcher.supervision.watching import Guard

if sys.platform == "win32":
    from openscope_experimental_launcher.supervision.tree_windows import end_last, join_job

if sys.platform == "linux":
    from openscope_experimental_launcher.supervision.understudy import split


def main() -> int:
    """Guard one run. Returns the exit code when there is nothing to guard: no order ever came, or
    the acquisition could not be started; else this process ends with the run."""
    if sys.platform == "linux":
        understudy = split((GUARDED, NOT_STARTED), go_on)
    line = sys.stdin.buffer.readline()
    if not line:
        return GUARDED
    order = json.loads(line)
    folder = settle_in(order)
    lock = ProcessLock(folder / "guard.lock")
    if not lock.acquire(patience_s=1.0):
        complain("another guard, or a recovery, has this run")
        return NOT_STARTED
    if order["fallen"]:
        take_over(order, order["fallen"])

    def tell_understudy() -> None:
        if sys.platform == "linux":
            understudy.tell(line, lock.fileno())

    guard = ready_guard(order)
    if guard is not None and guard.start(tell_understudy):
        answer(started=True)
        see_to_the_end(guard)
    answer(started=False)
    return NOT_STARTED


def go_on(order_line: bytes, fallen: int) -> NoReturn:
    """In the understudy: guard a run on in the place of a guard that was killed."""
    order = json.loads(order_line)
    settle_in(order)
    take_over(order, fallen)


def take_over(order: dict[str, Any], fallen: int) -> NoReturn:
    """Guard a run on in the place of a guard that was killed."""
    guard = new_guard(order)
    if guard.records.of("acquisition.ended"):
        leave(guard)
    there = guard.take_over(fallen)
    answer(started=there)
    if not there:
        os._exit(NOT_STARTED)
    see_to_the_end(guard)


def see_to_the_end(guard: Guard) -> NoReturn:
    """Watch an acquisition until nothing of it is alive."""
    guard.watch()
    guard.finish()
    leave(guard)


def answer(*, started: bool) -> None:
    """Tell the launcher, which reads one line, whether the acquisition was started."""
    with suppress(OSError):  # it has an answer from the guard that was killed, or is gone by now
        os.write(1, b"started\n" if started else b"not started\n")


def settle_in(order: dict[str, Any]) -> Path:
    """Make an order's environment this process's own. Returns the run folder."""
    folder = Path(order["run_folder"])
    with (folder / "guard.err").open("ab") as errors:
        os.dup2(errors.fileno(), 2)
    # The child inherits this environment; the guard itself needs none.
    os.environ.clear()
    os.environ.update(order["environment"])
    return folder


def ready_guard(order: dict[str, Any]) -> Guard | None:
    """A guard for an order; None, and a word why, when its records cannot be written."""
    try:
        return new_guard(order)
    except OSError as error:
        complain(str(error))
        return None


def new_guard(order: dict[str, Any]) -> Guard:
    """A guard for an order, deaf to what is meant for others."""
    folder = Path(order["run_folder"])
    if sys.platform == "win32":
        guard = Guard(folder, Tree(join_job(order["job"])))
        end_last()
    else:
        guard = Guard(folder, Tree())
    # Handlers, not SIG_IGN: what is ignored here would be ignored by the child too.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, guard.system_ends)
    # A hang-up, or a Ctrl-Break that the child sends to its whole console, which is the guard's.
    passed_over = "SIGBREAK" if sys.platform == "win32" else "SIGHUP"
    signal.signal(signal.Signals[passed_over], lambda *_: None)
    stay_awake()
    return guard


def leave(guard: Guard) -> NoReturn:
    """End this process after an acquisition, and let it be recovered if no launcher is there."""
    if guard.spec.get("recover") and not is_held(guard.folder / "launcher.lock"):
        hand_over(guard.spec)
    # Everything is written, and whoever waits for the lock waits for this process and for its
    # understudy: taking the interpreter apart would only keep them.
    os._exit(GUARDED)


def hand_over(spec: dict[str, Any]) -> None:
    """No launcher is there to close the session: start the recovery that will."""
    # The recovery is no process of the run, and must not be taken for a stray of it.
    os.environ.pop(COOKIE, None)
    subprocess.Popen(
        spec["recover"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **own_session(),
    )


if __name__ == "__main__":
    sys.exit(main())
