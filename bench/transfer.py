"""A verified copy against `cp`, fsync and `sha256sum` of what the disk has.

`python bench/transfer.py [RUNS [FOLDER [SMALL]]]`. First one file of 4 GB, then 10,000 files of
100 kB; SMALL divides both, for a quick look. The originals are in the cache before each copy, as
they are after a session, for both sides alike. The floor's caches are dropped without being
counted. FOLDER lies on the disk to be measured, with 13 GB free.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import interleaved, report

from openscope_experimental_launcher.transfer.engine import Copying, Item
from openscope_experimental_launcher.transfer.places import Place

LIMIT = 1.25
_BLOCK = 4 * 1024 * 1024


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def shell(command: str, folder: Path) -> float:
    """Seconds of a shell command."""
    return timed(lambda: subprocess.run(["bash", "-ec", command], cwd=folder, check=True))


def write(file: Path, size: int) -> None:
    """A file of bytes that do not compress."""
    with file.open("wb") as stream:
        block = os.urandom(_BLOCK)
        for number in range(0, size, _BLOCK):
            stream.write((number.to_bytes(8, "big") + block[8:])[: size - number])


def warm(folder: Path) -> None:
    """Have the originals in the cache."""
    for file in folder.iterdir():
        with file.open("rb") as stream:
            while stream.read(_BLOCK):
                pass


def settle() -> None:
    """Leave nothing of what came before to be written."""
    os.sync()


def forget(folder: Path) -> None:
    """Drop the cache of all files of a folder."""
    for file in folder.iterdir():
        fd = os.open(file, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


def floor(folder: Path, copy: str, sums: str) -> float:
    """Seconds that the shell needs: copying to the disk, then reading it back."""
    settle()
    warm(folder / "originals")
    shutil.rmtree(folder / "floor", ignore_errors=True)
    seconds = shell(copy, folder)
    forget(folder / "floor")
    seconds += shell(sums, folder)
    shutil.rmtree(folder / "floor")
    return seconds


def ours(folder: Path) -> float:
    """Seconds of a verified copy."""
    settle()
    warm(folder / "originals")
    place = Place(folder, "copy")

    def transfer() -> None:
        items = [Item(file.name) for file in sorted((folder / "originals").iterdir())]
        (outcome,) = Copying(folder / "originals", items, [place]).run().values()
        assert outcome.complete and len(outcome.copied) == len(items), outcome

    seconds = timed(transfer)
    shutil.rmtree(folder / "copy")
    return seconds


def measure(name: str, folder: Path, runs: int, copy: str, sums: str) -> bool:
    """Compare the two, in turn."""
    mine, floors = interleaved(runs, lambda _: ours(folder), lambda _: floor(folder, copy, sums))
    shutil.rmtree(folder / "originals")
    print("  " + "  ".join(f"{a:.2f}/{b:.2f}" for a, b in zip(mine, floors, strict=True)))
    return report(name, mine, floors, LIMIT)


def main(runs: int = 5, where: str | None = None, divisor: int = 1) -> bool:
    """Measure both; whether they are within the limit."""
    with tempfile.TemporaryDirectory(dir=where, prefix="bench-transfer-") as name:
        folder = Path(name)
        originals = folder / "originals"
        originals.mkdir()
        write(originals / "video.avi", 4_000_000_000 // divisor)
        one = measure(
            "transfer of one file",
            folder,
            runs,
            "mkdir floor; cp originals/video.avi floor/; sync floor/video.avi",
            "sha256sum floor/video.avi >/dev/null",
        )
        originals.mkdir()
        for number in range(10_000 // divisor):
            write(originals / f"frame {number:05}.png", 100_000)
        # The best that a shell does: one flush for all, and as many sums at a time as processors.
        many = measure(
            "transfer of many files",
            folder,
            runs,
            "cp -r originals floor; sync -f floor",
            f"find floor -type f -print0 | xargs -0 -n 99 -P {os.cpu_count()} sha256sum >/dev/null",
        )
    return one and many


if __name__ == "__main__":
    given = sys.argv[1:]
    runs = int(given[0]) if given else 5
    divisor = int(given[2]) if len(given) > 2 else 1
    sys.exit(not main(runs, given[1] if len(given) > 1 else None, divisor))
