"""`processing.json`: what was done with the data after the acquisition, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from ...session.past import as_object
from .acquisition import REHEARSAL
from .code import launcher_code, repository_file_code
from .facts import Facts, processes
from .schema import Built, Object

_OF_REPOSITORY = ("script_module", "repo_module")


def build_processing(facts: Facts) -> Built:
    """The values of the record."""
    names: Counter[str] = Counter()
    values: Object = {
        "data_processes": [
            _process(event, end, facts, names)
            for event in processes(facts)
            if (end := _moment(event["time"])) is not None
        ],
        "notes": REHEARSAL if facts.past.rehearsal else None,
    }
    return Built(values, [])


def _moment(time: str) -> datetime | None:
    try:
        return datetime.fromisoformat(time)
    except ValueError:
        return None


def _process(event: Mapping[str, Any], end: datetime, facts: Facts, names: Counter[str]) -> Object:
    data = event["data"]
    name = str(data["step"])
    names[name] += 1
    took = data.get("duration_s")
    begin = end - timedelta(seconds=float(took) if isinstance(took, (int, float)) else 0.0)
    files = data.get("files")
    return {
        "object_type": "Data process",
        "process_type": "Other",
        # Names are unique in a record.
        "name": name if names[name] == 1 else f"{name}_{names[name]}",
        "stage": "Processing",
        "code": _code(data, facts),
        "experimenters": facts.experimenters,
        "start_date_time": begin.isoformat(),
        "end_date_time": end.isoformat(),
        "output_parameters": {
            "outcome": str(data["outcome"]),
            "files": [str(file) for file in files] if isinstance(files, list) else [],
        },
        "notes": str(data.get("message") or "") or None,
    }


def _code(data: Mapping[str, Any], facts: Facts) -> Object:
    """The launcher's code, or the experiment's for a step that is a file of its repository."""
    planned = facts.past.plan.get("after")
    position = data["position"]
    inside = isinstance(planned, list) and 0 <= position < len(planned)
    entry = as_object(planned[position]) if inside and planned else {}
    if entry.get("module_type") in _OF_REPOSITORY:
        own = repository_file_code(facts, str(data["step"]))
        if own is not None:
            return own
    return launcher_code(facts)
