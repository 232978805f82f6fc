"""Transfers that are killed at random bytes: is anything half-published, copied again or lost?

`python bench/transfer_kills.py [KILLS [SEED]]`. A session of large and small files is copied to two
places by the real command, which is killed when a random number of bytes has been written, again
and again; when a copy is complete, some of it is damaged or removed, so that there is work again.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import OPENSCOPE, experiment, run_session

MAKES = """
import os, pathlib, random
folder = pathlib.Path(os.environ["OPENSCOPE_SESSION_DIRECTORY"])
chance = random.Random(1)
for n in range(4):
    (folder / ("video %d.avi" % n)).write_bytes(chance.randbytes(30_000_000 + n))
(folder / "frames").mkdir()
for n in range(500):
    (folder / "frames" / ("%d.png" % n)).write_bytes(chance.randbytes(30_000 + n))
"""


def digests(folder: Path) -> dict[str, str]:
    """The checksums of the files that are there under their own names."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        own = ("journal.jsonl", "transfer_receipt.json")
        if path.is_file() and path.suffix not in (".partial", ".tmp") and name not in own:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def written(folders: list[Path]) -> int:
    """Bytes in folders now, finished or not."""
    total = 0
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                try:
                    total += Path(root, name).stat().st_size
                except FileNotFoundError:
                    continue
    return total


class Copies:
    """The copies of one session, and what was wrong with them."""

    def __init__(self, session: Path, places: list[Path], chance: random.Random) -> None:
        self.session, self.chance = session, chance
        self.copies = [place / session.name for place in places]
        self.command = [*OPENSCOPE, "transfer", str(session)]
        for place in places:
            self.command += ["--to", str(place)]
        self.wanted = digests(session)
        self.inodes: dict[Path, int] = {}
        self.problems: list[str] = []

    def kill_once(self) -> bool:
        """Begin a transfer and kill it; False when it was done before."""
        size = sum(path.stat().st_size for path in self.session.rglob("*") if path.is_file())
        there = written(self.copies)
        limit = there + self.chance.random() * max(size * len(self.copies) - there, 0)
        process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while process.poll() is None and written(self.copies) < limit:
            time.sleep(0.001)
        time.sleep(self.chance.uniform(0, 0.8))
        process.kill()
        if process.wait() == 0:
            return False
        for copy in self.copies:
            self._look(copy)
        return True

    def _look(self, copy: Path) -> None:
        for name, digest in digests(copy).items() if copy.exists() else ():
            if digest != self.wanted.get(name):
                self.problems.append(f"{name} is published and is not right")
            inode = (copy / name).stat().st_ino
            if self.inodes.setdefault(copy / name, inode) != inode:
                self.problems.append(f"{name} was copied again")

    def spoil(self) -> None:
        """Give the next transfers something to do."""
        for copy in self.copies:
            videos = [name for name in self.wanted if name.startswith("video")]
            for name in [*videos, *self.chance.sample(sorted(self.wanted), 120)]:
                (copy / name).unlink(missing_ok=True)
                self.inodes.pop(copy / name, None)

    def finish(self) -> None:
        """Let a transfer come to its end, and look at everything."""
        done = subprocess.run(self.command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.problems.append(f"it did not end well: {done.stdout}{done.stderr}")
        for copy in self.copies:
            if digests(copy) != self.wanted:
                self.problems.append(f"{copy} is not the session")
            if list(copy.rglob("*.partial")):
                self.problems.append(f"{copy} has left-overs")
            verified = subprocess.run(
                [*OPENSCOPE, "verify", str(copy)], capture_output=True, check=False
            )
            if verified.returncode != 0:
                self.problems.append(f"{copy} does not verify")


def main(kills: int = 100, seed: int | None = None) -> bool:
    """Kill so many transfers; whether all was as it must be."""
    seed = random.randrange(1_000_000) if seed is None else seed
    with (
        experiment(
            [sys.executable, "-c", MAKES], session_report=False, session_metadata=False
        ) as file,
        tempfile.TemporaryDirectory() as name,
    ):
        places = [Path(name, "network"), Path(name, "backup")]
        for place in places:
            place.mkdir()
        session = run_session(file, "kills")[2]
        copies, done, whole = Copies(session, places, random.Random(seed)), 0, 0
        while done < kills:
            killed = copies.kill_once()
            done += killed
            if not killed or done % 10 == 0:  # or there would soon be nothing left to do
                whole += 1
                copies.finish()
                copies.spoil()
        copies.finish()
    for problem in dict.fromkeys(copies.problems):
        print(f"  {problem}")
    print(
        f"transfer_kills: {kills} kills of a transfer to two places, {whole + 1} times complete, "
        f"{len(copies.problems)} problems (seed {seed}): "
        f"{'ok' if not copies.problems else 'NOT AS REQUIRED'}"
    )
    return not copies.problems


if __name__ == "__main__":
    sys.exit(not main(*map(int, sys.argv[1:])))
