"""The pages agree with the program, and can be built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import PROJECT, pages
from openscope_experimental_launcher.parameters.model import (
    PASSED_ON,
    SPELLINGS,
    Expectation,
    Parameters,
)
from openscope_experimental_launcher.session.journal import Event

_PAGE = (PROJECT / "docs" / "parameter-files.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)


def _rows() -> dict[str, list[str]]:
    """Key in the first column of a table → the other columns."""
    return {key: [c.strip() for c in rest.split("|")] for key, rest in _ROW.findall(_PAGE)}


def test_the_tables_have_every_key_and_no_other() -> None:
    known = {*Parameters.model_fields, *PASSED_ON, *SPELLINGS, *Expectation.model_fields}
    keys = {key for key in _rows() if not key.startswith("{")}
    assert known - keys == set()
    assert keys - known == set()


@pytest.mark.parametrize("key", Parameters.model_fields)
def test_the_tables_have_the_true_defaults(key: str) -> None:
    default = Parameters.model_fields[key].default
    assert _rows()[key][-1] == f"`{json.dumps(default)}`"


def test_the_tables_have_the_true_spellings() -> None:
    assert {other: _rows()[other][-1].strip("`") for other in SPELLINGS} == dict(SPELLINGS)


def test_the_page_of_the_session_folder_has_every_event() -> None:
    page = (PROJECT / "docs" / "session-folder.md").read_text(encoding="utf-8")
    for event in Event.__subclasses__():
        assert f"`{event.name}`" in page


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    built = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="https?://fonts\.', built)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
