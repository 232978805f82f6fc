"""Run a first session: a visual oddball task in Python, about ten seconds long.

Makes a small git repository with the experiment, a parameter file that pins its commit, and runs
it as any session is run. Afterwards edit what it left and run it again with `openscope run`.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LauncherError
from ..supervision.spawn import start_guard_early

if TYPE_CHECKING:
    from ..repository import Git

_EXAMPLE = "visual_oddball"
_AUTHOR = ("-c", "user.name=OpenScope demo", "-c", "user.email=demo@localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope demo`."""
    parser.add_argument(
        "folder",
        nargs="?",
        default="openscope-demo",
        help="where to put the example and its sessions (default: ./openscope-demo)",
    )


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    start_guard_early()
    from ..base.options import RunOptions
    from ..display.screens import show_session_contents
    from ..session.folder import SessionFolder
    from .run import run_session

    folder = Path(args.folder).absolute()
    params = make_example(folder)
    sys.stdout.write(f"Parameter file: {params}\n")
    earlier = _sessions(folder)
    code = run_session(params, RunOptions(defaults=True), yes=True)
    for session in _sessions(folder) - earlier:
        show_session_contents(SessionFolder(session))
        command = "uv run openscope" if "UV" in os.environ else "openscope"
        sys.stdout.write("  report    report.html is being made\n")
        sys.stdout.write(f"\nEdit {params.name}, then: {command} run {_quoted(params)}\n")
    return code


def _sessions(folder: Path) -> set[Path]:
    return {journal.parent for journal in (folder / "data").glob("*/journal.jsonl")}


def make_example(folder: Path) -> Path:
    """Make the example's repository and parameter file, unless they are there. Returns the file.

    Raises:
        LauncherError: they cannot be made there.
    """
    params = folder / f"{_EXAMPLE}.json"
    try:
        commit = make_repository(folder / _EXAMPLE)
        if not params.is_file():
            write_parameters(params, folder, commit)
    except OSError as error:
        raise LauncherError(
            f"The example cannot be put there: {error.strerror or error}.",
            code="demo-folder-unusable",
            where=str(folder),
            fix="Name a folder that can be made and written to: openscope demo FOLDER",
        ) from error
    return params


def make_repository(folder: Path) -> str:
    """Make the example's git repository, unless it is there. Returns its newest commit."""
    from ..repository.git import Git, require_supported_git

    require_supported_git()
    if not (folder / ".git").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        packaged = files("openscope_experimental_launcher") / "examples" / _EXAMPLE
        with as_file(packaged) as source:
            for file in sorted(source.iterdir()):
                if file.is_file():
                    (folder / file.name).write_bytes(file.read_bytes())
        git = Git(folder)
        git.run("init", "--quiet", "--initial-branch=main", ".")
        git.run("add", "--all", ".")
        git.run(*_AUTHOR, "commit", "--quiet", "--message=The visual oddball example")
    return _head(Git(folder))


def _head(git: Git) -> str:
    return git.run("rev-parse", "HEAD").text.strip()


def write_parameters(path: Path, folder: Path, commit: str) -> None:
    """Write the demo's parameter file."""
    from ..files import write_json

    write_json(
        path,
        {
            "description": "OpenScope demo: a visual oddball task that needs no hardware",
            "launcher": "python",
            "repository_url": str(folder / _EXAMPLE),
            "repository_commit_hash": commit,
            "local_repository_path": str(folder / "checkouts"),
            "script_path": f"{_EXAMPLE}.py",
            "script_parameters": {
                "number_of_trials": 20,
                "trial_duration_s": 0.4,
                "deviant_probability": 0.2,
                "seed": 7,
            },
            "OutputFolder": str(folder / "data"),
        },
    )


def _quoted(path: Path) -> str:
    text = str(path)
    return f'"{text}"' if " " in text else text
