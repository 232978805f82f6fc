"""A session to run steps in, and a way to install steps as a lab's package would."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from openscope_experimental_launcher.parameters.model import Parameters
from openscope_experimental_launcher.session.folder import SessionFolder, claim
from openscope_experimental_launcher.session.journal import Journal
from openscope_experimental_launcher.steps import StepContext, StepResult, get_step
from openscope_experimental_launcher.steps.pipeline import own_values, plan_steps, session_values
from openscope_experimental_launcher.steps.runner import StepSession

Install = Callable[..., None]

PREAMBLE = """
from pydantic import BaseModel
from openscope_experimental_launcher.steps import StepResult

class Nothing(BaseModel):
    pass

class Plain:
    interactive = False
    parameters_model = Nothing
"""


class Lab:
    """One session: its folder, its journal, and what a parameter file says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = root / "repository"
        self.repository.mkdir()
        self.folder: SessionFolder = claim(root / "data", "614173")
        self.journal = Journal(root / "fallback.jsonl")
        self.journal.open(self.folder.journal)

    def parameters(self, **values: Any) -> Parameters:
        return Parameters.read({"subject_id": "614173", "user_id": "ada", **values})

    def session(self, parameters: Parameters, **changes: Any) -> StepSession:
        given: dict[str, Any] = {
            "folder": self.folder,
            "parameters": parameters,
            "checkout": self.repository,
            "interpreter": sys.executable,
            "rehearsal": False,
        }
        return StepSession(**{**given, **changes})

    def plan(self, *entries: Any, phase: str = "after", **values: Any) -> Any:
        key = {"before": "pre_acquisition_pipeline", "after": "post_acquisition_pipeline"}[phase]
        parameters = self.parameters(**{key: list(entries)}, **values)
        return plan_steps(phase, parameters), self.session(parameters)  # type: ignore[arg-type]

    def here(self, name: str, **values: Any) -> StepResult:
        """What an installed step returns, run in this process: quick, for steps that do no harm.

        Values that are no parameter of the step stand at the top level, as in a file.
        """
        phase, rehearsal = values.pop("phase", "before"), values.pop("rehearsal", False)
        outcome = values.pop("outcome", "")
        step = get_step(name)
        (planned,), session = self.plan(name, phase=phase, **values)
        top_level = session_values(session.parameters)
        own = own_values(planned, step.parameters_model, top_level, rehearsal=rehearsal)
        return step.run(
            StepContext(
                session_folder=self.folder.path,
                session_name=self.folder.name,
                subject_id="614173",
                user_id="ada",
                phase=phase,
                parameters=step.parameters_model.model_validate(own),
                session_parameters=top_level,
                checkout=self.repository,
                rehearsal=rehearsal,
                outcome=outcome,
            )
        )

    def log(self, name: str) -> Path:
        return self.folder.logs / name


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.journal.close()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a package `labsteps` with steps: name to class."""

    def install(source: str, **steps: str) -> None:
        site = tmp_path / "site"
        info = site / "labsteps-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "labsteps.py").write_text(PREAMBLE + dedent(source), encoding="utf-8")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: labsteps\nVersion: 1.0\n")
        lines = "".join(f"{name} = labsteps:{made}\n" for name, made in steps.items())
        (info / "entry_points.txt").write_text(
            f"[openscope_experimental_launcher.steps]\n{lines}", encoding="utf-8"
        )
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, "labsteps", raising=False)

    return install
