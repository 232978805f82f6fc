"""What is known of a session for its standard metadata, from the records in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ...errors import ParameterError, did_you_mean
from ...files import read_json_object
from ...parameters.model import METADATA_KEYS
from ...session.folder import SessionFolder
from ...session.past import PastSession, as_object, read_past

STEP = "session_creator"
_OTHER_KEYS = ("session_type", "protocol_id", "modality", "description", "metadata_project_name")
_BEFORE_ITS_END = (
    "acquisition.started",
    "acquisition.sampled",
    "acquisition.warned",
    "acquisition.stop_requested",
    "acquisition.ended",
)


class Facts(NamedTuple):
    """A session as its standard metadata tell it.

    Attributes:
        past: its records.
        values: its parameters, and over them what was given for the metadata later.
        start, end: of the acquisition, ISO 8601 with offset.
        acquired: whether anything was, or may have been, acquired.
        instrument: the description of the rig that was kept with it; empty without one.
        made: what was told when the records were made last; empty when they were not.
        given: values that were given for them after the session.
    """

    past: PastSession
    values: Mapping[str, Any]
    start: str
    end: str
    acquired: bool
    instrument: Mapping[str, Any]
    made: Mapping[str, Any]
    given: Mapping[str, Any]

    @property
    def subject(self) -> str:
        return str(self.past.record.opened.get("subject_id") or "")

    @property
    def experimenters(self) -> list[str]:
        named = texts(self.values.get("experimenters"))
        return named or texts(self.past.record.opened.get("user_id"))

    @property
    def rig(self) -> str:
        return str(self.past.record.opened.get("rig_id") or "")

    @property
    def launcher(self) -> str:
        """The engine."""
        return str(self.past.record.opened.get("launcher") or "")

    @property
    def outcome(self) -> str:
        return self.past.record.outcome or "lost"


def read_facts(folder: SessionFolder, given: Mapping[str, Any]) -> Facts:
    """Read a session.

    Args:
        folder: the session folder.
        given: values for the metadata beside those that the folder keeps.

    Raises:
        SessionError: the folder is no session, or cannot be read.
    """
    past = read_past(folder)
    made = read_made(folder)
    later = {**as_object(made.get("given")), **given}
    values = {**past.processed, **_of_the_step(past), **later}
    start, end, acquired = _times(past)
    instrument = read_json_object(folder.path / "instrument.json")
    return Facts(past, values, start, end, acquired, instrument, made, later)


def read_made(folder: SessionFolder) -> Mapping[str, Any]:
    """What was told when the records were made last; empty when they were not."""
    return read_json_object(folder.standard_metadata)


def check_given(values: Mapping[str, Any]) -> None:
    """See that values are of keys that the metadata have.

    Raises:
        ParameterError: one is not (`metadata-key-unknown`).
    """
    known = sorted([*METADATA_KEYS, *_OTHER_KEYS])
    for key in values:
        if key not in known:
            raise ParameterError(
                f"The metadata have no key '{key}'.{did_you_mean(key, known)}",
                code="metadata-key-unknown",
                where=f"--set {key}",
                fix=f"Use one of: {', '.join(known)}.",
            )


def texts(value: Any) -> list[str]:
    """A text, a number or a list of them as texts; blank ones are left out."""
    items = value if isinstance(value, list) else [value]
    kinds = (str, int, float)
    found = (str(x).strip() for x in items if isinstance(x, kinds) and not isinstance(x, bool))
    return [text for text in found if text]


def _of_the_step(past: PastSession) -> dict[str, Any]:
    """The parameters of the step `session_creator`, when the session has it with some."""
    found: dict[str, Any] = {}
    pipeline = past.processed.get("post_acquisition_pipeline")
    for entry in map(as_object, pipeline if isinstance(pipeline, list) else []):
        if str(entry.get("module_path")).rpartition(".")[2] == STEP:
            found |= as_object(entry.get("module_parameters"))
    return {key: value for key, value in found.items() if value is not None}


def _times(past: PastSession) -> tuple[str, str, bool]:
    """Start and end of the acquisition, and whether there was one.

    One whose end was not seen lasted until it was last heard of. Without any (the launcher `base`,
    a session that failed before) it is the session's own time up to its closing.
    """
    record = past.record
    if record.started_at:
        heard = [event["time"] for event in past.events if event["name"] in _BEFORE_ITS_END]
        return record.started_at, record.ended_at or heard[-1], True
    named = {event["name"]: event["time"] for event in reversed(past.events)}
    start = named.get("session.opened", record.began)
    end = next((event["time"] for event in past.events if _is_closing(event)), record.last)
    by_hand = str(record.opened.get("launcher")) == "base" and record.outcome == "completed"
    return start, end, by_hand


def _is_closing(event: Mapping[str, Any]) -> bool:
    return bool(event["name"] == "stage.entered" and event["data"].get("stage") == "closing")


def processes(facts: Facts) -> Iterator[Mapping[str, Any]]:
    """The events of the steps after the acquisition that were run."""
    for event in facts.past.events:
        data = event["data"]
        if (
            event["name"] == "step.finished"
            and data["phase"] == "after"
            and data["outcome"] in ("ok", "failed")
        ):
            yield event
