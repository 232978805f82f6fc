"""Makes the pictures of the documentation from real runs: `uv run python scripts/pictures.py`.

Runs the demo and what a first day brings in a real terminal, and looks at the report and the live
page in a real browser. What is on the pictures is what the program said. Needs Chromium for the
pages (`apt-get install chromium`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from terminal_picture import Terminal, svg

from openscope_experimental_launcher.cli.app import VERBS

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
LARGEST = 150_000
"""Bytes that a picture may have."""

_PARAMS = "openscope-demo/visual_oddball.json"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Place:
    """A folder on its own, in which the launcher keeps everything it keeps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "rig"
        self.folder.mkdir()
        kept = {
            "OPENSCOPE_STATE_DIRECTORY": "state",
            "XDG_CACHE_HOME": "cache",
            "XDG_DATA_HOME": "share",
        }
        mine = {name: str(folder / place) for name, place in kept.items()}
        rig = folder / "rig_config.toml"
        rig.write_text('rig_id = "behavior-2"\n')
        mine["OPENSCOPE_RIG_CONFIG"] = str(rig)
        inherited = {key: value for key, value in os.environ.items() if key != "UV"}
        self.environment = {**inherited, **mine}
        # The pictures shall not name the folder of whoever makes them.
        (folder / "venv").symlink_to(sys.prefix)
        self._openscope = (
            str(folder / "venv" / "bin" / "python"), "-m", "openscope_experimental_launcher"
        )  # fmt: skip

    def terminal(self, *arguments: str, rows: int = 40, columns: int = 100) -> Terminal:
        """`openscope` with these arguments, in a terminal."""
        command = (*self._openscope, *arguments)
        return Terminal(
            command, folder=self.folder, environment=self.environment, rows=rows, columns=columns
        )

    def run(self, *arguments: str) -> str:
        """`openscope` with these arguments, without a terminal; what it printed."""
        done = subprocess.run(
            [*self._openscope, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
        )
        return done.stdout

    def edit(self, **values: Any) -> None:
        """Change keys of the demo's parameter file."""
        file = self.folder / _PARAMS
        file.write_text(json.dumps({**json.loads(file.read_bytes()), **values}, indent=2))

    def sessions(self) -> list[Path]:
        """The sessions there are, the oldest first."""
        folders = (self.folder / "openscope-demo" / "data").iterdir()
        return sorted(folders, key=lambda folder: folder.name[-len("2026-03-14_10-30-00") :])


def keep(terminal: Terminal, name: str, title: str, command: str = "") -> None:
    """Write the picture of a terminal."""
    _write(PICTURES / f"{name}.svg", svg(terminal.screen, title, command).encode())


def _write(file: Path, content: bytes) -> None:
    if len(content) > LARGEST:
        raise SystemExit(f"{file.name} has {len(content)} bytes; {LARGEST} are the most")
    file.write_bytes(content)
    sys.stdout.write(f"{file.name}: {len(content) / 1000:.0f} kB\n")


# -- the scenes ------------------------------------------------------------------------------------


def demo(place: Place) -> None:
    """The first session: while it runs, and at its end."""
    command = "openscope demo"
    terminal = place.terminal("demo", rows=46)
    terminal.until(lambda screen: "left" in screen and re.search(r"trial +8", screen) is not None)
    keep(terminal, "demo-running", "The screen while the demo's acquisition runs", command)
    terminal.end()
    keep(terminal, "demo-end", "The end of the demo and what is in its session folder", command)


def before(place: Place) -> None:
    """What an operator sees before a session: a check, its mistakes, the last look."""
    arguments = ("check", _PARAMS, "--subject", "614173", "--user", "ana")
    terminal = place.terminal(*arguments)
    terminal.end()
    keep(
        terminal,
        "check",
        "A check that found nothing in the way",
        " ".join(("openscope", *arguments)),
    )

    wrong = {
        "launcher": "python",
        "subject_id": "CON",
        "max_duration_s": "2 hours",
        "on_hang": "pause",
        "stop_grace": 30,
        "output_root_folder": "{home}/sessions",
    }
    (place.folder / "oddball.json").write_text(json.dumps(wrong, indent=2))
    terminal = place.terminal("check", "oddball.json")
    terminal.end()
    keep(
        terminal, "mistakes", "All mistakes of a file named at once", "openscope check oddball.json"
    )


def stopped(place: Place) -> None:
    """A session from its start to Ctrl-C: the last look, a note, the stop, the end."""
    command = f"openscope run {_PARAMS}"
    place.edit(max_duration_s=3600, memory_limit_mb=2000)
    terminal = place.terminal("run", _PARAMS, "--set", "script_parameters.number_of_trials=400")
    terminal.until("Subject:")
    terminal.type("614173\n")
    terminal.until("User:")
    terminal.type("ana\n")
    terminal.until("Press Enter")
    keep(terminal, "last-look", "The last look before a session starts", command)
    terminal.type("\n")
    terminal.until(lambda screen: re.search(r"trial +6", screen) is not None)
    terminal.type("n")
    terminal.type("the mouse grooms")
    terminal.until("the mouse grooms")
    terminal.type("\r")
    terminal.until("note: the mouse grooms")
    terminal.until(lambda screen: re.search(r"trial +9", screen) is not None)
    keep(terminal, "running", "A session that runs, with a note of the operator")
    terminal.type("\x03")
    terminal.until("Why was it stopped?")
    keep(terminal, "why-stopped", "After Ctrl-C: why was it stopped?")
    terminal.type("the mouse fell asleep\n")
    terminal.until("session  ")
    terminal.end()


def failed(place: Place) -> Path:
    """A session whose script fails; returns its folder."""
    repository = place.folder / "openscope-demo" / "visual_oddball"
    script = repository / "visual_oddball.py"
    broken = script.read_text().replace(
        'if __name__ == "__main__":',
        "def open_port(name: str) -> None:\n"
        '    raise OSError(f"could not open port {name}: it is not there")\n\n\n'
        'if __name__ == "__main__":\n    print("opening the lick sensor")\n'
        '    open_port("COM7")',
    )
    script.write_text(broken)
    author = ("-c", "user.name=Lab", "-c", "user.email=lab@localhost")
    subprocess.run(
        ["git", *author, "commit", "--quiet", "--all", "--message=Read the lick sensor"],
        cwd=repository,
        check=True,
    )
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()
    arguments = ("run", _PARAMS, "--set", f"repository_commit_hash={commit[:12]}", "--yes")
    terminal = place.terminal(*arguments, "--subject", "614173", "--user", "ana")
    terminal.end()
    keep(terminal, "failed", "The end of a session that failed", f"openscope run {_PARAMS} --yes")
    return place.sessions()[-1]


def afterwards(place: Place) -> None:
    """What is looked at later: the history, and what differed."""
    terminal = place.terminal("sessions", columns=110)
    terminal.end()
    keep(terminal, "sessions", "The history of all sessions", "openscope sessions")
    first, second = place.sessions()[0], place.sessions()[-1]
    terminal = place.terminal("diff", first.name, second.name)
    terminal.end()
    keep(
        terminal,
        "diff",
        "What differed between two sessions",
        f"openscope diff {first.name} {second.name}",
    )


# -- pages -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if program is None:
        raise SystemExit("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def photograph(page: Any, name: str, *, height: int) -> None:
    """Write the picture of a page's top as WebP, which Chromium makes by itself."""
    session = page.context.new_cdp_session(page)
    width = page.viewport_size["width"]
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    wanted = {"format": "webp", "quality": 82, "clip": clip, "captureBeyondViewport": True}
    taken = session.send("Page.captureScreenshot", wanted)
    _write(PICTURES / f"{name}.webp", base64.b64decode(taken["data"]))


def reports(place: Place, chromium: Any, good: Path, bad: Path) -> None:
    """The report of a session that went well, and of one that did not."""
    for name, session, height in (("report", good, 1000), ("report-failed", bad, 1000)):
        file = place.folder / f"{name}.html"
        place.run("report", str(session), "--output", str(file))
        page = chromium.new_page(viewport={"width": 1100, "height": height})
        page.goto(file.as_uri())
        photograph(page, name, height=height)
        page.close()


def live_page(place: Place, chromium: Any) -> None:
    """The live page while a session runs."""
    running = place.terminal(
        "run", _PARAMS, "--yes", "--subject", "614173", "--user", "ana",
        "--set", "script_parameters.number_of_trials=400",
    )  # fmt: skip
    running.until(lambda screen: re.search(r"trial +30", screen) is not None)
    server = place.terminal("serve", columns=200)
    server.until("http://")
    server.watch(1)  # the address may come in pieces
    address = re.findall(r"http://\S+", server.text())
    page = chromium.new_page(viewport={"width": 1100, "height": 900})
    page.goto(address[0])
    page.wait_for_timeout(4000)
    running.watch(0.5)
    photograph(page, "live-page", height=900)
    page.close()
    server.type("\x03")
    server.end()
    running.type("\x03\x03")
    running.end()


def main(arguments: Sequence[str] = ()) -> int:
    """Make all pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="openscope-") as folder:
        place = Place(Path(folder))
        demo(place)
        before(place)
        good = place.sessions()[0]
        stopped(place)
        bad = failed(place)
        afterwards(place)
        with browser() as chromium:
            reports(place, chromium, good, bad)
            if "serve" in VERBS:
                live_page(place, chromium)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
