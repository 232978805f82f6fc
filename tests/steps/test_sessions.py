"""Steps in whole sessions of the real command: before, after, sealed, later."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import git
from openscope_experimental_launcher.session.journal import read_journal
from openscope_experimental_launcher.session.record import read_record
from steps.metadata_server import SUBJECT, Server, answer

Openscope = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def bare(write_parameters: Any, workplace: Path) -> Callable[..., Path]:
    """A parameter file of steps alone."""

    def write(**values: Any) -> Path:
        given = {"launcher": "base", "subject_id": "614173", "user_id": "ada"}
        return Path(
            write_parameters(
                **{
                    **given,
                    "session_report": False,
                    "session_metadata": False,
                    "OutputFolder": str(workplace / "data"),
                    **values,
                }
            )
        )

    return write


@pytest.fixture
def service() -> Iterator[dict[str, Any]]:
    """A metadata service whose answer can be changed while it runs."""
    state: dict[str, Any] = {"answer": answer(503)}
    server = Server(lambda _: state["answer"])
    state["url"] = server.url
    yield state
    server.close()


def only_session(workplace: Path) -> Path:
    (session,) = (workplace / "data").iterdir()
    return session


def events(session: Path) -> list[str]:
    return [
        f"{event['data']['step']}: {event['data']['outcome']}"
        if event["name"] == "step.finished"
        else event["name"]
        for event in read_journal(session / "journal.jsonl")
        if event["name"] in ("step.finished", "manifest.sealed", "session.closed")
    ]


def is_whole(session: Path) -> bool:
    """Whether the manifest lists exactly the files that are there, as they are."""
    listed = json.loads((session / "manifest.json").read_bytes())["files"]
    there = {
        path.relative_to(session).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in session.rglob("*")
        if path.is_file()
        and path.name not in ("manifest.json", "journal.jsonl", "transfer_receipt.json")
    }
    return there == {name: entry["sha256"] for name, entry in listed.items()}


def test_steps_alone_and_the_archive_last_of_all(
    openscope: Openscope, bare: Any, workplace: Path
) -> None:
    file = bare(
        pre_acquisition_pipeline=["example_pre_acquisition_module"],
        post_acquisition_pipeline=["session_archiver", "example_post_acquisition_module"],
        network_dir=str(workplace / "network"),
        backup_dir=str(workplace / "backup"),
    )
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    session = only_session(workplace)
    assert events(session) == [
        "example_pre_acquisition_module: ok",
        "example_post_acquisition_module: ok",
        "manifest.sealed",
        "session_archiver: ok",
        "session.closed",
    ]
    assert is_whole(session)
    for place in ("network", "backup"):
        copy = workplace / place / session.name
        assert is_whole(copy)
        assert (copy / "journal.jsonl").read_bytes() == (session / "journal.jsonl").read_bytes()
    assert json.loads((session / "example_post_acquisition_module.json").read_bytes())[
        "outcome"
    ] == ("completed")


def test_after_a_failed_acquisition_the_steps_run_but_those_that_say_otherwise(
    openscope: Openscope, python_experiment: Any, workplace: Path
) -> None:
    file = python_experiment(
        "raise SystemExit(3)",
        post_acquisition_pipeline=[
            "example_post_acquisition_module",
            {"module_path": "disk_space_check", "run_after_failure": False},
            "our_labs_own",
        ],
    )
    assert openscope("run", str(file), "--yes").returncode == 1
    session = only_session(workplace)
    assert events(session)[:3] == [
        "example_post_acquisition_module: ok",
        "disk_space_check: skipped",
        "our_labs_own: skipped",
    ]
    told = json.loads((session / "example_post_acquisition_module.json").read_bytes())
    assert told["outcome"] == "failed"


def test_a_failed_step_afterwards_has_a_line_at_the_end(
    openscope: Openscope, bare: Any, workplace: Path
) -> None:
    file = bare(
        post_acquisition_pipeline=[
            {"module_path": "disk_space_check", "module_parameters": {"required_free_gb": 1e9}},
            "example_post_acquisition_module",
        ]
    )
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    end = done.stdout[done.stdout.index("Completed") :]
    (line,) = [line for line in end.splitlines() if line.startswith("  failed   ")]
    assert line.startswith("  failed   step disk_space_check after the acquisition: ")
    assert "GB" in line


def test_after_a_session_that_never_began_none_do(
    openscope: Openscope, bare: Any, workplace: Path
) -> None:
    file = bare(
        pre_acquisition_pipeline=[
            {
                "module_path": "disk_space_check",
                "module_parameters": {"required_free_gb": 1e9},
                "on_failure": "abort",
            }
        ],
        post_acquisition_pipeline=["example_post_acquisition_module", "session_archiver"],
        network_dir=str(workplace / "network"),
        copy_to_backup=False,
    )
    done = openscope("run", str(file), "--yes")
    assert done.returncode == 1
    assert "required" in done.stderr
    assert events(only_session(workplace)) == [
        "disk_space_check: failed",
        "example_post_acquisition_module: skipped",
        "manifest.sealed",
        "session_archiver: skipped",
        "session.closed",
    ]
    assert not (workplace / "network").exists()


class TestLater:
    @pytest.fixture
    def session(
        self, openscope: Openscope, bare: Any, workplace: Path, service: dict[str, Any]
    ) -> Path:
        """A closed session that waits for the metadata service."""
        file = bare(
            pre_acquisition_pipeline=["metadata_subject_fetch"],
            post_acquisition_pipeline=["mouse_weight_post_prompt", "session_archiver"],
            metadata_service_base_url=service["url"],
            network_dir=str(workplace / "network"),
            copy_to_backup=False,
        )
        done = openscope("run", str(file), "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "openscope catch-up" in done.stdout
        return only_session(workplace)

    def test_what_was_away_is_fetched_sealed_and_archived(
        self, openscope: Openscope, session: Path, workplace: Path, service: dict[str, Any]
    ) -> None:
        closed = read_record(session / "journal.jsonl").closed
        assert closed is not None
        waiting = ["metadata_subject_fetch", "mouse_weight_post_prompt"]
        assert closed["pending"] == waiting
        listed = openscope("catch-up", "--list")
        assert f"waits for: {', '.join(waiting)}" in listed.stdout
        still_away = openscope("catch-up")
        assert (still_away.returncode, "pending" in still_away.stdout) == (1, True)
        damaged = session / "logs" / f"experiment_{session.name}.log"
        damaged.write_bytes(damaged.read_bytes() + b"damage")

        service["answer"] = answer(200, SUBJECT)
        fetched = openscope("catch-up", str(session))
        assert fetched.returncode == 0, fetched.stdout + fetched.stderr
        assert json.loads((session / "subject.json").read_bytes()) == SUBJECT
        assert events(session)[-5:] == [
            "session.closed",
            "manifest.sealed",
            "metadata_subject_fetch: ok",
            "session_archiver: ok",
            "session.closed",
        ]
        manifest = json.loads((session / "manifest.json").read_bytes())["files"]
        assert manifest["subject.json"]["size"] == (session / "subject.json").stat().st_size
        # What no step touched keeps its checksum, so that the damage is still found.
        name = damaged.relative_to(session).as_posix()
        assert manifest[name]["sha256"] != hashlib.sha256(damaged.read_bytes()).hexdigest()
        copy = workplace / "network" / session.name
        assert (copy / "subject.json").is_file()
        assert (copy / "journal.jsonl").read_bytes() == (session / "journal.jsonl").read_bytes()
        # A person is still needed for the weight.
        assert read_record(session / "journal.jsonl").pending_steps() == waiting[1:]
        nobody = openscope("catch-up")
        assert (nobody.returncode, "needs a person" in nobody.stdout) == (1, True)

    def test_nothing_waits_for_a_rehearsal(
        self, openscope: Openscope, bare: Any, workplace: Path, service: dict[str, Any]
    ) -> None:
        file = bare(
            pre_acquisition_pipeline=["metadata_subject_fetch", "mouse_weight_pre_prompt"],
            metadata_service_base_url=service["url"],
        )
        done = openscope("run", str(file), "--yes", "--rehearse")
        assert done.returncode == 0, done.stdout + done.stderr
        assert openscope("catch-up").stdout == "Nothing waits.\n"


class TestAgain:
    @pytest.fixture
    def session(self, openscope: Openscope, python_experiment: Any, workplace: Path) -> Path:
        """A closed session with a step of its repository."""
        file = python_experiment(
            "print('task')\ndef count():\n    print('counted')\n",
            post_acquisition_pipeline=[
                {"module_type": "script_module", "module_path": "task.py", "function": "count"},
            ],
            required_free_gb=0,
        )
        done = openscope("run", str(file), "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        return only_session(workplace)

    def test_a_step_of_the_pipeline_and_one_that_was_not_in_it(
        self, openscope: Openscope, session: Path
    ) -> None:
        again = openscope("step", "task.py", str(session))
        assert again.returncode == 0, again.stdout + again.stderr
        assert (session / "logs" / "step_after_0_task.py_2.log").read_text() == "task\ncounted\n"
        new = openscope("step", "example_post_acquisition_module", str(session))
        assert new.returncode == 0, new.stdout + new.stderr
        assert is_whole(session)
        too_much = openscope(
            "step", "disk_space_check", str(session), "--set", "required_free_gb=1e9"
        )
        assert (too_much.returncode, "failed" in too_much.stdout) == (1, True)
        assert is_whole(session)
        assert events(session)[-1] == "session.closed"

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ("required_free_gbb=1", "Did you mean 'required_free_gb'?"),
            ("required_free_gb=abc", "required_free_gb must be a number"),
            ("required_free_gb=-1", "required_free_gb must be"),
        ],
    )
    def test_what_a_step_cannot_be_given_is_said_in_plain_words(
        self, openscope: Openscope, session: Path, given: str, words: str
    ) -> None:
        before = (session / "journal.jsonl").read_bytes()
        done = openscope("step", "disk_space_check", str(session), "--set", given)
        assert done.returncode == 1
        assert words in done.stderr and f"where: --set {given.partition('=')[0]}" in done.stderr
        assert "pydantic" not in done.stderr + done.stdout
        assert (session / "journal.jsonl").read_bytes() == before

    def test_what_cannot_be_run_again_says_why(
        self, openscope: Openscope, session: Path, workplace: Path
    ) -> None:
        unknown = openscope("step", "disk_space_chek", str(session))
        assert (unknown.returncode, "Did you mean" in unknown.stderr) == (1, True)
        nowhere = openscope("step", "disk_space_check", str(workplace))
        assert (nowhere.returncode, "no session folder" in nowhere.stderr) == (1, True)
        checkout = workplace / "checkouts" / "experiment"
        (checkout / "new").write_text("x")
        git(checkout, "add", "--all")
        git(checkout, "commit", "--quiet", "--message=later")
        moved = openscope("step", "task.py", str(session))
        assert (moved.returncode, "git checkout" in moved.stderr) == (1, True)
        journal = session / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(lines[:-1]))
        is_open = openscope("step", "disk_space_check", str(session))
        assert (is_open.returncode, "openscope recover" in is_open.stderr) == (1, True)

    def test_a_session_that_was_moved(
        self, openscope: Openscope, session: Path, workplace: Path
    ) -> None:
        processed = session / "experiment_metadata" / "processed_parameters.json"
        values = json.loads(processed.read_bytes())
        place = f"{session}/sub/my notes.txt"
        processed.write_text(json.dumps({**values, "experiment_notes_filename": place}))
        moved = workplace / "archive" / session.name
        moved.parent.mkdir()
        shutil.move(session, moved)
        again = openscope("step", "experiment_notes_editor", str(moved))
        assert "needs a person" in again.stdout  # and does not write to the old place
        from openscope_experimental_launcher.session.folder import SessionFolder
        from openscope_experimental_launcher.steps.kept import kept_session

        kept = kept_session(SessionFolder(moved), read_record(moved / "journal.jsonl"))
        assert kept is not None
        extra = kept.parameters.others
        assert extra["experiment_notes_filename"] == f"{moved}/sub/my notes.txt"


def test_the_list_of_steps(openscope: Openscope) -> None:
    said = openscope("steps").stdout
    assert "disk_space_check\n" in said
    assert "mouse_weight_pre_prompt  (needs a person)" in said
    assert "session_archiver  (runs last)" in said
    assert "    required_free_gb = 10.0  Gigabytes" in said
    one = openscope("steps", "wait_for_user_input").stdout
    assert one.count("\n") == 3
    assert openscope("steps", "nonsense").returncode == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pexpect needs a POSIX terminal")
class TestAtATerminal:
    @pytest.fixture
    def command(self, workplace: Path) -> Iterator[Callable[..., Any]]:
        """Run the real command at a terminal."""
        import pexpect

        started: list[Any] = []

        def run(*arguments: str) -> Any:
            child = pexpect.spawn(
                sys.executable,
                ["-m", "openscope_experimental_launcher", *arguments],
                encoding="utf-8",
                timeout=20,
                echo=False,
                env={**os.environ, "TERM": "xterm", "DISPLAY": "", "PYTHONUTF8": "1"},
                cwd=str(workplace),
            )
            started.append(child)
            return child

        yield run
        for child in started:
            child.close(force=True)

    @pytest.fixture
    def terminal(self, bare: Any, command: Callable[..., Any]) -> Callable[..., Any]:
        return lambda **values: command("run", str(bare(**values)), "--yes")

    def test_a_failed_step_before_offers_three_ways(self, terminal: Any, workplace: Path) -> None:
        child = terminal(
            pre_acquisition_pipeline=[
                {"module_path": "disk_space_check", "module_parameters": {"required_free_gb": 1e9}}
            ]
        )
        for reply in ("r", "x", "g"):
            child.expect(r"\(r\)etry, \(g\)o on or \(a\)bort \[g\]: ")
            child.sendline(reply)
        child.expect("Completed")
        assert events(only_session(workplace)) == [
            "disk_space_check: failed",
            "disk_space_check: failed",
            "manifest.sealed",
            "session.closed",
        ]

    def test_enter_does_what_the_entry_says(self, terminal: Any, workplace: Path) -> None:
        child = terminal(
            pre_acquisition_pipeline=[
                {
                    "module_path": "disk_space_check",
                    "module_parameters": {"required_free_gb": 1e9},
                    "on_failure": "abort",
                }
            ]
        )
        child.expect(r"\(a\)bort \[a\]: ")
        child.sendline("")
        child.expect("Failed")
        assert events(only_session(workplace))[0] == "disk_space_check: failed"

    def test_interactive_steps_have_the_terminal_and_the_editor_outlives_ctrl_c(
        self, terminal: Any, workplace: Path
    ) -> None:
        from openscope_experimental_launcher.steps.left_running import ask_to_close, still_running

        child = terminal(
            pre_acquisition_pipeline=[
                "experiment_notes_editor",
                "mouse_weight_pre_prompt",
                "wait_for_user_input",
            ],
            experiment_notes_editor_command=sys.executable,
            experiment_notes_editor_args=["-c", "import time; time.sleep(600)"],
            prompt="Put the mouse on the rig, then press Enter.",
            step_timeout_s=1,
        )
        child.expect("Weight of 614173 before the session, in grams: ")
        child.sendline("21.5")
        child.expect("Put the mouse on the rig, then press Enter.")
        child.sendintr()
        child.expect("Aborted")
        child.wait()
        session = only_session(workplace)
        (editor,) = still_running(session)
        assert editor.step == "experiment_notes_editor"
        assert ",before,21.5,614173,ada" in (session / "mouse_weight.csv").read_text()
        assert read_record(session / "journal.jsonl").outcome == "aborted"
        assert is_whole(session)
        assert ask_to_close(session) == []

    def test_ctrl_c_at_a_question_afterwards_keeps_what_was_typed_and_leaves_it_to_be_asked_again(
        self, terminal: Any, command: Any, workplace: Path
    ) -> None:
        import pexpect

        child = terminal(
            post_acquisition_pipeline=["experiment_notes_post_prompt", "mouse_weight_post_prompt"]
        )
        child.expect("an empty line ends them")
        child.sendline("first line ü")
        session = only_session(workplace)
        wait_for(lambda: (session / "experiment_notes.txt").exists())
        child.sendintr()
        child.expect("Weight of 614173 after the session, in grams: ")
        child.sendintr()
        child.expect("waits")
        said = child.before
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
        assert "Traceback" not in said and "KeyboardInterrupt" not in said
        assert events(session)[:2] == [
            "experiment_notes_post_prompt: pending",
            "mouse_weight_post_prompt: pending",
        ]
        messages = [step["message"] for step in read_record(session / "journal.jsonl").steps]
        words = "It was interrupted; what was typed is kept in experiment_notes.txt."
        assert messages == [words, "It was interrupted."]
        notes = session / "experiment_notes.txt"
        assert notes.read_text(encoding="utf-8").endswith("]\nfirst line ü\n")
        assert is_whole(session)

        again = command("catch-up", str(session))
        again.expect("an empty line ends them")
        again.sendline("second line")
        wait_for(lambda: "second line\n" in notes.read_text(encoding="utf-8"))
        again.sendintr()
        again.expect("Weight of 614173 after the session, in grams: ")
        again.sendline("21.5")
        again.expect(pexpect.EOF)
        assert "Traceback" not in again.before
        assert "experiment_notes_post_prompt: pending. It was interrupted" in again.before
        again.wait()
        assert again.exitstatus == 1
        assert read_record(session / "journal.jsonl").pending_steps() == [
            "experiment_notes_post_prompt"
        ]
        assert is_whole(session)

        once_more = command("step", "experiment_notes_post_prompt", str(session))
        once_more.expect("an empty line ends them")
        once_more.sendintr()
        once_more.sendintr()
        once_more.expect(pexpect.EOF)
        assert "Traceback" not in once_more.before
        assert is_whole(session)
        assert events(session)[-1] == "session.closed"


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)
