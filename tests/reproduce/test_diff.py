"""`openscope diff`: what differed between two real sessions, most telling first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import git
from openscope_experimental_launcher.reproduce.difference import differences
from openscope_experimental_launcher.session.comparing import changed
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.past import read_past
from reproduce.conftest import TASK, change_record, record

SECTIONS = ["code", "parameters", "environment", "outcome", "timing"]


def found(openscope: Any, one: Path, other: Path) -> dict[str, dict[str, tuple[str, str]]]:
    """Section → what differs → how it was in the one and in the other."""
    done = openscope("diff", str(one), str(other), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return {
        title: {row["label"]: (row["one"], row["other"]) for row in report[title]["differences"]}
        for title in SECTIONS
    }


def test_code_parameters_and_outcome(python_experiment, openscope, run_session, workplace) -> None:
    file = python_experiment(TASK, script_parameters={"trials": 20, "gain": 1})
    first = run_session("run", file)
    repository = workplace / "experiment"
    (repository / "task.py").write_text("import time\ntime.sleep(1.2)\nraise SystemExit(3)\n")
    git(repository, "commit", "--quiet", "--all", "--message=Fail, to see what comes of it")
    openscope(
        "run", str(file), "--yes", "--set", "repository_commit_hash=main",
        "--set", "script_parameters.trials=200", "--subject", "700000",
    )  # fmt: skip
    (second,) = first.parent.glob("700000_*")
    differing = found(openscope, first, second)
    commits = tuple(record(session, "repository")["commit"] for session in (first, second))
    assert differing["code"]["commit"] == commits
    assert differing["parameters"]["script_parameters.trials"] == ("20", "200")
    assert next(iter(differing["parameters"])) == "script_parameters.trials", "most telling first"
    assert differing["parameters"]["subject_id"] == ("614173", "700000")
    assert "script_parameters.gain" not in differing["parameters"]
    assert differing["environment"] == {}
    assert differing["outcome"]["outcome"] == ("completed", "failed")
    assert differing["outcome"]["exit code"] == ("0", "3")
    assert differing["timing"]["acquisition"] == ("00:00", "00:01")

    shown = openscope("diff", str(first), str(second)).stdout
    places = [shown.index(title.capitalize()) for title in SECTIONS]
    assert places == sorted(places)
    assert "1 commit more in the second:" in shown
    assert "Fail, to see what comes of it" in shown
    assert "task.py |" in shown
    whole = openscope("diff", str(first), str(second), "--patch").stdout
    assert "+raise SystemExit(3)" in whole
    back = openscope("diff", str(second), str(first)).stdout
    assert "1 commit more in the first:" in back


def test_two_of_the_same_are_the_same(python_experiment, openscope, run_session) -> None:
    file = python_experiment(TASK, stop_file="{output_session_folder}/stop")
    first = run_session("run", file)
    second = run_session("rerun", first)
    differing = found(openscope, first, second)
    assert not any(differing[title] for title in ("code", "environment", "outcome"))
    assert differing["parameters"] == {}
    assert "began" in differing["timing"]
    shown = openscope("diff", str(first), str(second)).stdout
    assert "Code  the same" in shown


def test_a_session_that_was_closed_again_has_no_stage_without_a_name(
    python_experiment, openscope, run_session
) -> None:
    file = python_experiment(TASK, stop_file="{output_session_folder}/stop")
    first, second = run_session("run", file), run_session("run", file)
    assert openscope("step", "disk_space_check", str(second)).returncode == 0
    timing = found(openscope, first, second)["timing"]
    assert not {"stage None", "stage "} & set(timing)


def test_edits_are_compared(python_experiment, openscope, run_session, workplace) -> None:
    file = python_experiment(TASK)
    clean = run_session("run", file)
    script = workplace / "checkouts" / "experiment" / "task.py"
    script.write_text(TASK + "# one\n")
    first = run_session("run", file, "--allow-dirty")
    script.write_text(TASK + "# other\n")
    second = run_session("run", file, "--allow-dirty")
    assert found(openscope, clean, first)["code"]["edits"] == ("nothing", "task.py")
    shown = openscope("diff", str(first), str(second), "--patch").stdout
    assert "The edits are of the same files, and not the same." in shown
    assert "+# one" in shown
    assert "+# other" in shown


def test_environments_are_compared(python_experiment, openscope, run_session) -> None:
    first = run_session("run", python_experiment(TASK))
    second = first.with_name("copied")
    shutil.copytree(first, second)
    environment = record(second, "environment")
    acquisition = environment["acquisition"]
    acquisition["packages"]["pydantic"] = "99"
    change_record(second, "environment", launcher_version="2.0", acquisition=acquisition)
    differing = found(openscope, first, second)["environment"]
    assert next(iter(differing)) == "acquisition.packages.pydantic", "what ran comes first"
    assert differing["launcher_version"] == ("1.0.0", "2.0")


def test_commits_that_are_not_here_are_said(
    python_experiment, openscope, run_session, workplace, own_state
) -> None:
    file = python_experiment(TASK)
    first = run_session("run", file)
    repository = workplace / "experiment"
    (repository / "task.py").write_text("pass")
    git(repository, "commit", "--quiet", "--all", "--message=Next")
    second = run_session("run", file, "--set", "repository_commit_hash=main")
    shutil.rmtree(workplace / "checkouts")
    fetched = openscope("diff", str(first), str(second)).stdout
    assert "1 commit more in the second:" in fetched, "the launcher's own copy has them"
    shutil.rmtree(own_state.parent / "cache")
    gone = openscope("diff", str(first), str(second)).stdout
    assert "The commits are not on this machine" in gone


@pytest.mark.parametrize("name", ["environment", "processed_parameters", "repository"])
def test_broken_records_are_said_and_the_rest_is_compared(
    python_experiment, openscope, run_session, name
) -> None:
    first = run_session("run", python_experiment(TASK))
    second = first.with_name("copied")
    shutil.copytree(first, second)
    (second / "experiment_metadata" / f"{name}.json").write_text("{")
    done = openscope("diff", str(first), str(second))
    assert done.returncode == 0, done.stderr
    assert f"{name}.json of it cannot be read" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_an_interrupted_session_is_compared_as_far_as_it_goes(
    python_experiment, run_session
) -> None:
    first = run_session("run", python_experiment(TASK))
    second = first.with_name("copied")
    shutil.copytree(first, second)
    journal = (second / "journal.jsonl").read_bytes()
    one = read_past(SessionFolder(first))
    for cut in range(journal.index(b"\n") + 1, len(journal), 97):
        (second / "journal.jsonl").write_bytes(journal[:cut])
        sections = differences(one, read_past(SessionFolder(second)))
        assert [section.title for section in sections] == SECTIONS


def test_what_is_no_session_is_a_plain_error(openscope, workplace) -> None:
    done = openscope("diff", str(workplace), str(workplace))
    assert done.returncode == 1
    assert "it is no session folder" in done.stderr


def test_values_that_change() -> None:
    assert changed({}, {}) == {}
    assert changed({"a": []}, {"a": {}}) == {"a": ("[]", "{}")}
    assert changed({"a": {}}, {"a": {"b": 1}}) == {"a.b": ("nothing", "1")}
    assert changed({"a": 0}, {"a": {"b": 1}}) == {"a": ("0", "nothing"), "a.b": ("nothing", "1")}
    assert changed({"a": 1}, {"a": True}) == {"a": ("1", "true")}
    assert changed({"a": "x" * 100}, {})["a"][0].endswith("…")
