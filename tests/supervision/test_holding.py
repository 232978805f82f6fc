"""The bound on processes that the system keeps."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's ways of bounding")


def said(program: str) -> str:
    """What a Python program prints."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_user_is_bound_by_the_number_of_its_processes() -> None:
    program = """
import resource
from openscope_experimental_launcher.supervision.holding import lower_limit
tasks = int(open("/proc/loadavg").read().split()[3].partition("/")[2])
lower_limit(30)
print(resource.getrlimit(resource.RLIMIT_NPROC)[0] - tasks)
"""
    assert abs(int(said(program)) - 30) < 200  # others come and go meanwhile


@pytest.mark.skipif(os.geteuid() != 0, reason="the user's limit serves")
def test_a_control_group_is_joined_where_one_can_be_made() -> None:
    run = f"test-{os.getpid()}"
    program = f"""
import subprocess
from openscope_experimental_launcher.supervision.holding import ControlGroup
group = ControlGroup({run!r})
group.make(30)
child = subprocess.Popen(["sleep", "60"])
group.take_in(child.pid)
print(open(f"/proc/{{child.pid}}/cgroup").read())
child.kill()
child.wait()
group.remove()
"""
    groups = said(program)
    if run not in groups:
        pytest.skip("no control group can be made here")
    assert f"openscope-{run}" in groups
