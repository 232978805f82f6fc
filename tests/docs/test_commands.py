"""Every command of the pages is carried out, in a terminal, or says why it cannot be here."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

from docs.pages import Block, blocks
from docs.place import Place, metadata_service
from openscope_experimental_launcher.cli.app import VERBS

_SESSION = re.compile(r"\b614173_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d\b")
_NOT_RUN = re.compile(r"not run here: (\S.*)")
_EXAMPLES = re.compile(r"^examples?:\n", re.MULTILINE)
_PROGRAMS = ("openscope ", "uv ", "git ", "python ", "pip ", ".ci/")


_MACHINE_WIDE = ("rig", "serve")
"""Verbs whose examples would write where the machine's own rig file lies, or be open to others."""


def _help_examples() -> Block:
    """The examples at the ends of the verbs' --help."""
    lines = []
    for verb in VERBS:
        if verb not in _MACHINE_WIDE:
            module = import_module(f"openscope_experimental_launcher.cli.{verb.replace('-', '_')}")
            examples = _EXAMPLES.split(module.__doc__ or "")[-1].splitlines()
            lines += [line for line in examples if line.strip().startswith("openscope ")]
    return Block("openscope VERB --help", 1, "console", "\n".join(lines))


_BLOCKS = [*blocks("console"), _help_examples()]
_RUN = [block for block in _BLOCKS if not _NOT_RUN.match(block.remark)]


def _lines(block: Block) -> list[str]:
    lines = (line.strip() for line in block.text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform == "win32", reason="there is no pseudo terminal")
@pytest.mark.parametrize("page", sorted({block.page for block in _RUN if _lines(block)}))
def test_the_commands_of_a_page_do_what_they_should(
    page: str, tmp_path: Path, private_environment: dict[str, str]
) -> None:
    lines = [line for block in _RUN if block.page == page for line in _lines(block)]
    names = sorted({"614173_2026-03-14_10-30-00", *_SESSION.findall("\n".join(lines))})
    folder = tmp_path / "place"
    folder.mkdir()
    with metadata_service() as service:
        launcher = "bonsai" if page == "bonsai.md" else "python"
        place = Place(folder, private_environment, service, launcher)
        try:
            for line in lines:
                code, shown = place.carry_out(place.translate(line, names))
                assert code == 0, f"{line}\n{shown}"
                assert "Traceback" not in shown, f"{line}\n{shown}"
        finally:
            place.leave()


@pytest.mark.parametrize("block", [b for b in blocks() if _NOT_RUN.match(b.remark)], ids=str)
def test_what_is_not_run_is_a_command_with_a_reason(block: Block) -> None:
    assert block.language in ("console", "powershell")
    reason = _NOT_RUN.fullmatch(block.remark)
    assert reason and len(reason[1]) > 10
    for named in re.findall(r"tests/\S+\.py", reason[1]):
        assert (Path(__file__).parents[2] / named).is_file(), named


@pytest.mark.parametrize("block", blocks(), ids=str)
def test_a_command_stands_in_a_block_that_is_run(block: Block) -> None:
    if block.language == "powershell":
        assert _NOT_RUN.match(block.remark)
    elif block.language not in ("console", "json", "toml", "python", "matlab"):
        assert not any(line.startswith(_PROGRAMS) for line in _lines(block))
