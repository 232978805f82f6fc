"""`ProcessMonitor`: waiting for a process while watching the machine's memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ..supervision.limits import Limits, system_ceiling
from ..supervision.supervisor import Acquisition

_log = logging.getLogger(__name__)
_LOOK_S = 0.2
_TERMINATE_S = 3.0


class ProcessMonitor:
    """Waits for a process and ends it when the machine's memory runs away.

    Args:
        kill_threshold: percentage points that system memory may rise above its initial use. The
            sum is clamped to 97 %, so that a high threshold can still act; this is logged.
    """

    def __init__(self, kill_threshold: float = 90.0) -> None:
        self.kill_threshold = kill_threshold

    def monitor_process(
        self,
        process: Any,
        initial_memory_percent: float,
        kill_callback: Callable[[], object] | None = None,
    ) -> None:
        """Block until the process has ended, or has been ended for its memory.

        The acquisition of a session has a guard, which enforces the threshold itself, also when
        this program is gone; then this only waits.

        Args:
            process: a `subprocess.Popen`, `psutil.Process` or `BaseExperiment.bonsai_process`.
            initial_memory_percent: system memory in use before the start, in percent.
            kill_callback: called once, within 0.5 s of the threshold being crossed; when None,
                the process and all its descendants are ended.
        """
        if isinstance(process, Acquisition):
            process.wait()
            return
        import psutil

        ceiling = self.ceiling(initial_memory_percent)
        while _runs(process):
            now = psutil.virtual_memory().percent
            if now >= ceiling and now > initial_memory_percent:
                _log.error("System memory is at %.0f %%, the limit is %.0f %%.", now, ceiling)
                if kill_callback is not None:
                    kill_callback()
                else:
                    end_tree(process.pid)
                return
            time.sleep(_LOOK_S)

    def ceiling(self, initial_memory_percent: float) -> float:
        """Percent of system memory at which the process is ended."""
        limits = Limits(
            kill_threshold=self.kill_threshold, initial_memory_percent=initial_memory_percent
        )
        wanted, ceiling = initial_memory_percent + self.kill_threshold, system_ceiling(limits)
        assert ceiling is not None  # noqa: S101 - a threshold was given
        if wanted > ceiling:
            _log.warning(
                "A memory limit of %.0f %% could never act; %.0f %% is used.", wanted, ceiling
            )
        return ceiling


def _runs(process: Any) -> bool:
    if hasattr(process, "poll"):
        return process.poll() is None
    return bool(process.is_running() and process.status() != "zombie")


def end_tree(pid: int) -> None:
    """End a process and all its descendants: ask, then kill what is left.

    Args:
        pid: process id; nothing happens when there is no such process.
    """
    import psutil

    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for process in tree:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, left = psutil.wait_procs(tree, timeout=_TERMINATE_S)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, timeout=_TERMINATE_S)
