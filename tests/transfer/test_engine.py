"""Copies arrive whole, and what can go wrong with one file does not touch the others."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.transfer.disk import BLOCK, digest_on_disk
from openscope_experimental_launcher.transfer.engine import Copying
from openscope_experimental_launcher.transfer.onefile import Item
from openscope_experimental_launcher.transfer.places import Place
from openscope_experimental_launcher.transfer.tally import Outcome, Progress
from openscope_experimental_launcher.transfer.trust import Trust
from transfer.conftest import MB, content_of, files_in, wait_for

LARGE = 3 * BLOCK + 12_345


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def put(folder: Path, **sizes: int) -> dict[str, bytes]:
    made = {name: content_of(size, number) for number, (name, size) in enumerate(sizes.items())}
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return made


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def copy(source: Path, places: Sequence[Place], **settings: Any) -> list[Outcome]:
    sealed = settings.pop("sealed", {})
    names = settings.pop("names", sorted(p.name for p in source.iterdir()))
    items = [Item(name, sealed.get(name, "")) for name in names]
    settings.setdefault("patience_s", ())
    outcomes = Copying(source, items, places, **settings).run()
    return [outcomes[place] for place in places]


def test_every_size_arrives_at_every_place(source: Path, tmp_path: Path) -> None:
    sizes = {"empty": 0, "one": 1, "page": 4096, "odd": 4097, "block": BLOCK, "more": BLOCK + 1}
    made = put(source, **sizes, large=LARGE)
    os.utime(source / "large", (1e9, 1e9))
    os.utime(source / "odd", (1e9, 1e9))
    roots = [tmp_path / "a", tmp_path / "b"]
    for root in roots:
        root.mkdir()
    seen: list[Progress] = []
    outcomes = copy(source, [Place(root, "s") for root in roots], on_progress=seen.append)
    for root, outcome in zip(roots, outcomes, strict=True):
        assert outcome.complete and sorted(outcome.copied) == sorted(made)
        assert files_in(root / "s") == made
        assert (root / "s" / "large").stat().st_mtime == 1e9
        assert (root / "s" / "odd").stat().st_mtime == 1e9
    total = sum(map(len, made.values()))
    assert (seen[-1].done, seen[-1].total, seen[-1].files) == (total, total, len(made))


def test_only_what_a_place_wants_goes_there(source: Path, tmp_path: Path, place: Path) -> None:
    made = put(source, table=10, video=LARGE)
    other = tmp_path / "other"
    other.mkdir()
    copy(source, [Place(place, "s"), Place(other, "s", wants=lambda name: name == "table")])
    assert files_in(place / "s") == made
    assert set(files_in(other / "s")) == {"table"}


def test_what_was_verified_is_not_read_again_and_what_changed_is_found(
    source: Path, tmp_path: Path, place: Path
) -> None:
    made = put(source, a=1000, b=LARGE, c=50)
    log = tmp_path / "arrived.jsonl"

    def again() -> Outcome:
        trust = Trust(log, "sha256")
        (outcome,) = copy(source, [Place(place, "s", trust=trust)])
        trust.close()
        return outcome

    assert sorted(again().copied) == ["a", "b", "c"]
    before = {name: (place / "s" / name).stat().st_ino for name in made}
    assert sorted(again().there) == ["a", "b", "c"]
    with log.open("ab") as stream:
        stream.write(b'{"name": "a", "torn')
    (place / "s" / "a").write_bytes(b"x" * 1000)
    (source / "c").write_bytes(b"new")
    third = again()
    assert (sorted(third.copied), third.there) == (["a", "c"], ["b"])
    assert files_in(place / "s") == {**made, "c": b"new"}
    assert (place / "s" / "b").stat().st_ino == before["b"]


def test_without_what_was_noted_it_is_read_and_compared(source: Path, place: Path) -> None:
    made = put(source, a=1000, b=LARGE)
    copy(source, [Place(place, "s")])
    whole = bytearray(made["b"])
    whole[BLOCK] ^= 1
    (place / "s" / "b").write_bytes(whole)
    (outcome,) = copy(source, [Place(place, "s")], sealed={"a": sha(made["a"])})
    assert (outcome.copied, outcome.there) == (["b"], ["a"])
    assert files_in(place / "s") == made


@pytest.mark.parametrize("size", [1000, LARGE])
def test_what_is_not_as_sealed_is_not_copied_and_all_else_is(
    source: Path, place: Path, size: int
) -> None:
    made = put(source, good=size, turned=size + 1)
    sealed = {"good": sha(made["good"]), "turned": sha(b"what it was")}
    (outcome,) = copy(source, [Place(place, "s")], sealed=sealed)
    assert not outcome.complete and outcome.copied == ["good"]
    assert outcome.failures["turned"].code == "copy-source-not-as-sealed"
    assert set(files_in(place / "s")) == {"good"}


def test_a_partial_copy_is_gone_on_with_and_a_spoiled_one_made_again(
    source: Path, tmp_path: Path, place: Path
) -> None:
    made = put(source, large=LARGE)
    for spoiled in (False, True):
        stop_after = 2 * BLOCK

        class Cut(Exception):
            pass

        def cut(progress: Progress, limit: int = stop_after) -> None:
            if progress.done * 2 >= limit:
                raise Cut

        with pytest.raises(Cut):
            copy(source, [Place(place, "s")], on_progress=cut)
        (partial,) = (place / "s").iterdir()
        assert 0 < partial.stat().st_size < LARGE and partial.name.endswith(".partial")
        same = tmp_path / f"spoiled {spoiled}"
        os.link(partial, same)
        if spoiled:
            with partial.open("r+b") as stream:
                stream.write(b"spoiled")
        (outcome,) = copy(source, [Place(place, "s")])
        assert outcome.complete and files_in(place / "s") == made
        assert same.samefile(place / "s" / "large") is not spoiled
        (place / "s" / "large").unlink()


class Corruptor(threading.Thread):
    """Turns bits in copies while they are written, as a bad cable or disk does."""

    def __init__(self, folder: Path, times: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.left, self.over = folder, times, False
        self.spoiled = 0

    def run(self) -> None:
        while not self.over and self.left:
            for partial in self.folder.glob(".*.partial"):
                self._spoil(partial)
            time.sleep(0.0002)

    def _spoil(self, partial: Path) -> None:
        try:
            with partial.open("r+b") as stream:
                stream.seek(1000)
                written = stream.read(4)
                if len(written) == 4 and written != bytes(4) and self.left:
                    stream.seek(1000)
                    stream.write(bytes(4))
                    self.spoiled += 1
                    self.left -= 1
        except FileNotFoundError:
            pass


@pytest.mark.skipif(sys.platform == "win32", reason="an open file is nobody else's there")
@pytest.mark.parametrize("times", [1, 100])
def test_a_copy_that_is_damaged_on_its_way_is_made_again(
    source: Path, place: Path, times: int
) -> None:
    made = put(source, large=20 * BLOCK, small=10)
    (place / "s").mkdir()
    corruptor = Corruptor(place / "s", times)
    corruptor.start()
    (outcome,) = copy(source, [Place(place, "s")], retries=2)
    corruptor.over = True
    corruptor.join()
    assert corruptor.spoiled, "nothing was spoiled"
    if times == 1:
        assert outcome.complete and files_in(place / "s") == made
    else:
        assert outcome.copied == ["small"]
        assert outcome.failures["large"].code == "copy-damaged"
        assert "3 times" in outcome.failures["large"].message
        assert set(files_in(place / "s")) == {"small"}


@pytest.mark.parametrize("ends", [True, False])
def test_a_file_that_grows_is_tried_again_until_it_is_still(
    source: Path, place: Path, ends: bool
) -> None:
    put(source, other=10)
    growing, over = source / "growing", threading.Event()

    def grow() -> None:
        with growing.open("ab", buffering=0) as stream:
            while not over.is_set():
                stream.write(b"y" * 4096)
                time.sleep(0.001)

    growing.write_bytes(content_of(LARGE))
    writer = threading.Thread(target=grow, daemon=True)
    writer.start()

    def look(progress: Progress) -> None:
        if ends and "growing changed" in progress.waiting:
            over.set()
            writer.join()

    patience = (0.3,) * (50 if ends else 1)
    (outcome,) = copy(source, [Place(place, "s")], on_progress=look, patience_s=patience)
    over.set()
    writer.join()
    assert "other" in outcome.copied
    if ends:
        assert outcome.complete and files_in(place / "s") == files_in(source)
    else:
        assert outcome.failures["growing"].code == "copy-source-changed"
        assert set(files_in(place / "s")) == {"other"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_at_the_destination_are_not_written_through(
    source: Path, tmp_path: Path, place: Path
) -> None:
    made = put(source, a=10, b=LARGE)
    precious = tmp_path / "precious"
    precious.write_bytes(b"old")
    (place / "s").mkdir()
    (place / "s" / "a").symlink_to(precious)
    (place / "s" / "b").symlink_to(precious)
    (outcome,) = copy(source, [Place(place, "s")])
    assert outcome.complete and files_in(place / "s") == made
    assert precious.read_bytes() == b"old"
    (source / "sub").mkdir()
    (source / "sub" / "c").write_bytes(b"c")
    (place / "s" / "sub").symlink_to(tmp_path, target_is_directory=True)
    (outcome,) = copy(source, [Place(place, "s")], names=["sub/c"])
    assert not outcome.complete and getattr(outcome.away, "code", "") == "copy-folder-blocked"
    assert not (tmp_path / "c").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_that_took_a_files_place_is_not_followed(source: Path, place: Path) -> None:
    (source / "secret").write_bytes(b"secret")
    (source / "a").symlink_to(source / "secret")
    (outcome,) = copy(source, [Place(place, "s")], names=["a"])
    assert outcome.failures["a"].code == "copy-source-link"
    assert files_in(place / "s") == {}


def test_one_place_that_is_away_does_not_keep_the_other_waiting(
    source: Path, tmp_path: Path, place: Path
) -> None:
    made = put(source, a=10, b=LARGE)
    began = time.monotonic()
    away, there = copy(
        source, [Place(tmp_path / "away", "s"), Place(place, "s")], patience_s=(600,)
    )
    assert time.monotonic() - began < 60
    assert there.complete and files_in(place / "s") == made
    assert isinstance(away.away, FileNotFoundError) and not away.complete
    assert not (tmp_path / "away").exists()


def test_ten_thousand_small_files(source: Path, place: Path) -> None:
    names = [f"{number % 50}/frame {number}.txt" for number in range(10_000)]
    for number in range(50):
        (source / str(number)).mkdir()
    for name in names:
        (source / name).write_bytes(name.encode())
    seen: list[Progress] = []
    (outcome,) = copy(source, [Place(place, "s")], names=names, on_progress=seen.append)
    assert outcome.complete and sorted(outcome.copied) == sorted(names)
    assert files_in(place / "s") == {name: name.encode() for name in names}
    assert seen[-1].files == 10_000


def test_the_longest_names_and_long_paths(source: Path, place: Path) -> None:
    folders = "/".join(["Überlanger Ordner " + "x" * 60] * 5)
    (source / folders).mkdir(parents=True)
    longest = "ü" * 120 + ".avi.part1234.avi"[:15]  # 255 bytes
    assert len(os.fsencode(longest)) == 255
    names = [longest, f"{folders}/video ß.avi"]
    for name in names:
        (source / name).write_bytes(content_of(BLOCK + 7))
    (outcome,) = copy(source, [Place(place, "s")], names=names)
    assert outcome.complete and len(str(place / "s" / names[1])) > 300
    assert files_in(place / "s") == files_in(source)


def test_the_checksum_of_what_the_disk_has(tmp_path: Path) -> None:
    for size in (0, 1, 4095, 4096, BLOCK, BLOCK + 1, LARGE):
        file = tmp_path / "file"
        file.write_bytes(content_of(size))
        assert digest_on_disk(file, "sha256") == sha(content_of(size)), size


def test_ctrl_c_ends_it_at_once_and_it_can_go_on(source: Path, place: Path) -> None:
    made = put(source, large=100 * MB, other=LARGE)

    def interrupt(progress: Progress) -> None:
        if progress.done > 10 * MB:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, [Place(place, "s")], on_progress=interrupt)
    assert not any(thread.name.startswith("transfer") for thread in threading.enumerate())
    (outcome,) = copy(source, [Place(place, "s")])
    assert outcome.complete
    wait_for(lambda: files_in(place / "s") == made, 5)
