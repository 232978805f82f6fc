"""Real sessions of several launchers: `openscope run`, and a lab's own script."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.preflight import check_plan
from sync.conftest import dial, free_port

TASK = "import os; open(os.path.join(os.environ['OPENSCOPE_SESSION_DIRECTORY'], 'd.csv'), 'w')"


class Run(NamedTuple):
    """A session that runs, and the file with what it says."""

    process: subprocess.Popen[bytes]
    said: Path

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said."""
        return self.process.wait(timeout=40), self.said.read_text(encoding="utf-8")


class Rig:
    """Computers, each with a folder, a parameter file and a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "geheim.txt").write_text("a secret of some length\n")
        (folder / "geheim.txt").chmod(0o600)

    def parameters(self, node: str, **changes: Any) -> Path:
        """The parameter file of a computer; the master is the one that is called so."""
        place = self.folder / node
        place.mkdir(exist_ok=True)
        (place / "task.py").write_text(TASK)
        role = (
            {"session_sync_role": "master", "session_sync_expected_slaves": ["kamera", "reiz"]}
            if node == "master"
            else {"session_sync_role": "slave", "session_sync_master_host": "127.0.0.1"}
        )
        values = {
            "launcher": "python",
            "script_path": "task.py",
            "subject_id": "614173",
            "user_id": "Frieda Müller",
            "OutputFolder": str(place / "data"),
            "session_sync_node_name": node,
            "session_sync_port": self.port,
            "session_sync_bind_host": "127.0.0.1",
            "session_sync_secret_file": "../geheim.txt",
            "session_sync_timeout_sec": 20,
            "session_sync_retry_delay_sec": 0.1,
            **role,
            **changes,
        }
        file = place / "params.json"
        file.write_text(json.dumps(values), encoding="utf-8")
        return file

    def start(self, file: Path, *options: str) -> Run:
        """Run a session on a computer of its own."""
        environment = {
            **os.environ,
            "PYTHONUTF8": "1",
            "OPENSCOPE_STATE_DIRECTORY": str(file.parent / "state"),
        }
        module = ("-m", "openscope_experimental_launcher", "run")
        said = file.parent / f"said {len(self.processes)}.txt"
        with said.open("wb") as output:  # a pipe would be kept open by others under wine
            process = subprocess.Popen(
                [sys.executable, *module, str(file), "--yes", *options],
                cwd=file.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        return Run(process, said)

    def sessions(self, node: str, below: str = "data") -> list[Path]:
        """The session folders of a computer."""
        return sorted((self.folder / node / below).glob("*_*"))


def events(session: Path) -> list[dict[str, Any]]:
    lines = (session / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def rig(workplace: Path) -> Iterator[Rig]:
    one = Rig(workplace)
    yield one
    for process in one.processes:
        process.kill()
        process.wait()


def test_three_launchers_share_a_session(rig: Rig) -> None:
    nodes = ["kamera", "master", "reiz"]
    running = [rig.start(rig.parameters(node)) for node in nodes]
    for run in running:
        code, said = run.end()
        assert code == 0, said
    (name,) = {session.name for node in nodes for session in rig.sessions(node)}
    for node in nodes:
        (session,) = rig.sessions(node)
        agreed = [event for event in events(session) if event["name"] == "session.agreed"]
        opened = [event for event in events(session) if event["name"] == "session.opened"]
        assert len(agreed) == 1 and agreed[0]["seq"] < opened[0]["seq"]
        assert agreed[0]["data"]["session_uuid"] == opened[0]["data"]["session_uuid"] == name
        assert agreed[0]["data"]["authenticated"] is True
        runtime = json.loads(
            (session / "experiment_metadata" / "runtime_information.json").read_text("utf-8")
        )
        assert runtime["session_uuid"] == name
        assert {n["name"] for n in runtime["session_sync"]["nodes"]} == set(nodes)
        assert runtime["session_sync"]["node"] == node
        assert runtime["outcome"] == "completed"


def test_no_folder_is_made_without_an_agreement(rig: Rig) -> None:
    master = rig.start(rig.parameters("master", session_sync_timeout_sec=3))
    wrong = rig.parameters("kamera", subject_id="999")
    code, said = rig.start(wrong).end()
    assert code == 1
    assert "Its subject_id is another one than the master's." in said
    assert "999" in said and "Traceback" not in said
    code, said = master.end()
    assert code == 1
    assert "Not all computers came within 3 s; missing: kamera, reiz." in said
    assert "kamera was refused" in said
    assert rig.sessions("master") == rig.sessions("kamera") == []


def test_a_folder_of_the_agreed_name_is_an_error_on_all(rig: Rig) -> None:
    data = str(rig.folder / "shared")
    changes = {"OutputFolder": data, "session_sync_expected_slaves": ["kamera"]}
    master = rig.start(rig.parameters("master", **changes))
    dial(rig.port).close()  # it listens
    # All names of the next seconds are taken where the slave writes.
    taken = rig.folder / "taken"
    now = time.time()
    for second in range(-2, 30):
        stamp = time.strftime("%Y-%m-%d_%H-%M-%S", time.localtime(now + second))
        (taken / f"614173_{stamp}").mkdir(parents=True)
    slave = rig.start(rig.parameters("kamera", OutputFolder=str(taken)))
    for run in (master, slave):
        code, said = run.end()
        assert code == 1
        assert "There is a session folder of this name already." in said
    assert not list((rig.folder / "shared").glob("*"))


def test_a_rehearsal_waits_for_nobody_unless_asked(rig: Rig) -> None:
    short = {"rehearsal_duration_s": 0.2, "OutputFolder": "data"}
    values = {**short, "session_sync_expected_slaves": ["kamera"]}
    code, said = rig.start(rig.parameters("master", **values), "--rehearse").end()
    assert code == 0, said
    assert not any(e["name"] == "session.agreed" for e in events(_rehearsed(rig, "master")))
    running = [
        rig.start(rig.parameters("master", **values), "--rehearse", "--sync"),
        rig.start(rig.parameters("kamera", **short), "--rehearse", "--sync"),
    ]
    for run in running:
        code, said = run.end()
        assert code == 0, said
    assert _rehearsed(rig, "master").name == _rehearsed(rig, "kamera").name


def _rehearsed(rig: Rig, node: str) -> Path:
    found = sorted((rig.folder / node / "rehearsal").rglob("journal.jsonl"))
    return found[-1].parent


def test_two_nodes_on_one_computer_do_not_exclude_each_other(
    rig: Rig, openscope: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    shared = {"rig_id": "rig 1", "session_sync_expected_slaves": ["kamera"]}
    master = rig.parameters("master", **shared)
    state = {"OPENSCOPE_STATE_DIRECTORY": str(master.parent / "state")}
    waiting = rig.start(master)
    dial(rig.port).close()  # it waits, and holds its node of the rig
    kamera = rig.parameters("kamera", rig_id="rig 1")
    same = rig.parameters("reiz", rig_id="rig 1", session_sync_node_name="master")
    alone = rig.parameters("allein", rig_id="rig 1", session_sync_role="")
    for file, busy in ((kamera, False), (same, True), (alone, True)):
        said = openscope("check", str(file), env=state).stdout
        assert ("The rig is in use" in said) is busy, said
    waiting.process.kill()


def test_the_checks_say_what_is_missing_and_what_is_open(rig: Rig) -> None:
    def check(node: str, **changes: Any) -> str:
        experiment = BaseExperiment()
        experiment.load_parameters(rig.parameters(node, **changes))
        return "\n".join(finding.render() for finding in check_plan(experiment.make_plan()))

    assert "it will wait for kamera, reiz" in check("master")
    assert "asked when the session starts" in check("kamera")
    assert "no shared secret" in check("master", session_sync_secret_file="")
    assert "which slaves to wait for" in check("master", session_sync_expected_slaves=None)
    assert "where its master is" in check("kamera", session_sync_master_host="")
    assert "no value: litter" in check("kamera", session_sync_key_param="litter")
    assert "asked when" in check("kamera", session_sync_key_param="litter", litter=3)
    assert "cannot be read" in check("kamera", session_sync_secret_file="nowhere.txt")
    assert "name of one of its slaves" in check("master", session_sync_node_name="reiz")
    assert "visible characters" in check("kamera", session_sync_node_name="a\nb")
    with socket.create_server(("127.0.0.1", rig.port)):
        assert "cannot listen at 127.0.0.1 port" in check("master")
    if sys.platform != "win32":
        (rig.folder / "geheim.txt").chmod(0o644)
        assert "Other users of this computer can read" in check("kamera")
    (rig.folder / "geheim.txt").write_text("short")
    assert "5 characters" in check("kamera")


@pytest.mark.parametrize("slaves", [0, -1, True, [], [""], ["a", "a"], [1], "camera", {}])
def test_slaves_that_are_none_are_refused(rig: Rig, slaves: Any) -> None:
    with pytest.raises(ValueError, match="The slaves must be a list"):
        BaseExperiment().load_parameters(
            rig.parameters("master", session_sync_expected_slaves=slaves)
        )


SCRIPT = """
import sys
from openscope_experimental_launcher.base.experiment import BaseExperiment

experiment = BaseExperiment()
experiment.load_parameters(sys.argv[1])
experiment.start_bonsai()
experiment.stop()
print(experiment.session_uuid)
"""


def test_a_script_that_starts_the_acquisition_itself_agrees_too(rig: Rig) -> None:
    script = rig.folder / "script.py"
    script.write_text(SCRIPT)
    master = rig.start(rig.parameters("master", session_sync_expected_slaves=["kamera"]))
    kamera = rig.parameters("kamera")
    done = subprocess.run(
        [sys.executable, str(script), str(kamera)],
        env={**os.environ, "OPENSCOPE_STATE_DIRECTORY": str(kamera.parent / "state")},
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert master.end()[0] == 0
    assert done.stdout.split() == [rig.sessions("master")[0].name], done.stderr
    assert rig.sessions("kamera")[0].name == rig.sessions("master")[0].name


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_waiting_screen_and_its_keys(rig: Rig) -> None:
    pexpect = pytest.importorskip("pexpect")
    pyte = pytest.importorskip("pyte")
    file = rig.parameters("master", session_sync_allow_bypass=True)
    screen = pyte.Screen(110, 40)
    stream = pyte.ByteStream(screen)
    child = pexpect.spawn(
        sys.executable,
        ["-m", "openscope_experimental_launcher", "run", str(file), "--yes"],
        cwd=str(file.parent),
        dimensions=(40, 110),
        env={**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"},
    )

    def see(text: str) -> str:
        until = time.monotonic() + 20
        while text not in (picture := "\n".join(line.rstrip() for line in screen.display)):
            assert time.monotonic() < until, f"{text!r} is not on\n{picture}"
            try:
                stream.feed(child.read_nonblocking(65536, 0.05))
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                until = min(until, time.monotonic() + 0.2)
        return picture

    picture = see("g goes on without them")
    assert f"master master, listening at 127.0.0.1 port {rig.port}" in picture
    assert "missing   kamera" in picture and "missing   reiz" in picture
    child.send("y")  # not asked yet
    child.send("g")
    see("Go on without them?")
    child.send("x")
    see("g goes on without them")
    kamera = rig.start(rig.parameters("kamera"))
    see("here      kamera (127.0.0.1)")
    child.send("g")
    see("Go on without them?")
    child.send("y")
    see("Completed")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert kamera.end()[0] == 0
    (session,) = rig.sessions("master")
    codes = [e["data"]["code"] for e in events(session) if e["name"] == "finding.reported"]
    assert "sync-bypassed" in codes
    assert [s.name for s in rig.sessions("kamera")] == [session.name]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_ctrl_c_while_waiting_leaves_nothing(rig: Rig) -> None:
    pexpect = pytest.importorskip("pexpect")
    file = rig.parameters("kamera")
    child = pexpect.spawn(
        sys.executable,
        ["-m", "openscope_experimental_launcher", "run", str(file), "--yes"],
        cwd=str(file.parent),
        env={**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"},
    )
    child.expect("Ctrl-C leaves", timeout=20)
    child.sendintr()
    child.expect(pexpect.EOF, timeout=60)
    child.close()
    assert child.exitstatus == 130
    assert rig.sessions("kamera") == []
