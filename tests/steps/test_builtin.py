"""The launcher's own steps that need no service."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.errors import LauncherError
from openscope_experimental_launcher.steps.left_running import (
    ask_to_close,
    leave_running,
    registered,
    still_running,
)

SLEEPER = "import time; time.sleep(600)"


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lines that the operator types."""

    def type_lines(*lines: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        waiting = iter(lines)
        monkeypatch.setattr("builtins.input", lambda *_: _next(waiting))

    return type_lines


def _next(lines: Any) -> str:
    try:
        return str(next(lines))
    except StopIteration:
        raise EOFError from None


@pytest.fixture
def no_type_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is no terminal here, whose typed-ahead keys could be thrown away."""
    monkeypatch.setattr(
        "openscope_experimental_launcher.parameters.prompts.discard_type_ahead", lambda: None
    )
    for name in ("asking", "experiment_notes"):
        monkeypatch.setattr(
            f"openscope_experimental_launcher.steps.{name}.discard_type_ahead", lambda: None
        )


pytestmark = pytest.mark.usefixtures("no_type_ahead")


class TestDiskSpace:
    def test_enough_too_little_and_a_rehearsal_elsewhere(self, lab: Any) -> None:
        assert lab.here("disk_space_check", required_free_gb="0.001").ok
        assert not lab.here("disk_space_check", required_free_gb=1e9).ok
        rehearsed = lab.here("disk_space_check", required_free_gb=1e9, rehearsal=True)
        assert (rehearsed.ok, "1e+09 GB are required" in rehearsed.message) == (True, True)


class TestWeight:
    def test_both_weights_are_rows_of_one_table(self, lab: Any, typed: Any, capsys: Any) -> None:
        typed("21,5 g")
        first = lab.here("mouse_weight_pre_prompt")
        typed("heavy", "0", "2150", "nan", "22.25")
        last = lab.here("mouse_weight_post_prompt", phase="after")
        assert (first.message, first.files) == ("21.5 g before the session.", ("mouse_weight.csv",))
        assert last.message == "22.25 g after the session."
        table = (lab.folder.path / "mouse_weight.csv").read_text(encoding="utf-8")
        rows = list(csv.DictReader(table.splitlines()))
        assert [(r["phase"], r["weight_g"], r["subject_id"], r["user_id"]) for r in rows] == [
            ("before", "21.5", "614173", "ada"),
            ("after", "22.25", "614173", "ada"),
        ]
        said = capsys.readouterr().out
        assert "heavy is no number of grams." in said
        assert "No mouse weighs 2150 g" in said

    def test_an_input_that_ends_is_a_plain_error(self, lab: Any, typed: Any) -> None:
        typed()
        with pytest.raises(LauncherError) as caught:
            lab.here("mouse_weight_pre_prompt")
        assert caught.value.code == "prompt-closed"


class TestWaiting:
    def test_enter_goes_on(self, lab: Any, typed: Any, capsys: Any) -> None:
        typed("")
        assert lab.here("wait_for_user_input", prompt="Lower the screen\x1b[2J, then Enter").ok
        assert capsys.readouterr().out == "Lower the screen, then Enter "

    def test_an_input_that_ends_is_no_enter(self, lab: Any, typed: Any) -> None:
        typed()
        with pytest.raises(LauncherError) as caught:
            lab.here("wait_for_user_input")
        assert caught.value.code == "step-no-answer"


class TestNotes:
    def test_the_file_is_made_once(self, lab: Any) -> None:
        values = {"experiment_notes_filename": "notes\\today.txt"}
        values["experiment_notes_launch_editor"] = False  # type: ignore[assignment]
        result = lab.here("experiment_notes_editor", **values)
        notes = lab.folder.path / "notes" / "today.txt"
        assert result.ok
        assert "subject 614173, user ada" in notes.read_text(encoding="utf-8")
        notes.write_text("mine", encoding="utf-8")
        assert lab.here("experiment_notes_editor", **values).ok
        assert notes.read_text(encoding="utf-8") == "mine"

    def test_an_editor_stays_open_and_is_asked_to_close(
        self, lab: Any, typed: Any, capsys: Any
    ) -> None:
        opened = lab.here(
            "experiment_notes_editor",
            experiment_notes_editor_command=sys.executable,
            experiment_notes_editor_args=["-c", SLEEPER],
        )
        assert opened.ok
        (editor,) = still_running(lab.folder.path)
        assert editor.command[-1] == str(lab.folder.path / "experiment_notes.txt")
        (lab.folder.path / "experiment_notes.txt").write_text("slept well\n" * 3, encoding="utf-8")
        typed("")
        done = lab.here(
            "experiment_notes_finalize",
            phase="after",
            experiment_notes_preview_limit=10,
            manifest_path="routing.json",
        )
        assert (done.ok, done.warnings) == (True, ())
        assert done.files == ("experiment_notes.txt", "routing.json")
        assert still_running(lab.folder.path) == []
        assert "slept well" in capsys.readouterr().out
        routing = json.loads((lab.folder.path / "routing.json").read_bytes())
        assert routing == {
            "entries": [{"type": "experiment_notes", "files": ["experiment_notes.txt"]}]
        }

    @pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM")
    def test_an_editor_that_does_not_close_is_left_and_said(
        self, lab: Any, typed: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from openscope_experimental_launcher.steps import left_running

        monkeypatch.setattr(left_running, "_CLOSE_WAIT_S", 0.2)
        stubborn = (
            "import signal, pathlib; signal.signal(15, signal.SIG_IGN); "
            "pathlib.Path('ready').touch(); " + SLEEPER
        )
        pid = leave_running(lab.folder.path, "test", [sys.executable, "-c", stubborn])
        while not (lab.folder.path / "ready").exists():
            pass
        (lab.folder.path / "experiment_notes.txt").write_text("x")
        typed("")
        done = lab.here("experiment_notes_finalize")
        assert (done.ok, done.warnings) == (True, (f"The editor is still open: process {pid}.",))
        os.kill(pid, 9)
        os.waitpid(pid, 0)

    @pytest.mark.parametrize(("named", "ok"), [("no-such-editor", False), (None, True)])
    def test_without_an_editor_the_file_is_there_all_the_same(
        self, lab: Any, monkeypatch: pytest.MonkeyPatch, named: str | None, ok: bool
    ) -> None:
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        if named is None and sys.platform != "linux":
            pytest.skip("there is always an editor")
        result = lab.here("experiment_notes_editor", experiment_notes_editor_command=named)
        assert (result.ok, len(result.warnings)) == (ok, 1)
        assert (lab.folder.path / "experiment_notes.txt").is_file()
        assert lab.here(
            "experiment_notes_editor", experiment_notes_editor_command=named, rehearsal=True
        ).ok

    def test_the_last_word_is_added_with_the_time(self, lab: Any, typed: Any) -> None:
        notes = lab.folder.path / "experiment_notes.txt"
        notes.write_text("before", encoding="utf-8")
        typed("licks were few", "Löffel", "", "not this")
        done = lab.here("experiment_notes_post_prompt", phase="after")
        assert (done.message, done.files) == ("2 lines of notes were added.", (notes.name,))
        text = notes.read_text(encoding="utf-8")
        assert text.startswith("before\n[2")
        assert text.endswith("]\nlicks were few\nLöffel\n")
        typed("")
        assert lab.here("experiment_notes_post_prompt").files == ()

    def test_notes_that_are_not_there(self, lab: Any, typed: Any) -> None:
        typed("")
        done = lab.here("experiment_notes_finalize")
        assert (done.ok, "is not there" in done.message) == (False, True)

    @pytest.mark.parametrize("name", ["../notes.txt", "/etc/notes.txt", "."])
    def test_notes_stay_in_the_session(self, lab: Any, name: str) -> None:
        with pytest.raises(LauncherError) as caught:
            lab.here("experiment_notes_editor", experiment_notes_filename=name)
        assert caught.value.code == "step-file-outside"


class TestLeftRunning:
    def test_a_register_that_is_broken_is_empty(self, lab: Any) -> None:
        lab.folder.metadata.mkdir(exist_ok=True)
        (lab.folder.metadata / "left_running.json").write_text('[{"pid": "x"}]')
        assert registered(lab.folder.path) == []
        assert ask_to_close(lab.folder.path) == []

    def test_a_pid_that_was_given_away_is_left_alone(self, lab: Any) -> None:
        entry = {"step": "x", "pid": os.getpid(), "created": 1.0, "command": []}
        lab.folder.metadata.mkdir(exist_ok=True)
        (lab.folder.metadata / "left_running.json").write_text(json.dumps([entry]))
        assert len(registered(lab.folder.path)) == 1
        assert ask_to_close(lab.folder.path) == []


class TestInstrument:
    @pytest.fixture
    def root(self, lab: Any) -> Path:
        folder = lab.repository / "rigs"
        folder.mkdir()
        return Path(folder)

    def put(self, file: Path, named: str = "rig3", age: int = 0) -> None:
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"instrument_id": named, "file": file.name}))
        os.utime(file, (1e9 - age, 1e9 - age))

    def fetched(self, lab: Any, **values: Any) -> Any:
        given = {"rig_id": "rig3", "instrument_json_source_root": "rigs", **values}
        result = lab.here("instrument_json_fetch", **given)
        kept = lab.folder.path / "instrument.json"
        return result, json.loads(kept.read_bytes())["file"] if kept.exists() else None

    def test_the_newest_in_the_rigs_own_folder(self, lab: Any, root: Path) -> None:
        self.put(root / "rig3" / "instrument_old.json", age=50)
        self.put(root / "rig3" / "instrument_new.json", age=5)
        self.put(root / "rig3" / "other.json")
        self.put(root / "instrument.json")
        result, name = self.fetched(lab)
        assert (result.ok, name, result.files) == (
            True,
            "instrument_new.json",
            ("instrument.json",),
        )
        assert result.warnings == ()

    @pytest.mark.parametrize("name", ["rig3.json", "RIG3_instrument_2.json", "instrument.json"])
    def test_without_one(self, lab: Any, root: Path, name: str) -> None:
        self.put(root / "rig4.json")
        self.put(root / name)
        assert self.fetched(lab)[1] == name

    def test_the_description_of_another_rig_is_warned_of(self, lab: Any, root: Path) -> None:
        self.put(root / "instrument.json", named="rig4")
        assert self.fetched(lab)[0].warnings == ("The description is of rig4, not of rig3.",)

    def test_none_a_broken_one_and_a_share_that_is_away(self, lab: Any, root: Path) -> None:
        result, _ = self.fetched(lab)
        assert (result.ok, result.pending) == (False, False)
        (root / "instrument.json").write_text("{")
        result, _ = self.fetched(lab)
        assert (result.ok, "is no JSON" in result.message) == (False, True)
        result, _ = self.fetched(lab, instrument_json_source_root="away")
        assert (result.ok, result.pending) == (False, True)
        result, _ = self.fetched(lab, instrument_json_source_root="away", rehearsal=True)
        assert (result.ok, result.pending) == (True, False)

    def test_a_rigs_name_leads_nowhere_else(self, lab: Any, root: Path) -> None:
        self.put(lab.repository / "instrument.json")
        result, _ = self.fetched(lab, rig_id="..")
        assert not result.ok


class TestVideos:
    @pytest.fixture
    def videos(self, lab: Any) -> Path:
        root = Path(lab.folder.path) / "behavior-videos"
        for name in ("eye.mp4", "Eye/eye.mp4", "Face/deep/face.mp4", "Face/eye.mp4"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(name)
        (root / "nothing" / "inside").mkdir(parents=True)
        return root

    def names(self, root: Path) -> dict[str, str]:
        return {
            p.relative_to(root).as_posix(): p.read_text() for p in root.rglob("*") if p.is_file()
        }

    def test_moved_and_nothing_overwritten(self, lab: Any, videos: Path) -> None:
        result = lab.here("behavior_videos_flatten", phase="after")
        assert self.names(videos) == {
            "eye.mp4": "eye.mp4",
            "Eye_eye.mp4": "Eye/eye.mp4",
            "face.mp4": "Face/deep/face.mp4",
            "Face_eye.mp4": "Face/eye.mp4",
        }
        assert [path for path in videos.iterdir() if path.is_dir()] == []
        assert sorted(result.files) == [
            "behavior-videos/Eye_eye.mp4",
            "behavior-videos/Face_eye.mp4",
            "behavior-videos/face.mp4",
        ]
        assert lab.here("behavior_videos_flatten").files == ()

    def test_copied(self, lab: Any, videos: Path) -> None:
        before = self.names(videos)
        lab.here("behavior_videos_flatten", behavior_videos_copy_only=True)
        after = self.names(videos)
        assert before.items() <= after.items()
        assert len(after) == 7
        assert not (videos / "nothing").exists()

    def test_folders_stay_when_they_are_to(self, lab: Any, videos: Path) -> None:
        lab.here("behavior_videos_flatten", behavior_videos_prune_empty=False)
        assert (videos / "nothing" / "inside").is_dir()
        assert (videos / "Face" / "deep").is_dir()

    def test_every_name_taken(self, lab: Any, videos: Path) -> None:
        (videos / "Eye_eye.mp4").write_text("taken")
        lab.here("behavior_videos_flatten")
        assert self.names(videos)["Eye_eye_2.mp4"] == "Eye/eye.mp4"
        assert self.names(videos)["Eye_eye.mp4"] == "taken"

    def test_no_videos(self, lab: Any) -> None:
        assert not lab.here("behavior_videos_flatten").ok
        assert lab.here("behavior_videos_flatten", rehearsal=True).ok


@pytest.mark.parametrize("phase", ["pre", "post"])
def test_the_examples_say_what_a_step_is_told(lab: Any, phase: str) -> None:
    name = f"example_{phase}_acquisition_module"
    result = lab.here(name, phase="after", outcome="killed")
    told = json.loads((lab.folder.path / result.files[0]).read_bytes())
    assert (told["subject_id"], told["outcome"]) == ("614173", "killed")


def test_every_step_that_files_name_is_installed() -> None:
    from openscope_experimental_launcher.steps import get_step, step_names

    named = {
        "disk_space_check", "wait_for_user_input", "experiment_notes_editor",
        "experiment_notes_finalize", "experiment_notes_post_prompt", "mouse_weight_pre_prompt",
        "mouse_weight_post_prompt", "metadata_subject_fetch", "metadata_procedures_fetch",
        "metadata_project_validator", "metadata_protocol_validator", "instrument_json_fetch",
        "behavior_videos_flatten", "session_archiver", "example_pre_acquisition_module",
        "example_post_acquisition_module",
    }  # fmt: skip
    assert named <= set(step_names())
    for name in named:
        step = get_step(name)
        assert step.name == name
        for field in step.parameters_model.model_fields.values():
            assert field.description
