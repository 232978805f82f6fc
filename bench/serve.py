"""What the live page uses, and how soon it tells, with 50 running sessions and 5 open pages.

An event is one line that a session's journal gets; each session gets one a second. The pages are
five clients that read the stream of events as a browser does (five browsers would take the two
cores of a small machine for themselves); where there is a Chromium, one real page is open besides,
in which it is measured when an event can be seen.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from common import OPENSCOPE, wait_for
from quiet import cpu_s

from openscope_experimental_launcher.session.state import remember_session, session_lock

CPU_LIMIT_PERCENT = 10.0
EVENT_LIMIT_MS = 300.0
SETTLE_S = 5.0
FLOOR = """
import os, socket, sys, time
paths = sys.argv[2:]
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
pages = [listener.accept()[0] for _ in range(int(sys.argv[1]))]
known = {path: os.stat(path).st_size for path in paths}
while True:
    news = b""
    for path in paths:
        size = os.stat(path).st_size
        if size != known[path]:
            with open(path, "rb") as stream:
                stream.seek(known[path])
                news += stream.read(size - known[path])
            known[path] = size
    if news:
        for page in pages:
            page.sendall(news)
    time.sleep(0.1)
"""
"""A program that looks at the journals as often and passes on what is new, without a look at it."""


class Sessions:
    """Running sessions, each with one event a second, in turn."""

    def __init__(self, root: Path, number: int) -> None:
        self.folders = [root / f"{700000 + n}_2026-03-14_10-30-00" for n in range(number)]
        self._locks = [session_lock(folder) for folder in self.folders]
        self._journals: list[Any] = []
        self._seq = 0
        for folder, lock in zip(self.folders, self._locks, strict=True):
            (folder / "logs").mkdir(parents=True)
            self._journals.append((folder / "journal.jsonl").open("ab", buffering=0))
            lock.acquire()
            remember_session(folder)
        for number, folder in enumerate(self.folders):
            subject = folder.name.partition("_")[0]
            opened = {
                "session_uuid": folder.name,
                "subject_id": subject,
                "host": os.uname().nodename,
            }
            self.tell(number, "session.opened", opened)
            self.tell(number, "stage.entered", {"stage": "acquisition"})
            self.tell(number, "acquisition.started", {"pid": 17})

    def tell(self, number: int, name: str, data: dict[str, Any]) -> None:
        self._seq += 1
        line = {
            "seq": self._seq,
            "time": "2026-03-14T10:30:00.000+00:00",
            "mono": round(time.monotonic(), 6),
            "name": name,
            "data": data,
        }
        self._journals[number].write(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def go_on(self, ended: threading.Event) -> None:
        """One event a second each, evenly spread, until the end."""
        began, count = time.monotonic(), 0
        while not ended.is_set():
            number, second = count % len(self.folders), count / len(self.folders)
            time.sleep(max(began + second - time.monotonic(), 0))
            sample = {
                "elapsed_s": round(second, 3), "memory_mb": 400 + number, "cpu_s": second / 2,
                "processes": 2, "system_percent": 31.0, "disk_free_mb": 900_000 - count,
                "stdout_bytes": 20 * count, "stderr_bytes": 0,
            }  # fmt: skip
            self.tell(number, "acquisition.sampled", sample)
            count += 1


def served() -> tuple[subprocess.Popen[str], str, int]:
    """The live page's program, its address and its port."""
    process = subprocess.Popen(
        [*OPENSCOPE, "serve", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    found = None
    while found is None:
        found = re.search(r"http://127.0.0.1:(\d+)/\?token=\S+", process.stdout.readline())
    return process, found[0], int(found[1])


def page(address: str, port: int, delays_ms: list[float], zeros: dict[str, float]) -> None:
    """A page that is open: notes how late each measurement comes."""
    line = http.client.HTTPConnection("127.0.0.1", port)
    line.request("GET", address.partition(f":{port}")[2])
    cookie = line.getresponse().headers["set-cookie"].partition(";")[0]
    line = http.client.HTTPConnection("127.0.0.1", port)
    line.request("GET", "/api/events", headers={"Cookie": cookie})
    stream = line.getresponse()
    while text := stream.readline():
        now = time.monotonic()
        if not text.startswith(b"data: "):
            continue
        said = json.loads(text[6:])
        for about in [*said.get("sessions", []), *said.get("changed", [])]:
            zeros[about["id"]] = about["since"]
        for number, point in said.get("points", {}).items():
            delays_ms.append(1000 * (now - zeros[number] - point[0]))


def floor(journals: list[Path], pages: int) -> tuple[subprocess.Popen[str], list[socket.socket]]:
    """The floor's program, with those to whom it passes on what is new."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", FLOOR, str(pages), *map(str, journals)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(pages)]
    for line in lines:
        threading.Thread(target=_drain, args=(line,), daemon=True).start()
    return process, lines


def _drain(line: socket.socket) -> None:
    while line.recv(65536):
        pass


def seen_in_chromium(address: str, sessions: Sessions, runs: int) -> list[float]:
    """Milliseconds from an event to the moment at which a person can see it; none without one."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return []
    from playwright.sync_api import sync_playwright

    delays_ms = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(address)
        tab.locator("details.card").nth(len(sessions.folders) - 1).wait_for()
        time.sleep(SETTLE_S)
        tab.evaluate(
            """() => {
                window.seen = {};
                new MutationObserver(() => requestAnimationFrame(() => {
                    for (const said of document.querySelectorAll(".notes .said")) {
                        window.seen[said.textContent] ??= Date.now();
                    }
                })).observe(document.getElementById("cards"), {subtree: true, childList: true});
            }"""
        )
        for number in range(runs):
            told = time.time()
            sessions.tell(number % len(sessions.folders), "note.added", {"text": f"n{number}"})
            seen = wait_for(lambda n=number: tab.evaluate(f"window.seen['n{n}']"), every_s=0.05)
            delays_ms.append(seen - 1000 * told)
            time.sleep(0.2)
        browser.close()
    return delays_ms


def main(seconds: float = 30, number: int = 50, pages: int = 5) -> bool:
    with tempfile.TemporaryDirectory() as name:
        os.environ["OPENSCOPE_STATE_DIRECTORY"] = str(Path(name, "state"))
        sessions, ended = Sessions(Path(name, "data"), number), threading.Event()
        threading.Thread(target=sessions.go_on, args=(ended,), daemon=True).start()
        process, address, port = served()
        bare, lines = floor([folder / "journal.jsonl" for folder in sessions.folders], pages)
        delays_ms: list[float] = []
        for _ in range(pages):
            job = (address, port, delays_ms, {})
            threading.Thread(target=page, args=job, daemon=True).start()
        try:
            wait_for(lambda: delays_ms)
            time.sleep(SETTLE_S)
            used_s, bare_s, first = cpu_s(process.pid), cpu_s(bare.pid), len(delays_ms)
            time.sleep(seconds)
            percent = 100 * (cpu_s(process.pid) - used_s) / seconds
            bare_percent = 100 * (cpu_s(bare.pid) - bare_s) / seconds
            told = sorted(delays_ms[first:])
            seen = sorted(seen_in_chromium(address, sessions, 40))
        finally:
            ended.set()
            process.send_signal(signal.SIGINT)
            process.wait()
            bare.kill()
            bare.wait()
            for line in lines:
                line.close()
    ok = percent <= CPU_LIMIT_PERCENT
    print(
        f"serve: {percent:.1f} % of one core with {number} sessions and {pages} pages, "
        f"{seconds:g} s (a program that only passes the lines on: {bare_percent:.1f} %; limit "
        f"{CPU_LIMIT_PERCENT:g} %): {'ok' if ok else 'ABOVE ITS LIMIT'}"
    )
    for what, values in (("the page's stream", told), ("the eye, in Chromium", seen)):
        if values:
            ok = _late(what, values) and ok
    return ok


def _late(what: str, values_ms: list[float]) -> bool:
    middle, most = statistics.median(values_ms), values_ms[int(0.99 * (len(values_ms) - 1))]
    ok = middle <= EVENT_LIMIT_MS
    verdict = "ok" if ok else "ABOVE ITS LIMIT"
    print(
        f"serve: an event reaches {what} after {middle:.0f} ms, 99 of 100 within {most:.0f} ms "
        f"(limit {EVENT_LIMIT_MS:g} ms for the median; {len(values_ms)} events): {verdict}"
    )
    return ok


if __name__ == "__main__":
    sys.exit(not main())
