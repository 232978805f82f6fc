"""Checking all parameter files of a folder, in one table.

A lab's files name the same repositories, commits, scripts and interpreters again and again: each
is looked at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..base.options import RunOptions
from ..base.preparation import Preparation
from ..engines import Engine, Source, get_engine
from ..errors import EXIT_FAILED, EXIT_OK, Finding, ParameterError, RepositoryError, attempt
from ..repository import GitSource, Resolved
from ..utils.git_manager import GitManager
from .planned import loaded, looked_at

_NAMED = 3
_Question = tuple[Any, ...]


def check_folder(args: argparse.Namespace, folder: Path) -> int:
    """Check each file of a folder and show what was found; returns the exit code.

    Args:
        args: the parsed command line, for every file.
        folder: holds the parameter files.

    Raises:
        ParameterError: there are none in it.
    """
    from ..display.screens import show_files

    files = _parameter_files(folder)
    if not files:
        below = [str(inner) for inner in sorted(folder.iterdir()) if _parameter_files(inner)]
        named = f", as {' or '.join(below[:_NAMED])}" if below else ""
        raise ParameterError(
            "There are no parameter files in this folder.",
            code="parameter-folder-empty",
            where=str(folder),
            fix=f"Name a folder with files that end in .json{named}.",
        )
    rows = list(_rows(args, files))
    show_files(rows)
    failed = any(finding.level == "error" for _, findings in rows for finding in findings)
    return EXIT_FAILED if failed else EXIT_OK


def _parameter_files(folder: Path) -> list[Path]:
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in entries if path.suffix.lower() == ".json")


def _rows(args: argparse.Namespace, files: list[Path]) -> Iterator[tuple[str, list[Finding]]]:
    known = _Known()
    for file in files:
        args.param_file = str(file)
        findings: list[Finding] = []
        failure = attempt(lambda into=findings: into.extend(_check(args, known)))  # type: ignore[misc]
        if failure is not None:
            findings += failure.error.findings
        yield file.name, findings


def _check(args: argparse.Namespace, known: _Known) -> list[Finding]:
    experiment, _ = loaded(args, lambda options: _OneOfMany(options, known))
    findings = list(experiment.parameter_warnings)
    return [*findings, *looked_at(experiment, allow_dirty=args.allow_dirty)[1]]


class _Known:
    """What was found out for the files before."""

    def __init__(self) -> None:
        self.commits: dict[_Question, Resolved | RepositoryError | None] = {}
        self.sources: dict[_Question, Source] = {}
        self.engines: dict[str, Engine] = {}


class _OneOfMany(Preparation):
    """One of many experiments that are only looked at, with what is known from the others."""

    def __init__(self, options: RunOptions, known: _Known) -> None:
        super().__init__(options)
        self._known = known
        self.git_manager = _AskedOnce(self.git_manager, known)

    def _engine(self, name: str) -> Engine:
        if name not in self._known.engines:
            self._known.engines[name] = get_engine(name)
        return self._known.engines[name]

    def _source(self, code: Resolved) -> Source:
        return self._known.sources.setdefault((code.path, code.commit), GitSource(code))


class _AskedOnce(GitManager):
    """Finds each commit once, and tells of one that cannot be found each time."""

    def __init__(self, other: GitManager, known: _Known) -> None:
        super().__init__(
            allow_dirty=other.allow_dirty, offline=other.offline, on_progress=other.on_progress
        )
        self._known = known

    def resolve(self, params: Mapping[str, Any]) -> Resolved | None:
        keys = ("repository_url", "repository_commit_hash", "local_repository_path")
        question = tuple(params.get(key) for key in keys)
        if question not in self._known.commits:
            try:
                self._known.commits[question] = super().resolve(params)
            except RepositoryError as error:
                self._known.commits[question] = error
        found = self._known.commits[question]
        if isinstance(found, RepositoryError):
            raise found
        return found
