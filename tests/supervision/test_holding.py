"""The bound on processes that the system keeps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's ways of bounding")

BOUND = """
import os, resource, sys
from openscope_experimental_launcher.supervision.holding import Hold
{first}
hold = Hold({run!r})
join = hold.make(30)
tasks = int(open("/proc/loadavg").read().split()[3].partition("/")[2])
if os.fork() == 0:
    join()
    print(resource.getrlimit(resource.RLIMIT_NPROC)[0], tasks)
    print([line for line in open("/proc/self/cgroup") if {run!r} in line])
    sys.stdout.flush()
    os._exit(0)
os.wait()
hold.remove()
"""


def bound(first: str) -> list[str]:
    """What a process that joined its bound says of it."""
    program = BOUND.format(first=first, run=f"test-{os.getpid()}")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_user_without_control_groups_is_bound_by_the_number_of_its_processes() -> None:
    limit, group = bound("os.setgid(61234); os.setuid(61234)")
    most, tasks = map(int, limit.split())
    assert abs(most - tasks - 30) < 200  # others come and go meanwhile
    assert group == "[]"


def test_a_control_group_is_joined_where_one_can_be_made() -> None:
    _, group = bound("")
    if group == "[]":
        pytest.skip("no control group can be made here")
    assert f"openscope-test-{os.getpid()}" in group
