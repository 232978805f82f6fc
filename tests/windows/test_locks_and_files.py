"""Locks and whole files on Windows, where what is open can be neither replaced nor deleted."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from openscope_experimental_launcher.files import write_atomic
from openscope_experimental_launcher.locks import ProcessLock, is_held

HOLDER = """
import sys, time
from pathlib import Path
from openscope_experimental_launcher.locks import ProcessLock
assert ProcessLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_goes_with_its_holder(
    tmp_path: Path, python_process: Callable[..., subprocess.Popen[str]]
) -> None:
    path = tmp_path / "rig.lock"
    holder = python_process(HOLDER, str(path))
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    lock = ProcessLock(path)
    assert not lock.acquire() and is_held(path)
    waiting = threading.Thread(target=lock.acquire, kwargs={"wait": True})
    waiting.start()
    time.sleep(0.2)
    assert not lock.held
    holder.kill()
    waiting.join(5)
    assert lock.held
    lock.release()
    assert not is_held(path)


def test_a_file_is_replaced_once_its_reader_is_done(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_atomic(path, "old")
    with path.open() as reader:
        closing = threading.Timer(0.3, reader.close)
        closing.start()
        write_atomic(path, "new")
        closing.join()
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
