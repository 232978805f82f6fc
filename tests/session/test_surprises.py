"""Before Enter: what is unlike the subject's last sessions is said, and nothing else is."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.base.options import RunOptions
from openscope_experimental_launcher.plan import Plan
from openscope_experimental_launcher.session.index import History, open_history
from openscope_experimental_launcher.session.state import note_for_history
from openscope_experimental_launcher.session.surprises import compare, look_back

NOW = datetime(2026, 3, 14, 10, 30)


@pytest.fixture
def history() -> Iterator[History]:
    """The history, open."""
    with open_history() as opened:
        yield opened


class Lab:
    """A subject with a past, and the plan of its next session."""

    def __init__(self, file: Path, history: History) -> None:
        self.file, self.history = file, history
        self.plan = self.planned()
        self.commit = self.plan.code.commit if self.plan.code else ""

    def planned(self, *, rehearse: bool = False, **values: Any) -> Plan:
        """The plan of a session with other values than those of the parameter file."""
        experiment = BaseExperiment(
            RunOptions(overrides={"rig_id": "B2", **values}, rehearse=rehearse)
        )
        experiment.load_parameters(self.file)
        return experiment.make_plan()

    def ran(
        self, days_ago: float, outcome: str | None = "completed", *, note: str = "", **values: Any
    ) -> Path:
        """Leave the records of a session that was."""
        began = NOW - timedelta(days=days_ago)
        plan = self.planned(rehearse=values.pop("rehearse", False), **values)
        subject = plan.parameters.subject_id or ""
        folder = plan.output_root / f"{subject}_{began:%Y-%m-%d_%H-%M-%S}"
        (folder / "experiment_metadata").mkdir(parents=True)
        opened = {
            "session_uuid": folder.name, "subject_id": subject, "user_id": "ada",
            "rig_id": plan.rig_id, "launcher": "python", "rehearsal": plan.rehearsal,
        }  # fmt: skip
        events: list[tuple[str, dict[str, Any]]] = [("session.opened", opened)]
        if plan.code:
            code = {"url": plan.code.url, "ref": "main", "commit": plan.code.commit}
            events.append(("repository.ready", {**code, "dirty": False}))
        if note:
            events.append(("note.added", {"text": note}))
        if outcome:
            ended = {"exit_code": 0, "signal": None, "stop": None, "duration_s": 3600.0}
            judged = {"outcome": outcome, "reason": "" if outcome == "completed" else "No camera."}
            events += [("acquisition.ended", ended), ("acquisition.judged", judged)]
            events.append(("session.closed", {**judged, "closed_by": "launcher"}))
        lines = [
            {"seq": n, "time": began.astimezone().isoformat(), "mono": n, "name": e, "data": data}
            for n, (e, data) in enumerate(events, 1)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "journal.jsonl").write_text(text, encoding="utf-8")
        records = plan.parameters.values()
        bound = json.loads(
            json.dumps(records)
            .replace("\\u0000output_session_folder\\u0000", str(folder))
            .replace("\\u0000output_root_folder\\u0000", str(folder.parent))
            .replace("\\u0000session_uuid\\u0000", folder.name)
        )
        file = folder / "experiment_metadata" / "processed_parameters.json"
        file.write_text(json.dumps(bound), encoding="utf-8")
        self.history.read([folder])
        return folder

    def told(self, **values: Any) -> list[str]:
        """What is said before a session with these values."""
        return [f.message for f in compare(self.history, self.planned(**values), NOW).surprises]


PARAMETERS = {"reward": 3, "save_to": "{output_session_folder}/x", "root": "{output_root_folder}"}


@pytest.fixture
def lab(write_parameters: Callable[..., Path], workplace: Path, history: History) -> Lab:
    """An experiment in a folder, with a parameter that names the session's folder."""
    (workplace / "task.py").write_text("print('ok')")
    file = write_parameters(
        launcher="python",
        local_repository_path=str(workplace),
        script_path="task.py",
        subject_id="614173",
        user_id="ada",
        OutputFolder=str(workplace / "data"),
        script_parameters=PARAMETERS,
    )
    return Lab(file, history)


@pytest.fixture
def pinned(python_experiment: Callable[..., Path], history: History) -> Lab:
    """The same in a repository, at a commit."""
    return Lab(python_experiment("print('ok')", script_parameters=PARAMETERS), history)


def test_a_session_like_the_last_ones_is_no_surprise(lab: Lab) -> None:
    for day in range(1, 6):
        lab.ran(day)
    assert lab.told() == []
    found = compare(lab.history, lab.plan, NOW)
    assert found.last is not None
    assert found.last.name == "614173_2026-03-13_10-30-00"


def test_a_value_is_compared_with_the_last_sessions(lab: Lab) -> None:
    for day in range(1, 45):
        lab.ran(day)
    lab.ran(0.5, rehearse=True, **{"script_parameters.reward": 30})
    assert lab.told(**{"script_parameters.reward": 30}) == ["reward 30; the last 40 sessions: 3."]
    assert lab.told(**{"script_parameters.extra": "x"}) == [
        "extra x; the last 40 sessions had none."
    ]
    assert lab.told(max_duration_s=60.0) == ["max_duration_s 60.0; the last 40 sessions had none."]
    lab.ran(0.5, **{"script_parameters.reward": 30})
    lab.ran(0.6, **{"script_parameters.reward": 30})
    assert "reward" not in " ".join(lab.told()), "back as it was nearly always"
    assert "reward 4; the last 2 sessions: 30." in lab.told(**{"script_parameters.reward": 4})


def test_what_changes_from_session_to_session_is_no_surprise(lab: Lab) -> None:
    for day in range(1, 9):
        lab.ran(day, **{"script_parameters.seed": day})
    assert lab.told(**{"script_parameters.seed": 99}) == []


def test_many_changed_values_are_told_in_few_lines(lab: Lab) -> None:
    named = {f"script_parameters.p{n}": n for n in range(1, 12)}
    for day in (1, 2):
        lab.ran(day, **named)
    told = lab.told(**{**named, **{key: 1000 + 10 * n for n, key in enumerate(named)}})
    assert len(told) == 4
    assert told[0] == "p1 1000; the last 2 sessions: 1.", "the largest change first"
    assert told[-1] == "Other than in the last session, too: p4, p5, p6, p7 and 4 more."


def test_long_values_that_differ_at_their_ends_are_told_without_them(lab: Lab) -> None:
    lab.ran(1, **{"script_parameters.order": "x" * 100 + "1"})
    told = lab.told(**{"script_parameters.order": "x" * 100 + "2"})
    assert told == ["order is another than in the last session."]


def test_another_rig_is_told_and_its_own_values_are_not(lab: Lab) -> None:
    for day in range(1, 4):
        lab.ran(day, rig_id="F1", bonsai_exe_path="/opt/f1/Bonsai.exe")
    assert lab.told(bonsai_exe_path="/opt/b2/Bonsai.exe", **{"script_parameters.reward": 9}) == [
        "reward 9; the last 3 sessions: 3.",
        "This is rig B2; the last 3 sessions were on F1.",
    ]
    lab.ran(5)
    assert lab.told() == ["This is rig B2; the last 3 sessions were on F1."]


def test_other_code_is_told(pinned: Lab, workplace: Path) -> None:
    from conftest import git  # the tests' own

    pinned.ran(1)
    checkout = workplace / "experiment"
    (checkout / "task.py").write_text("print('new')")
    git(checkout, "commit", "--quiet", "--all", "--message=New")
    new = git(checkout, "rev-parse", "HEAD")
    told = pinned.told(repository_commit_hash=new)
    assert told == [f"The code changed since yesterday: {pinned.commit[:10]} then, {new[:10]} now."]


def test_another_experiment_is_told_and_its_values_are_not_compared(lab: Lab) -> None:
    lab.ran(1, script_path="gratings.py", **{"script_parameters.reward": 8})
    assert lab.told() == ["This subject never ran task.py here; its last session ran gratings.py."]
    lab.ran(2)
    assert lab.told() == []


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("failed", "failed"),
        ("killed", "was stopped by a limit"),
        ("lost", "was lost"),
        ("aborted", "was aborted"),
    ],
)
def test_a_last_session_that_did_not_complete_is_told(lab: Lab, outcome: str, words: str) -> None:
    lab.ran(3)
    lab.ran(2, outcome)
    assert lab.told() == [f"The last session {words} 2 days ago at 10:30: No camera."]
    lab.ran(1, outcome)
    assert lab.told() == [
        f"The last 2 sessions did not complete; the last one {words} yesterday at 10:30: No camera."
    ]


def test_a_second_session_on_one_day_is_told_unless_that_is_usual(lab: Lab) -> None:
    lab.ran(0.1)
    assert lab.told() == ["This subject already ran today, at 08:06."]
    lab.ran(1.0)
    lab.ran(1.1)
    assert lab.told() == [], "yesterday there were two as well"
    lab.ran(0.05)
    assert lab.told() == ["This subject already ran today, at 09:18, the last of 2 times."]


def test_a_session_that_was_not_closed_is_told(lab: Lab) -> None:
    lab.ran(1)
    folder = lab.ran(0.1, None)
    (finding,) = compare(lab.history, lab.plan, NOW).surprises
    assert finding.message == ("A session of this subject that began today at 08:06 is not closed.")
    assert finding.where == folder.name


def test_a_subject_that_is_not_known_is_told(lab: Lab) -> None:
    assert lab.told() == [], "nobody is known yet"
    lab.ran(1, subject_id="614137")
    assert lab.told() == ["No session of subject 614173 is known here yet. Did you mean '614137'?"]


def test_a_session_that_left_no_parameters_is_passed_over(lab: Lab) -> None:
    folder = lab.ran(1, "failed")
    (folder / "experiment_metadata" / "processed_parameters.json").unlink()
    lab.history.read([folder])
    assert lab.told() == ["The last session failed yesterday at 10:30: No camera."]
    lab.ran(2)
    told = lab.told(**{"script_parameters.reward": 9})
    assert told[0] == "reward 9; the last session: 3."


def test_the_launchers_new_parameters_are_no_surprise(lab: Lab) -> None:
    folder = lab.ran(1)
    file = folder / "experiment_metadata" / "processed_parameters.json"
    values = json.loads(file.read_bytes())
    del values["stop_grace_s"], values["kill_threshold"]
    file.write_text(json.dumps(values))
    lab.history.read([folder])
    assert lab.told() == []


def test_the_last_session_is_known_before_anybody_asked_for_the_history(lab: Lab) -> None:
    note_for_history(lab.ran(1, note="spout cleaned"))
    found = look_back(lab.plan, within_s=60)
    assert found is not None and found.last is not None
    assert found.last.note == "spout cleaned"


def test_a_person_does_not_wait_for_a_history_that_takes_long(lab: Lab, own_state: Path) -> None:
    for day in range(1, 200):
        note_for_history(lab.ran(day, script_parameters={"x": "y" * 20_000}))
    lab.history.path.unlink()
    begin = time.monotonic()
    assert look_back(lab.plan, within_s=0.05) is None
    assert time.monotonic() - begin < 2
    for damaged in (b"", b"no database" * 1000):
        lab.history.path.write_bytes(damaged)
        found = look_back(lab.plan, within_s=60)
        assert found is not None and found.last is not None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_person_at_the_terminal_sees_it_and_an_unattended_run_does_not(
    pinned: Lab, openscope: Callable[..., Any], own_state: Path
) -> None:
    import pexpect

    folder = pinned.ran(1, "failed", rig_id="F1", note="left camera out of focus")
    (folder / "mouse_weight.csv").write_text(
        "time,phase,weight_g,subject_id,user_id\nx,before,21.5,614173,ada\nx,after,22,614173,ada\n"
    )
    note_for_history(folder)
    command = ["-m", "openscope_experimental_launcher", "run", str(pinned.file)]
    arguments = [*command, "--set", "script_parameters.reward=30", "--set", "rig_id=B2"]
    terminal = pexpect.spawn(
        sys.executable, arguments, timeout=60, dimensions=(50, 120), encoding="utf-8"
    )
    for words in (
        r"(days ago|on 2026-03-13|yesterday|today) at 10:30, failed after 1:00:00, 21.5 g",
        "its note",
        "left camera out of focus",
        r"reward 30; the last session: 3\.",
        r"The last session failed .* at 10:30: No camera\.",
        r"This is rig B2; the last session was on F1\.",
        r"Press Enter to start",
    ):
        terminal.expect(words)
    terminal.sendcontrol("c")
    terminal.expect(pexpect.EOF)

    pinned.history.path.unlink()
    unattended = openscope("run", str(pinned.file), "--yes")
    assert unattended.returncode == 0, unattended.stderr
    assert "last session" not in unattended.stdout
    assert not pinned.history.path.exists(), "the history was read"
