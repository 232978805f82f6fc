"""`openscope rerun`: the same session again, by the real command."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import git
from reproduce.conftest import TASK, change_record, event, record


def test_it_is_the_same_again_though_branch_file_and_folder_changed(
    python_experiment, openscope, run_session, workplace, tmp_path
) -> None:
    file = python_experiment(
        TASK,
        repository_commit_hash="main",
        OutputFolder="data",
        subject_id=None,
        script_parameters={"trials": 20, "where": "{output_session_folder}"},
        stop_file="{output_session_folder}/stop",
    )
    first = run_session("run", file, "--subject", "614173", "--set", "script_parameters.gain=2")
    repository = workplace / "experiment"
    (repository / "task.py").write_text("raise SystemExit('another commit')")
    git(repository, "commit", "--quiet", "--all", "--message=Break it")
    file.unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = run_session("rerun", first, cwd=elsewhere)

    assert second.parent == first.parent
    assert second.name.startswith("614173_")
    assert record(second, "repository")["commit"] == record(first, "repository")["commit"]
    used, before = (record(s, "processed_parameters") for s in (second, first))
    for key in ("subject_id", "user_id", "launcher", "script_path"):
        assert used[key] == before[key]
    assert used["script_parameters"] == {"trials": 20, "gain": 2, "where": str(second)}
    assert used["stop_file"] == f"{second}/stop"
    expected = (first / "arguments.txt").read_text().replace(str(first), str(second))
    assert (second / "arguments.txt").read_text() == expected
    assert event(second, "session.opened")["rerun_of"] == first.name
    assert (second / "experiment_metadata" / f"original_rerun_of_{first.name}.json").is_file()
    named = Path(record(second, "runtime_information")["plan"]["parameter_file"])
    assert json.loads(named.read_bytes())["script_parameters"]["gain"] == 2
    again = openscope("rerun", str(second), "--yes")
    assert again.returncode == 0
    assert "!" not in again.stdout, "nothing differs"


def test_another_subject(python_experiment, openscope, run_session) -> None:
    first = run_session("run", python_experiment(TASK))
    done = openscope("rerun", str(first), "--yes", "--subject", "700000")
    assert done.returncode == 0, done.stderr
    assert "subject_id is another" not in done.stdout, "that was meant"
    (second,) = first.parent.glob("700000_*")
    assert record(second, "processed_parameters")["subject_id"] == "700000"


def test_what_cannot_be_the_same_is_said_first(python_experiment, openscope, run_session) -> None:
    first = run_session("run", python_experiment(TASK, rig_id="rig1"))
    packages = record(first, "environment")["packages"]
    change_record(
        first,
        "environment",
        launcher_version="0.9",
        python="3.10.1",
        packages={**packages, "pydantic": "1.0", "gone": "2.0"},
        acquisition={**record(first, "environment")["acquisition"], "python": "3.8.0"},
    )
    platform = record(first, "runtime_information")["platform"]
    change_record(first, "runtime_information", platform={**platform, "computer_name": "rig-7"})
    processed = record(first, "processed_parameters")
    change_record(first, "processed_parameters", **{**processed, "stop_grace_s": 99.0})
    done = openscope("rerun", str(first), "--yes")
    assert done.returncode == 0
    before_start = done.stdout.partition("stage: parameters")[0]
    for words in (
        "The launcher is another: 0.9 then, 1.0.0 now.",
        "The launcher's Python is another: 3.10.1 then",
        "gone 2.0 → nothing",
        "pydantic 1.0 → ",
        "The computer is another: rig-7 then",
        "The acquisition's python is another: 3.8.0 then",
        "The parameter stop_grace_s is another: 99.0 then, 10.0 now.",
    ):
        assert words in before_start


def test_a_commit_that_is_nowhere_any_more(
    python_experiment, openscope, run_session, workplace, own_state
) -> None:
    first = run_session("run", python_experiment(TASK))
    repository = workplace / "experiment"
    git(repository, "commit", "--quiet", "--amend", "--message=Another history")
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
    shutil.rmtree(workplace / "checkouts")
    shutil.rmtree(own_state.parent / "cache")
    done = openscope("rerun", str(first), "--yes")
    assert done.returncode == 1
    assert "The server does not have this commit" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(list(first.parent.iterdir())) == 1


def test_edits_are_rebuilt_from_the_saved_patch(
    python_experiment, openscope, run_session, workplace
) -> None:
    file = python_experiment(TASK)
    run_session("run", file)
    checkout = workplace / "checkouts" / "experiment"
    with (checkout / "task.py").open("a") as script:
        script.write("(folder / 'edited').touch()\n")
    (checkout / "new.py").write_text("# added\n")
    git(checkout, "add", "new.py")
    (checkout / "notes.txt").write_text("a file in no commit")
    edited = run_session("run", file, "--allow-dirty")
    assert (edited / "edited").exists()

    refused = openscope("rerun", str(edited), "--yes")
    assert refused.returncode == 1
    assert "ran with edits that are in no commit: new.py, task.py" in refused.stderr
    assert "run it again with --allow-dirty" in refused.stderr
    detach, apply, copy = refused.stderr.split("rebuilt: ")[1].split("; ")[:3]

    rebuilt = workplace / "rebuilt"
    git(workplace, "clone", "--quiet", str(workplace / "experiment"), "rebuilt")
    for command in (detach, apply):  # as a person types them
        subprocess.run(command, shell=True, cwd=rebuilt, check=True)
    saved = Path(copy.split('"')[1])
    shutil.copytree(saved, rebuilt, dirs_exist_ok=True)

    there = f"local_repository_path={rebuilt}"
    done = openscope("rerun", str(edited), "--yes", "--allow-dirty", "--set", there)
    assert done.returncode == 0, done.stderr
    assert "are not those that the session ran with" not in done.stdout
    again = max(edited.parent.iterdir(), key=lambda session: session.stat().st_mtime)
    assert (again / "edited").exists()
    patch = "experiment_metadata/repository.patch"
    assert (again / patch).read_bytes() == (edited / patch).read_bytes()
    assert (again / "experiment_metadata/repository_untracked/notes.txt").exists()

    (rebuilt / "task.py").write_text("print('other edits')")
    other = openscope("rerun", str(edited), "--yes", "--allow-dirty", "--set", there)
    assert "The edits in the checkout are not those that the session ran with." in other.stdout


def test_secrets_are_not_kept_and_must_be_given_again(
    python_experiment, openscope, run_session
) -> None:
    file = python_experiment(TASK, api_token="hunter2", script_parameters={"trials": 1})
    first = run_session("run", file)
    refused = openscope("rerun", str(first), "--yes")
    assert refused.returncode == 1
    assert "The value of api_token is a secret and was not kept." in refused.stderr
    assert "--set api_token=VALUE" in refused.stderr
    done = openscope("rerun", str(first), "--yes", "--set", "api_token=hunter2")
    assert done.returncode == 0, done.stderr


def test_without_a_repository_another_script_is_seen(
    openscope, run_session, write_parameters, workplace
) -> None:
    (workplace / "task.py").write_text(TASK)
    file = write_parameters(
        launcher="python", script_path="task.py", subject_id="1", user_id="a", OutputFolder="data"
    )
    first = run_session("run", file)
    same = openscope("rerun", str(first), "--yes")
    assert same.returncode == 0, same.stderr
    assert "had no repository" in same.stdout
    assert "checksum differs" not in same.stdout
    (workplace / "task.py").write_text("print('other')")
    other = openscope("rerun", str(first), "--yes")
    assert "The workflow or script is another: its checksum differs." in other.stdout


def test_a_rehearsal_is_rehearsed_again(python_experiment, run_session, workplace) -> None:
    file = python_experiment(TASK, OutputFolder="data", rehearsal_duration_s=0.1)
    output = workplace / "rehearsal" / "data"
    first = run_session("run", file, "--rehearse", output=output)
    second = run_session("rerun", first, output=output)
    assert event(second, "session.opened")["rehearsal"] is True


@pytest.mark.parametrize("damage", ["no folder", "no journal", "no parameters", "broken"])
def test_what_cannot_be_run_again_is_a_plain_error(
    python_experiment, openscope, run_session, workplace, damage
) -> None:
    session = run_session("run", python_experiment(TASK))
    given = session / "experiment_metadata" / "given_parameters.json"
    if damage == "no folder":
        shutil.rmtree(session)
    elif damage == "no journal":
        (session / "journal.jsonl").unlink()
    elif damage == "no parameters":
        given.unlink()
    else:
        given.write_text("[" * 100_000)
    done = openscope("rerun", str(session), "--yes")
    assert done.returncode == 1
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(workplace.glob("data/*/journal.jsonl")) or damage != "no folder"


def test_old_records_are_left_alone(python_experiment, openscope, run_session) -> None:
    first = run_session("run", python_experiment(TASK))
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    assert openscope("rerun", str(first), "--yes").returncode == 0
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    manifest = json.loads((first / "manifest.json").read_bytes())
    assert "experiment_metadata/given_parameters.json" in manifest["files"]
