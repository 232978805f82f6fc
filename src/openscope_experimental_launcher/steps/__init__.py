"""Steps: what is done before and after the acquisition.

A step is found by entry point (group `openscope_experimental_launcher.steps`) under the name that
a parameter file's pipeline gives. It runs in a process of its own, so that it can crash, hang or
end its interpreter without harm to the session.
"""

from __future__ import annotations

from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    TypeVar,
    runtime_checkable,
)

from ..errors import StepError, attempt, did_you_mean
from ..plugins import find_plugin, plugin_names

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..plugins import Plugin

ENTRY_POINT_GROUP = "openscope_experimental_launcher.steps"

Phase = Literal["before", "after"]

ModelT_co = TypeVar("ModelT_co", bound="BaseModel", covariant=True)


class StepContext(NamedTuple, Generic[ModelT_co]):
    """What a step is told.

    Attributes:
        session_folder: absolute path of the session folder.
        session_name: the session's name, also its `session_uuid`.
        subject_id: the animal.
        user_id: the operator.
        phase: `before` or `after` the acquisition.
        parameters: the step's own parameters, validated.
        session_parameters: all parameters of the session, under both spellings of keys that have
            two.
        checkout: folder of the experiment's files; None when there is none.
        rehearsal: whether nothing outside the session folder may be touched.
        outcome: how the acquisition ended: `completed`, `failed`, `aborted`, `killed` or `lost`;
            empty before it.
    """

    session_folder: Path
    session_name: str
    subject_id: str
    user_id: str
    phase: Phase
    parameters: ModelT_co
    session_parameters: dict[str, Any]
    checkout: Path | None
    rehearsal: bool
    outcome: str = ""


class StepResult(NamedTuple):
    """How a step went.

    Attributes:
        ok: whether it did what it is for.
        message: one sentence for the operator and the journal.
        files: files it made or changed, relative to the session folder.
        warnings: what a person should know although it went well.
        pending: whether it could not be done now and should be done later, by
            `openscope catch-up`: a service or a share was away. `ok` does not count then.
    """

    ok: bool
    message: str
    files: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    pending: bool = False


@runtime_checkable
class Step(Protocol):
    """What a step must be. The class is made without arguments, in the launcher to look at its
    parameters and again in the step's own process to run; making one must do nothing.

    Three more attributes are looked at where a class has them: `run_after_failure = False` leaves
    the step out after an acquisition that did not complete; `after_seal = True` runs it when the
    manifest is sealed, last of all, and it must then change no file of the session; and a method
    `preflight()` returns findings before the session: whether it can run here.

    Attributes:
        name: its name in a pipeline.
        interactive: whether it owns the terminal while it runs; then it has no time limit.
    """

    name: str
    interactive: bool

    @property
    def parameters_model(self) -> type[BaseModel]:
        """Pydantic model of its parameters. Fields are filled from the parameter file's keys of
        the same name, then from the pipeline entry's `module_parameters`."""

    def run(self, context: StepContext[Any]) -> StepResult:
        """Do the work. An exception makes the step failed."""


def step_names() -> list[str]:
    """Names of the steps that are installed."""
    return plugin_names(ENTRY_POINT_GROUP)


def is_installed(name: str) -> bool:
    """Whether there is a step of this name."""
    return find_plugin(ENTRY_POINT_GROUP, name) is not None


def get_step(name: str) -> Step:
    """The step of a name.

    Raises:
        StepError: none of this name is installed (`step-unknown`), or the one that is cannot be
            used (`step-broken`).
    """
    entry = find_plugin(ENTRY_POINT_GROUP, name)
    if entry is not None:
        return _make(entry)
    known = step_names()
    raise StepError(
        f"There is no step named '{name}'.{did_you_mean(name, known)}",
        code="step-unknown",
        fix="Install the package that provides it beside the launcher (uv pip install PACKAGE), "
        "name a file of the repository with module_type script_module, or use one of: "
        f"{', '.join(known)}.",
    )


def _make(entry: Plugin) -> Step:
    made: list[object] = []
    try:
        failure = attempt(lambda: made.append(entry.load()()))
    except SystemExit as end:
        raise _broken(entry, f"it calls sys.exit({end.code!r})") from end
    if failure is not None:
        raise _broken(entry, failure.error.message)
    step = made[0]
    if not isinstance(step, Step):
        raise _broken(entry, "it lacks a part of the Step protocol")
    return step


def _broken(entry: Plugin, why: str) -> StepError:
    return StepError(
        f"The step '{entry.name}' is installed but cannot be used: {why}",
        code="step-broken",
        where=entry.value,
        fix="Mend or reinstall the package that provides it.",
    )
