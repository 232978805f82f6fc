"""The pictures of the pages: each is shown, told in words, and small; and how they are made."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from docs.pages import PROJECT, pages, script

_SHOWN = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
_LARGEST = 150_000
_SHORTEST_WORDS = 40
_PICTURES = sorted((PROJECT / "docs" / "pictures").iterdir())


def _shown() -> dict[Path, list[str]]:
    """Pictures to the words that stand for them."""
    found: dict[Path, list[str]] = {}
    for page in pages():
        for words, target in _SHOWN.findall(page.read_text(encoding="utf-8")):
            found.setdefault((page.parent / target).resolve(), []).append(words)
    return found


def test_every_picture_is_shown_and_every_one_shown_is_there() -> None:
    assert set(_shown()) == set(_PICTURES)


@pytest.mark.parametrize("picture", _PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_small_and_told_in_words(picture: Path) -> None:
    assert picture.stat().st_size <= _LARGEST
    assert all(len(words) >= _SHORTEST_WORDS for words in _shown()[picture])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pseudo terminal")
def test_a_terminal_becomes_a_picture_with_its_colours(tmp_path: Path) -> None:
    pictures = script("terminal_picture")
    program = "print('\\x1b[1;31mwrong\\x1b[0m  <a & b>\\n\\x1b[2mfaint\\x1b[0m')"
    terminal = pictures.Terminal(
        [sys.executable, "-c", program], folder=tmp_path, environment={}, columns=30, rows=5
    )
    terminal.until("faint")
    assert terminal.end() == 0
    picture = ElementTree.fromstring(pictures.svg(terminal.screen, "What it shows", "say"))
    texts = [node for node in picture.iter() if node.tag.endswith("}text")]
    words = {(node.text or "").replace("\u00a0", " "): node for node in texts}
    assert set(words) == {"$", "say", "wrong", "<a & b>", "faint"}
    assert words["wrong"].get("font-weight") == "bold"
    colours = {node.get("fill") for node in (words["wrong"], words["faint"], words["<a & b>"])}
    assert len(colours) == 3
    assert (picture[0].text, picture.get("role")) == ("What it shows", "img")
