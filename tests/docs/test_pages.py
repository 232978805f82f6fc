"""The pages agree with the program, and can be built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import PROJECT, SOURCE, page_name, pages, script
from openscope_experimental_launcher.cli.app import VERBS
from openscope_experimental_launcher.parameters.model import (
    KNOWN_KEYS,
    SPELLINGS,
    json_schema,
)
from openscope_experimental_launcher.session.journal import Event
from openscope_experimental_launcher.steps import get_step, step_names

_STEP_ROW = re.compile(r"^\| ((?:`\w+`(?:, )?)+) \|(.*)\|$", re.MULTILINE)
_NAME = re.compile(r"`(\w+)`")
_KEY_ROW = re.compile(r"^\| `([^`]+)`\{ #", re.MULTILINE)
_MOVED = re.compile(r"^\| ((?:`\w+`(?:, )?)+)", re.MULTILINE)


def test_the_reference_has_every_parameter_once() -> None:
    page = (PROJECT / "docs" / "reference" / "parameters.md").read_text(encoding="utf-8")
    filled = script("reference_pages").on_page_markdown(page)
    schema = json_schema()
    parts = [key for part in schema["$defs"].values() for key in part["properties"]]
    own = [key for key in schema["properties"] if key not in SPELLINGS]
    assert sorted(_KEY_ROW.findall(filled)) == sorted([*own, *parts])
    assert "whole number, at least 0, at most 20 | `0` |" in filled
    assert "number, more than 0, at most 30 days | `900.0` |" in filled
    for other, key in SPELLINGS.items():
        assert f"| `{other}` | `{key}` |" in filled


def test_the_reference_has_every_verb() -> None:
    page = (PROJECT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    filled = script("reference_pages").on_page_markdown(page)
    for verb in (*VERBS, "rig init", "rig show"):
        assert f"# openscope {verb}\n" in filled
    assert "`--rehearse`" in filled


def test_whoever_works_on_the_launcher_finds_every_room() -> None:
    page = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {folder.parent.name for folder in SOURCE.glob("*/__init__.py")}
    assert len(rooms) > 10
    assert {room for room in rooms if f"`{room}/`" not in page} == set()


def test_the_first_screen_has_every_verb() -> None:
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `openscope ([\w-]+)` \|", readme, re.MULTILINE) == list(VERBS)


def test_whoever_moves_finds_every_key_with_two_spellings_and_no_unknown_one() -> None:
    page = (PROJECT / "docs" / "engineers" / "moving.md").read_text(encoding="utf-8")
    table = page.partition("## Key by key")[2]
    keys = {key for keys in _MOVED.findall(table) for key in _NAME.findall(keys)}
    assert keys - KNOWN_KEYS == set()
    assert {*SPELLINGS, *SPELLINGS.values()} - keys == set()


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


@pytest.mark.parametrize("page", pages(), ids=page_name)
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
