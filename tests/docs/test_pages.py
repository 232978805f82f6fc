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
    FIELDS,
    PASSED_ON,
    SPELLINGS,
    Expectation,
)
from openscope_experimental_launcher.session.journal import Event
from openscope_experimental_launcher.steps import get_step, step_names

_PAGE = (PROJECT / "docs" / "parameter-files.md").read_text(encoding="utf-8")
_STEP_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|(.*)\|$", re.MULTILINE)
_NAME = re.compile(r"`(\w+)`")
_ROW = re.compile(r"^\| `([^`]+)` \|(.*)\|$", re.MULTILINE)


def _rows() -> dict[str, list[str]]:
    """Key in the first column of a table → the other columns."""
    return {key: [c.strip() for c in rest.split("|")] for key, rest in _ROW.findall(_PAGE)}


def test_the_tables_have_every_key_and_no_other() -> None:
    known = {*FIELDS, *PASSED_ON, *SPELLINGS, *Expectation.__struct_fields__}
    keys = {key for key in _rows() if not key.startswith("{")}
    assert known - keys == set()
    assert keys - known == set()


@pytest.mark.parametrize("key", FIELDS)
def test_the_tables_have_the_true_defaults(key: str) -> None:
    default = FIELDS[key].default
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


def test_the_page_of_steps_has_every_step_and_every_parameter_with_its_default() -> None:
    page = (PROJECT / "docs" / "steps.md").read_text(encoding="utf-8")
    rows = {key: rest for keys, rest in _STEP_ROW.findall(page) for key in _NAME.findall(keys)}
    own = [name for name in step_names() if _is_own(name)]
    assert len(own) > 10
    for name in own:
        assert name in rows, name
        for parameter, field in get_step(name).parameters_model.model_fields.items():
            assert parameter in rows, f"{name}: {parameter}"
            default = json.dumps(field.get_default(), ensure_ascii=False)
            assert rows[parameter].endswith(f"`{default}` "), f"{name}: {parameter}"


def _is_own(name: str) -> bool:
    return type(get_step(name)).__module__.startswith("openscope_experimental_launcher.")
