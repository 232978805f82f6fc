"""A place where the commands of the pages can be carried out as they stand.

It has what they name: parameter files and the repository that they pin, closed sessions, a running
one, a metadata service. What is different is only what a name stands for: a session of the pages is
one of this place, an address of a server is a repository here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from bonsai.conftest import mapping, typed, workflow_xml
from docs.pages import git

LONGEST_S = 180.0
"""Seconds that one command may take on a busy machine."""

_SESSION = re.compile(r"\b614173_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\b")
_OF_RUNNING = re.compile(r"(openscope (?:attach|stop)) \S+")
_OF_THE_PAST = re.compile(r"openscope (last|sessions|catch-up|recover|serve)")
_SERVES = re.compile(r"openscope serve\b")
_ADDRESS = r"https?://\S+\s"
_ANSWERS = {
    "Subject: ": "614173",
    "User: ": "ana",
    "Press Enter to start": "",
    r"\(y/n\).*: ": "y",
}
"""Questions that a command may ask, to what a person would say."""

_SCRIPT = """\
import os
import sys
import time
from pathlib import Path

folder = Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
(folder / "trials.csv").write_text("trial\\n1\\n")
print(*sys.argv[1:], flush=True)
time.sleep(float(os.environ.get("OF_LENGTH_S", "0")))
"""
_ABOUT_THE_DATA = {
    "modalities": ["behavior"],
    "project_name": "OpenScope",
    "institution": "AIND",
    "funding_source": ["NINDS"],
    "investigators": ["Ana Berg"],
    "ethics_review_id": "2408",
    "stimulus_modalities": ["Visual"],
    "mouse_platform_name": "running disc",
}
"""What the standard metadata lack otherwise."""

_ELSEWHERE = ("//server/data", "E:/backup")
"""Shares and disks of a rig: folders here."""

_AUTHOR = ("-c", "user.name=Lab", "-c", "user.email=lab@localhost")


class Place:
    """The place of one page.

    Args:
        folder: a new folder.
        environment: of the commands; the launcher keeps what it keeps in folders it names.
        service: address of a metadata service.
        launcher: `bonsai` where the page is about it.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str], service: str, launcher: str = "python"
    ) -> None:
        self.folder = folder
        programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**environment, "PATH": programs, "TERM": "xterm-256color"}
        self.environment["BROWSER"] = "true"  # a program that does nothing, and well
        self._repository = self._make_repository()
        self._running: list[subprocess.Popen[bytes]] = []
        values: dict[str, Any] = {
            "launcher": "python",
            "repository_url": str(self._repository),
            "repository_commit_hash": git("rev-parse", "HEAD", folder=self._repository),
            "local_repository_path": str(folder.parent / "checkouts"),
            "script_path": "oddball.py",
            "output_root_folder": str(folder / "data"),
            "metadata_service_base_url": service,
            **_ABOUT_THE_DATA,
        }
        self._write("params.json", subject_id="614173", user_id="ana", **values)
        (folder / "parameters").mkdir()
        (folder / "backup").mkdir()
        for name in ("oddball", "passive"):
            self._write(f"parameters/{name}.json", subject_id="614173", user_id="ana", **values)
        if launcher == "bonsai":
            values |= {"launcher": "bonsai", "script_path": "oddball.bonsai"}
            values |= {"script_parameters": {"NumberOfTrials": 20}, "bonsai_exe_path": "Bonsai.exe"}
        self._write("oddball.json", **values)

    def _write(self, name: str, **values: Any) -> None:
        (self.folder / name).write_text(json.dumps(values), encoding="utf-8")

    def _make_repository(self) -> Path:
        folder = self.folder / "oddball"
        folder.mkdir()
        nodes = (mapping("Value", "NumberOfTrials"), typed("IntProperty", "0"))
        (folder / "oddball.py").write_text(_SCRIPT, encoding="utf-8")
        (folder / "oddball.bonsai").write_bytes(workflow_xml(*nodes, edges=((0, 1),)))
        git("init", "--quiet", "--initial-branch=main", ".", folder=folder)
        git("add", ".", folder=folder)
        git(*_AUTHOR, "commit", "--quiet", "--message=The experiment", folder=folder)
        return folder

    # -- what names stand for ----------------------------------------------------------------------

    def translate(self, line: str, names: list[str]) -> str:
        """A command of a page as it can be carried out here.

        Args:
            line: the command.
            names: the sessions that the page speaks of.
        """
        line = line.removeprefix("uv run ")
        if _OF_RUNNING.search(line):
            return _OF_RUNNING.sub(rf"\1 {self._start_session()}", line)
        if _OF_THE_PAST.search(line):
            self._closed(0)
        line = re.sub(r"\bSESSION\b", "614173_2026-03-14_10-30-00", line)
        line = _SESSION.sub(lambda found: self._closed(names.index(found[0])), line)
        for place in _ELSEWHERE:
            if place in line:
                line = line.replace(place, str(self._elsewhere(place, "sessions" in line)))
        if "openscope-demo/" in line and not (self.folder / "openscope-demo").exists():
            self._openscope("demo")
        if re.search(r"\bCLONE\b", line):
            clone = self.folder / "clone"
            git("clone", "--quiet", str(self._repository), str(clone), folder=self.folder)
            line = line.replace("CLONE", str(clone))
        return line

    def _elsewhere(self, place: str, sessions: bool) -> Path:
        """A folder that stands for a share or a disk, with sessions in it or not."""
        folder = self.folder.parent / "elsewhere" / re.sub(r"\W+", "-", place)
        folder.mkdir(parents=True, exist_ok=True)
        if sessions:
            session = self._closed(0)
            shutil.copytree(self.folder / "data" / session, folder / session, dirs_exist_ok=True)
        return folder

    def _closed(self, number: int) -> str:
        """The name of a closed session."""
        while len(self._sessions()) <= number:
            trials = f"script_parameters.trials={len(self._sessions()) + 1}"
            self._openscope("run", "params.json", "--set", trials)
        return self._sessions()[number].name

    def _sessions(self) -> list[Path]:
        return sorted(path.parent for path in (self.folder / "data").glob("*/journal.jsonl"))

    def _start_session(self) -> str:
        """The name of a session that runs."""
        before = set(self._sessions())
        rig = f"rig_id=rig {len(self._running)}"
        checkout = f"local_repository_path={self.folder.parent / f'code {len(self._running)}'}"
        self._running.append(
            subprocess.Popen(
                self._command("run", "params.json", "--set", rig, "--set", checkout),
                cwd=self.folder,
                env={**self.environment, "OF_LENGTH_S": "8"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        )
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline:
            for session in set(self._sessions()) - before:
                if b"acquisition.started" in (session / "journal.jsonl").read_bytes():
                    return session.name
            time.sleep(0.1)
        raise TimeoutError("the session never ran")

    def _openscope(self, *arguments: str) -> None:
        subprocess.run(
            self._command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=LONGEST_S,
        )

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "openscope_experimental_launcher", *arguments]

    # -- carrying out ------------------------------------------------------------------------------

    def carry_out(self, line: str) -> tuple[int | None, str]:
        """Type a command into a terminal, and answer what it asks. One that serves a page is ended
        by Ctrl-C when it has said where.

        Returns:
            Its exit code, and what the terminal showed.
        """
        import pexpect

        serves = _SERVES.match(line) is not None
        program = pexpect.spawn(
            "/bin/sh",
            ["-c", f"exec {line}" if serves else line],
            cwd=str(self.folder),
            env=self.environment,
            dimensions=(40, 120),
            encoding="utf-8",
            timeout=LONGEST_S,
        )
        shown = ""
        patterns = [*_ANSWERS, pexpect.EOF, *([_ADDRESS] if serves else [])]
        while (asked := program.expect(patterns)) != len(_ANSWERS):
            shown += f"{program.before}{program.after}"
            if asked > len(_ANSWERS):
                program.sendintr()
            else:
                program.sendline(list(_ANSWERS.values())[asked])
        program.close()
        return program.exitstatus, shown + str(program.before)

    def leave(self) -> None:
        """Wait for what still runs."""
        for program in self._running:
            with suppress(subprocess.TimeoutExpired):
                program.wait(LONGEST_S)
            program.kill()


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        subject = self.path.rpartition("/")[2]
        answer = json.dumps({"subject_id": subject}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def metadata_service() -> Iterator[str]:
    """A metadata service that knows every subject; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
