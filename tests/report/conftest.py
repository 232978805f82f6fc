"""Session folders of every kind, written as a launcher and its guard would have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

BEGAN = datetime(2026, 11, 3, 9, 8, 7, tzinfo=UTC)
ZERO = 5000.0
OPENED = {
    "subject_id": "614173",
    "user_id": "Frieda Müller",
    "rig_id": "BEH.D",
    "launcher": "python",
    "launcher_version": "1.0.0",
    "parameter_file": "oddball.json",
    "params_checksum": "ef02",
    "run_folder": "",
    "rehearsal": False,
    "host": "W10DT",
    "pid": 1,
}
PARAMETERS = {
    "subject_id": "614173",
    "launcher": "python",
    "repository_url": "https://example.org/oddball.git",
    "script_path": "oddball.py",
    "script_parameters": {"reward": 3, "trials": 400},
}
COMMIT = "227beb27d145dbbc543401abd663a9a8a05005b9"


class Past:
    """A session folder under construction."""

    def __init__(self, root: Path, begins: datetime = BEGAN, **opened: Any) -> None:
        self.opened = {**OPENED, **opened}
        self.begins = begins
        name = f"{self.opened['subject_id']}_{begins:%Y-%m-%d_%H-%M-%S}"
        self.folder = root / name
        (self.folder / "logs").mkdir(parents=True)
        (self.folder / "experiment_metadata").mkdir()
        self.events: list[dict[str, Any]] = []
        self.add(-1.0, "stage.entered", stage="checks")
        self.add(-0.5, "session.opened", session_uuid=name, **self.opened)

    def add(self, at: float, event: str, /, **data: Any) -> Past:
        """One event, so many seconds after the acquisition began."""
        time = (self.begins + timedelta(seconds=at)).isoformat(timespec="milliseconds")
        line = {"seq": len(self.events) + 1, "time": time, "mono": ZERO + at}
        self.events.append({**line, "name": event, "data": data})
        return self

    def started(self) -> Past:
        self.add(-0.1, "stage.entered", stage="acquisition")
        return self.add(0.0, "acquisition.started", pid=17)

    def sampled(self, seconds: int, step: float = 1.0) -> Past:
        for number in range(int(seconds / step)):
            self.add(
                number * step,
                "acquisition.sampled",
                elapsed_s=number * step,
                memory_mb=400.0 + number % 50,
                cpu_s=0.7 * number * step,
                processes=2,
                system_percent=31.0 + number % 3,
                disk_free_mb=900_000 - number,
                stdout_bytes=20 * number,
                stderr_bytes=0,
            )
        return self

    def ended(self, at: float, exit_code: int | None = 0, **more: Any) -> Past:
        data = {"signal": None, "stop": None, "killed": False, "duration_s": at, **more}
        return self.add(at, "acquisition.ended", exit_code=exit_code, **data)

    def judged(self, at: float, outcome: str, reason: str = "") -> Past:
        self.outcome, self.reason = outcome, reason
        return self.add(
            at, "acquisition.judged", outcome=outcome, exit_code=0, reason=reason, attempt=1
        )

    def printed(self, stream: str, lines: Mapping[float, str] | list[tuple[float, str]]) -> Past:
        """Lines on a stream with their times."""
        pairs = lines.items() if isinstance(lines, Mapping) else lines
        size, text, times = 0, b"", ""
        for at, line in pairs:
            text += line.encode() + b"\n"
            size = len(text)
            times += f"{size}\t{(self.begins + timedelta(seconds=at)).timestamp():.3f}\n"
        (self.folder / f"logs/{stream}.log").write_bytes(text)
        (self.folder / f"logs/{stream}.times").write_text(times)
        return self

    def recorded(self, *, commit: str = COMMIT, limits: Any = None, **parameters: Any) -> Past:
        """The records beside the journal."""
        runtime = {
            "subject_id": self.opened["subject_id"],
            "rig_id": self.opened["rig_id"],
            "user_id": self.opened["user_id"],
            "plan": {
                "launcher": "python",
                "script": "/lab/oddball.py",
                "output_root": str(self.folder.parent),
                "limits": limits or {},
                "repository": {"commit": commit},
            },
            "origins": {"script_parameters": "parameter file"},
            "outcome": getattr(self, "outcome", None),
            "reason": getattr(self, "reason", ""),
        }
        repository = {"url": PARAMETERS["repository_url"], "commit": commit, "dirty": False}
        self._write("runtime_information", runtime)
        self._write("processed_parameters", {**PARAMETERS, **parameters})
        self._write("repository", {**repository, "branch": "main", "edited": []})
        return self

    def _write(self, name: str, value: Any) -> None:
        file = self.folder / "experiment_metadata" / f"{name}.json"
        file.write_text(json.dumps(value), encoding="utf-8")

    def written(self) -> Path:
        """Write the journal as it is."""
        lines = (json.dumps(event) + "\n" for event in self.events)
        (self.folder / "journal.jsonl").write_text("".join(lines), encoding="utf-8")
        return self.folder

    def closed(self, at: float) -> Path:
        """Seal and close it."""
        files = {
            path.relative_to(self.folder).as_posix(): {
                "size": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }
        manifest = {"session": self.folder.name, "algorithm": "sha256", "files": files}
        (self.folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        size = sum(entry["size"] for entry in files.values())
        self.add(at, "manifest.sealed", sha256="00", files=len(files), size_bytes=size)
        outcome = getattr(self, "outcome", "lost")
        self.add(at, "session.closed", outcome=outcome, closed_by="launcher", pending=[])
        return self.written()


@pytest.fixture
def past(tmp_path: Path) -> Callable[..., Past]:
    """Begin a session folder beside the others of the test; `day` counts from the first."""

    def begin(day: int = 0, **opened: Any) -> Past:
        return Past(tmp_path / "Über data", BEGAN + timedelta(days=day), **opened)

    return begin


@pytest.fixture
def good(past: Callable[..., Past]) -> Callable[..., Path]:
    """A session that went well."""

    def make(day: int = 0, *, parameters: Mapping[str, Any] | None = None, **opened: Any) -> Path:
        session = past(day, **opened).started().sampled(30)
        session.ended(30.0).judged(30.1, "completed")
        session.printed("stdout", [(at, f"Trial {at}: hit") for at in range(30)])
        return session.recorded(**(parameters or {})).closed(31.0)

    return make


@pytest.fixture
def failed(past: Callable[..., Past]) -> Callable[..., Path]:
    """A session whose script stopped with an exception after 90 s."""

    def make(day: int = 0, *, parameters: Mapping[str, Any] | None = None) -> Path:
        reason = "The script stopped with ValueError: no camera 7."
        session = past(day).started().sampled(90)
        session.add(62.0, "acquisition.warned", about="memory_limit_mb", message="Memory grows.")
        session.ended(90.0, exit_code=1)
        session.add(
            90.1,
            "finding.reported",
            stage="acquisition",
            level="error",
            code="script-exception",
            message=reason,
            where="oddball.py, line 7",
            fix="Plug the camera in.",
        ).judged(90.2, "failed", reason)
        session.printed("stdout", [(at, f"Trial {at}: hit") for at in range(90)])
        session.printed("stderr", {89.8: "Traceback", 89.9: "ValueError: no camera 7"})
        return session.recorded(**(parameters or {})).closed(91.0)

    return make
