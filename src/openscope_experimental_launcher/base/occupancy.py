"""Holding the rig and the checkout against other sessions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import RigBusyError
from ..locks import ProcessLock
from ..plan import Plan
from ..preflight import busy_findings, held_beside, rig_lock
from ..session.state import locks_folder, short_hash


@contextmanager
def alone(plan: Plan) -> Iterator[None]:
    """Hold the locks of the plan's rig and checkout for the length of a `with` block.

    Raises:
        RigBusyError: another session holds one, or an acquisition goes on without its launcher.
    """
    locks = [rig_lock(plan.rig_id, plan.sync_node)]
    checkout = str(plan.code.path) if plan.code is not None else ""
    if checkout:
        locks.append(ProcessLock(locks_folder() / f"checkout-{short_hash(checkout)}.lock"))
    holder = {
        "session": plan.parameters.subject_id,
        "user": plan.parameters.user_id,
        "pid": os.getpid(),
    }
    try:
        for lock in locks:
            if not lock.acquire(patience_s=0.1, holder=holder):
                raise _busy(plan, lock.holder())
        beside = held_beside(plan.rig_id, plan.sync_node)
        if beside is not None:
            raise _busy(plan, beside.holder())
        busy = busy_findings(plan)
        if busy:
            raise RigBusyError.from_findings("The rig is in use.", busy)
        yield
    finally:
        for lock in locks:
            lock.release()


def _busy(plan: Plan, holder: dict[str, Any]) -> RigBusyError:
    return RigBusyError(
        "The rig or the checkout is in use by another session "
        f"(subject {holder.get('session')}, user {holder.get('user')}).",
        where=f"rig {plan.rig_id}, process {holder.get('pid')}",
        fix="Wait for its end, or stop it where it runs.",
    )
