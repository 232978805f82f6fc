"""The stand-in for an acquisition that must not be started: it waits, and says what would run.

Executed as a program, it plays; imported, it turns a launch into that of its stand-in.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..parameters.model import Parameters
    from . import Launch

_DURATION = "OPENSCOPE_REHEARSAL_DURATION_S"


def stand_in(launch: Launch, parameters: Parameters) -> Launch:
    """The launch of the stand-in for `launch`; it plays for `rehearsal_duration_s`."""
    return launch._replace(
        arguments=(sys.executable, "-I", "-S", __file__, *launch.arguments),
        folder=os.path.abspath(os.sep),  # noqa: PTH100 - the checkout is not needed
        environment={**launch.environment, _DURATION: str(parameters.rehearsal_duration_s)},
    )


def is_stand_in(launch: Launch) -> bool:
    """Whether a launch is that of a stand-in."""
    return __file__ in launch.arguments


def play(arguments: Sequence[str], duration_s: float) -> None:
    """Say what would run, and take the time of a short acquisition."""
    print("rehearsal: this would run", json.dumps(list(arguments)), flush=True)  # noqa: T201
    end = time.monotonic() + duration_s
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        print(f"rehearsal: {duration_s - max(left - 1.0, 0):.0f} of {duration_s:g} s", flush=True)  # noqa: T201


if __name__ == "__main__":
    play(sys.argv[1:], float(os.environ.get(_DURATION, "3")))
