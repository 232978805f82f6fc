"""Several processes that agree, and all the ways in which they must not."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

import pytest

from openscope_experimental_launcher.errors import SyncError
from openscope_experimental_launcher.sync.guests import listen
from sync.conftest import SECRET, Computer, Peer, as_settings, dial, settings

Start = Callable[..., Computer]


@pytest.mark.parametrize("secret", [SECRET, None])
def test_three_processes_take_the_masters_name(start: Start, secret: str | None) -> None:
    names = ["master", "camera", "stimulus"]
    agreements = [c.agreed() for c in [start(name, secret=secret) for name in names]]
    assert len({agreement["session"] for agreement in agreements}) == 1
    assert re.fullmatch(r"614173_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", agreements[0]["session"])
    for agreement in agreements:
        assert sorted(node["name"] for node in agreement["nodes"]) == sorted(names)
        assert agreement["nodes"][0] == agreements[0]["nodes"][0]
        assert agreement["missing"] == []
        assert agreement["authenticated"] is bool(secret)
    assert all(node["confirmed"] for node in agreements[0]["nodes"])


def test_the_screen_says_who_is_missing(start: Start) -> None:
    master = start("master")
    master.waits_for("camera", "stimulus")
    camera = start("camera")
    seen = master.waits_for("stimulus")
    assert seen["here"] == ["camera (127.0.0.1)"]
    assert camera.waits_for("stimulus")["here"] == ["camera"]
    start("stimulus")
    assert master.agreed()["session"] == camera.agreed()["session"]


def test_slaves_may_come_before_their_master_and_be_only_counted(start: Start) -> None:
    camera, other = start("camera"), start("whoever")
    assert not camera.waits_for("the master")["connected"]
    master = start("master", slaves=[], slave_count=2)
    assert master.agreed()["session"] == camera.agreed()["session"] == other.agreed()["session"]


@pytest.mark.parametrize(
    "wrong, code",
    [
        ({"secret": "another secret of some length"}, "sync-secret-differs"),
        ({"secret": None}, "sync-not-alike"),
        ({"key": "999", "subject": "614173"}, "sync-refused"),
        ({"subject": "999"}, "sync-refused"),
        ({"rehearsal": True}, "sync-refused"),
        ({"node": "camera2"}, "sync-refused"),
        ({"node": "master", "role": "slave"}, "sync-refused"),
        ({"node": "stimulus"}, "sync-refused"),
    ],
    ids=str,
)
def test_who_does_not_fit_is_told_so_and_the_others_agree(
    start: Start, wrong: dict[str, object], code: str
) -> None:
    master, stimulus = start("master"), start("stimulus")
    master.waits_for("camera")
    stranger = start(**{"node": "camera", "role": "slave", **wrong})
    assert stranger.error() == code
    trouble = master.see(lambda heard: bool(heard.get("waiting", {}).get("trouble")))
    assert "127.0.0.1: " in trouble["waiting"]["trouble"]
    assert master.process.poll() is None
    camera = start("camera")
    assert master.agreed()["session"] == camera.agreed()["session"] == stimulus.agreed()["session"]


def test_a_secret_on_the_slaves_side_only_is_said(start: Start) -> None:
    start("master", secret=None)
    assert start("camera").error() == "sync-not-alike"


def test_a_computer_too_many_is_refused(start: Start) -> None:
    master = start("master", slaves=[], slave_count=2)
    one = Peer.slave(master_port(master))
    two = Peer.slave(master_port(master))
    for peer, name in ((one, "one"), (two, "two")):
        peer.join(name)
    two.hear("propose")
    three = Peer.slave(master_port(master))
    three.join("three")
    assert "all its computers" in three.hear("sorry")["reason"]


def master_port(master: Computer) -> int:
    place = master.see(lambda heard: "waiting" in heard)["waiting"]["place"]
    return int(place.rpartition(" ")[2])


def test_who_does_not_come_in_time_ends_it_for_all(start: Start) -> None:
    camera = start("camera")
    camera.waits_for("the master")
    master = start("master", timeout_s=1.0)
    assert master.end()["message"].endswith("missing: stimulus.")
    assert master.error() == "sync-timeout"
    assert camera.error() == "sync-called-off"
    assert "stimulus" in camera.end()["message"]


def test_a_slave_without_a_master_gives_up_in_time(start: Start) -> None:
    assert start("camera", timeout_s=0.5).error() == "sync-timeout"


def test_a_slave_of_a_silent_program_gives_up_in_time(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        camera = start("camera", timeout_s=1.0)
        assert camera.error() == "sync-timeout"
        assert "the master" in camera.end()["message"]


def test_what_answers_nonsense_is_no_master(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        camera = start("camera")
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            assert camera.error() == "sync-not-a-master"


def test_two_masters_cannot_have_one_port(start: Start) -> None:
    start("master").waits_for("camera", "stimulus")
    assert start("master").error() == "sync-port-unusable"


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "x" * 70])
def test_an_address_that_is_not_of_this_computer_is_said(port: int, host: str) -> None:
    with pytest.raises(SyncError) as caught:
        listen(as_settings(settings(port, "master", address=host)))
    assert caught.value.code == "sync-port-unusable"


# -- vanishing ---------------------------------------------------------------------------------


def test_a_killed_slave_is_missed_and_may_come_back(start: Start) -> None:
    master, camera = start("master"), start("camera")
    master.waits_for("stimulus")
    camera.process.kill()
    assert "camera" in master.waits_for("camera", "stimulus")["trouble"]
    again, stimulus = start("camera"), start("stimulus")
    assert master.agreed()["session"] == again.agreed()["session"] == stimulus.agreed()["session"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGSTOP")
def test_who_is_paused_or_says_nothing_is_dropped(start: Start, port: int) -> None:
    master, camera = start("master"), start("camera")
    master.waits_for("stimulus")
    camera.process.send_signal(signal.SIGSTOP)
    silent, began = dial(port), time.monotonic()
    assert "nothing was heard" in master.waits_for("camera", "stimulus")["trouble"]
    camera.process.send_signal(signal.SIGCONT)
    assert silent.recv(1) == b""
    assert time.monotonic() - began < 10
    silent.close()
    start("stimulus")
    assert master.agreed()["session"] == camera.agreed()["session"]


def test_a_killed_master_is_waited_for(start: Start) -> None:
    first, camera = start("master"), start("camera")
    first.waits_for("stimulus")
    first.process.kill()
    camera.waits_for("the master")
    second, stimulus = start("master"), start("stimulus")
    assert second.agreed()["session"] == camera.agreed()["session"] == stimulus.agreed()["session"]


def test_who_vanishes_before_the_decision_makes_all_wait_again(start: Start, port: int) -> None:
    master, camera = start("master"), start("camera")
    fickle = Peer.slave(port)
    fickle.join("stimulus")
    proposal = fickle.hear("propose")
    fickle.channel.close()  # the camera has promised, the master has not decided
    master.waits_for("stimulus")
    stimulus = start("stimulus")
    agreed = master.agreed()
    assert agreed["session"] == camera.agreed()["session"] == stimulus.agreed()["session"]
    assert agreed["unconfirmed"] == []
    assert proposal["number"] == 1


def test_who_does_not_promise_in_time_makes_all_wait_again(start: Start, port: int) -> None:
    master, camera = start("master", ack_timeout_s=0.5), start("camera")
    slow = Peer.slave(port)
    slow.join("stimulus")
    slow.hear("propose")
    assert slow.is_gone()
    master.see(
        lambda heard: "did not answer in time" in heard.get("waiting", {}).get("trouble", "")
    )
    stimulus = start("stimulus")
    assert master.agreed()["session"] == camera.agreed()["session"] == stimulus.agreed()["session"]


def test_a_slave_never_begins_without_the_decision(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        camera = start("camera")
        master = Peer.master(server)
        master.hear("join")
        master.channel.send("propose", session="1_2026-01-01_00-00-00", number=1, within_s=5)
        master.hear("promise")
        master.channel.close()
        assert camera.error() == "sync-undecided"
        assert "1_2026-01-01_00-00-00" in camera.end()["message"]


def test_a_slave_does_not_wait_for_the_decision_without_end(start: Start, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        camera = start("camera")
        master = Peer.master(server)
        master.hear("join")
        master.channel.send("propose", session="1_2026-01-01_00-00-00", number=1, within_s=-4.5)
        assert camera.error() == "sync-undecided"


def test_whom_the_decision_does_not_reach_is_named(start: Start, port: int) -> None:
    master, camera = start("master", ack_timeout_s=1.0), start("camera")
    lost = Peer.slave(port)
    lost.join("stimulus")
    lost.channel.send("promise", number=lost.hear("propose")["number"])
    lost.hear("commit")
    lost.channel.close()
    agreed = master.agreed()
    assert agreed["unconfirmed"] == ["stimulus"]
    assert camera.agreed()["session"] == agreed["session"]


def test_a_slave_that_cannot_take_the_name_ends_it_for_all(start: Start) -> None:
    master, camera = start("master"), start("camera", taken="there is such a folder.")
    stimulus = start("stimulus")
    assert master.error() == camera.error() == "sync-name-refused"
    assert "there is such a folder" in master.end()["message"]
    assert stimulus.error() == "sync-called-off"


@pytest.mark.parametrize("name", ["../../x", "C:/x", "CON_2026-01-01_00-00-00", "a\nb", "x" * 300])
def test_a_name_that_is_none_is_refused(start: Start, port: int, name: str) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        camera = start("camera")
        master = Peer.master(server)
        master.hear("join")
        master.channel.send("propose", session=name, number=1, within_s=5)
        assert camera.error() in ("sync-name-refused", "sync-not-a-master")


# -- strangers ---------------------------------------------------------------------------------

NONSENSE = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"\n\n\n\n",
    b'{"type": 3}\n',
    b"[" * 20000 + b"\n",
    b'{"type":"hello"}\n',
    b'{"type":"hello","protocol":1,"secret":true,"nonce":"x"}\n{"type":"join"}\n',
    b'{"type":"join","node":"camera"}\n',
    b'{"type":"hello","protocol":99,"secret":true,"nonce":"x"}\n',
]


def test_strangers_on_the_port_change_nothing(start: Start, port: int) -> None:
    master = start("master")
    master.waits_for("camera", "stimulus")
    over = threading.Event()

    def flood() -> None:
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                    connection.settimeout(1)
                    while not over.is_set():
                        connection.sendall(b"x" * 65536)
            except OSError:
                continue

    flooder = threading.Thread(target=flood)
    flooder.start()
    silent = [dial(port) for _ in range(100)]
    for nonsense in NONSENSE:
        with dial(port) as connection:
            connection.sendall(nonsense)
    for _ in range(200):  # a port scanner
        dial(port).close()
    camera = start("camera")
    master.waits_for("stimulus")
    stimulus = start("stimulus")
    sessions = {c.agreed()["session"] for c in (master, camera, stimulus)}
    over.set()
    flooder.join()
    assert len(sessions) == 1
    for connection in silent:
        connection.close()


# -- people ------------------------------------------------------------------------------------


def test_the_operator_may_go_on_without_the_missing(start: Start) -> None:
    master, camera = start("master", allow_bypass=True), start("camera")
    master.waits_for("stimulus")
    master.go_on()
    agreed = master.agreed()
    assert agreed["missing"] == ["stimulus"] == camera.agreed()["missing"]
    assert [node["name"] for node in agreed["nodes"]] == ["master", "camera"]
    assert agreed["session"] == camera.agreed()["session"]


def test_the_operator_may_not_when_it_is_not_allowed(start: Start) -> None:
    master = start("master")
    master.go_on()
    assert not master.waits_for("camera", "stimulus")["may_go_on"]
    time.sleep(0.3)
    assert master.process.poll() is None


def test_a_slave_may_go_on_alone(start: Start) -> None:
    master, camera = start("master"), start("camera", allow_bypass=True)
    master.waits_for("stimulus")
    camera.go_on()
    agreed = camera.agreed()
    assert [node["name"] for node in agreed["nodes"]] == ["camera"]
    assert agreed["session"].startswith("614173_")
    master.waits_for("camera", "stimulus")
    assert start("stimulus", allow_bypass=True).process.poll() is None


@pytest.mark.skipif(sys.platform == "win32", reason="no Ctrl-C can be sent to one process there")
def test_ctrl_c_ends_the_waiting_at_once_and_tells_the_slaves(start: Start) -> None:
    master, camera = start("master"), start("camera")
    master.waits_for("stimulus")
    began = time.monotonic()
    master.process.send_signal(signal.SIGINT)
    assert master.process.wait(5) == 130
    assert camera.error() == "sync-called-off"
    alone = start("stimulus")
    alone.waits_for("the master")
    alone.process.send_signal(signal.SIGINT)
    assert alone.process.wait(5) == 130
    assert time.monotonic() - began < 5
