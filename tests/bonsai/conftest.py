"""Realistic workflows, and the simulated player as the real child process that it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.engines import FolderSource
from openscope_experimental_launcher.engines.bonsai.launch import PLAYER_MODULE
from openscope_experimental_launcher.parameters.model import Parameters

WORKFLOWS = Path(__file__).parent / "workflows"

_XML = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<WorkflowBuilder Version="2.8.1"
                 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                 xmlns:rx="clr-namespace:Bonsai.Reactive;assembly=Bonsai.Core"
                 xmlns:io="clr-namespace:Bonsai.IO;assembly=Bonsai.System"
                 xmlns:cv="clr-namespace:Bonsai.Vision;assembly=Bonsai.Vision"
                 xmlns="https://bonsai-rx.org/2018/workflow">
  <Workflow>
    <Nodes>{nodes}</Nodes>
    <Edges>{edges}</Edges>
  </Workflow>
</WorkflowBuilder>
"""


def workflow_xml(*nodes: str, edges: tuple[tuple[int, int], ...] = ()) -> bytes:
    """A workflow of the given nodes, as the editor would save it."""
    lines = "".join(f'<Edge From="{a}" To="{b}" Label="Source1" />' for a, b in edges)
    return _XML.format(nodes="\n".join(nodes), edges=lines).encode("utf-8")


def mapping(member: str, name: str = "") -> str:
    display = f' DisplayName="{name}"' if name else ""
    return (
        '<Expression xsi:type="ExternalizedMapping">'
        f'<Property Name="{member}"{display} /></Expression>'
    )


def typed(kind: str, value: str) -> str:
    """A node such as `IntProperty`."""
    return (
        f'<Expression xsi:type="Combinator"><Combinator xsi:type="{kind}">'
        f"<Value>{value}</Value></Combinator></Expression>"
    )


def csv_writer(name: str, *, overwrite: bool = False, append: bool = False) -> str:
    return (
        f'<Expression xsi:type="io:CsvWriter"><io:FileName>{name}</io:FileName>'
        f"<io:Append>{str(append).lower()}</io:Append>"
        f"<io:Overwrite>{str(overwrite).lower()}</io:Overwrite>"
        "<io:Suffix>None</io:Suffix></Expression>"
    )


class Build:
    """Pieces of workflows, for tests to put together."""

    workflow = staticmethod(workflow_xml)
    mapping = staticmethod(mapping)
    typed = staticmethod(typed)
    csv_writer = staticmethod(csv_writer)


@pytest.fixture
def build() -> type[Build]:
    return Build


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An experiment's repository with workflows and an installed Bonsai (a native program)."""
    root = tmp_path / "repo"
    shutil.copytree(WORKFLOWS, root / "src")
    exe = root / "bonsai" / "Bonsai.exe"
    exe.parent.mkdir()
    exe.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m {PLAYER_MODULE} "$@"\n')
    exe.chmod(0o755)
    return root


@pytest.fixture
def source(repository: Path) -> FolderSource:
    return FolderSource(repository)


@pytest.fixture
def parameters() -> Callable[..., Parameters]:
    def make(**given: Any) -> Parameters:
        usual = {"script_path": "src/oddball.bonsai", "bonsai_exe_path": "bonsai/Bonsai.exe"}
        return Parameters.read(usual | given)

    return make


Play = Callable[..., subprocess.CompletedProcess[str]]


def player_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings without `OPENSCOPE_` are the player's own: `DURATION_S="0.1"`."""
    named = {
        key if key.startswith("OPENSCOPE_") else f"OPENSCOPE_PLAYER_{key}": value
        for key, value in settings.items()
    }
    return {**os.environ, "OPENSCOPE_PLAYER_DURATION_S": "0.05", **named}


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Run the player to its end: `play("w.bonsai", "-p:N=1", EXCEPTION="…")`."""

    def run(*arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", PLAYER_MODULE, "--no-editor", *map(str, arguments)],
            cwd=tmp_path,
            env=player_environment(settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


@pytest.fixture
def start_player(tmp_path: Path) -> Callable[..., subprocess.Popen[bytes]]:
    """Start the player and leave it running; the test must end it."""

    def start(*arguments: str | Path, **settings: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", PLAYER_MODULE, "--no-editor", *map(str, arguments)],
            cwd=tmp_path,
            env=player_environment(settings),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    return start
