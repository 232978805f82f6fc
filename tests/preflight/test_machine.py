"""What a check finds about the machine: room, ports, other programs. All of it is real."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openscope_experimental_launcher.engines.bonsai.others import running_bonsai
from openscope_experimental_launcher.ports import missing_port, named_ports

TASK = """
import os, pathlib
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
(folder / "data.bin").write_bytes(bytes(50_000_000))
"""


def test_the_room_that_a_session_took_is_what_the_next_may_need(
    python_experiment, openscope
) -> None:
    file = python_experiment(TASK)
    first = openscope("check", str(file))
    assert "may need" not in first.stdout
    assert openscope("run", str(file), "--yes").returncode == 0
    second = openscope("check", str(file))
    assert "this session may need 0.1 GB (614173_" in second.stdout
    assert second.returncode == 0


def test_too_little_room_for_what_is_expected_is_a_warning(python_experiment, openscope) -> None:
    expect = {"video.avi": {"min_mb_per_min": 1e9}, "audio.wav": {"min_mb_per_min": 1e9}}
    file = python_experiment("", expect=expect, max_duration_s=3600)
    checked = openscope("check", str(file))
    assert "this session may need 120000000.0 GB" in checked.stdout
    assert "Make room" in checked.stdout
    assert checked.returncode == 0, "it is only an estimate"


@pytest.mark.skipif(sys.platform == "win32", reason="the name of a process is its file's there")
@pytest.mark.parametrize("by", ["itself", "mono"])
def test_another_bonsai_is_found(tmp_path, by) -> None:
    exe = tmp_path / "Bonsai.exe"
    exe.write_text("import time; print('ready', flush=True); time.sleep(30)")
    command = ["mono", str(exe)] if by == "mono" else [str(exe), str(exe)]
    process = subprocess.Popen(command, executable=sys.executable, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()  # just after exec(2), its command line may still be empty
        assert process.pid in running_bonsai()
    finally:
        process.kill()
        process.communicate()
    assert process.pid not in running_bonsai()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"Port": "COM3", "Gain": 2}, [("COM3", "p.Port")]),
        (["--port", "com12"], [("com12", "p[1]")]),
        ({"a": {"b": "\\\\.\\COM10"}}, [("\\\\.\\COM10", "p.a.b")]),
        ({"a": "/dev/ttyUSB0", "b": "/dev/serial/by-id/usb-FTDI"},
         [("/dev/ttyUSB0", "p.a"), ("/dev/serial/by-id/usb-FTDI", "p.b")]),
        ({"a": "COMPLETE", "b": "use COM3 today", "c": "COM", "d": "/dev/null", "COM3": 1}, []),
    ],
)  # fmt: skip
def test_ports_that_parameters_name(value, found) -> None:
    assert list(named_ports(value, "p")) == found


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_ports_that_are_not_there(tmp_path) -> None:
    assert missing_port("COM3") == "it is a port of a Windows machine"
    assert missing_port("/dev/ttyNOSUCH0") == "there is no such device here"
    assert missing_port("/dev/tty") == ""


def test_a_missing_serial_port_is_a_warning_but_not_in_a_rehearsal(
    python_experiment, openscope
) -> None:
    file = python_experiment("", script_parameters={"port": "COM47"})
    checked = openscope("check", str(file))
    assert "The serial port COM47 is not there" in checked.stdout
    assert "script_parameters.port" in checked.stdout
    assert checked.returncode == 0
    assert "COM47 is not there" not in openscope("check", str(file), "--rehearse").stdout


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_masters_port_must_be_free(
    python_experiment: Callable[..., Path], openscope, taken_port
) -> None:
    file = python_experiment(
        "",
        session_sync_role="master",
        session_sync_bind_host="127.0.0.1",
        session_sync_port=taken_port,
        session_sync_expected_slaves=["camera"],
    )
    checked = openscope("check", str(file))
    assert f"The master cannot listen at 127.0.0.1 port {taken_port}" in checked.stdout
    assert checked.returncode == 1
    as_slave = openscope("check", str(file), "--set", "session_sync_role=slave")
    assert "cannot listen" not in as_slave.stdout
