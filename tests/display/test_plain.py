"""The display without a terminal, and the life that all displays share."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from openscope_experimental_launcher.display.live import open_display
from openscope_experimental_launcher.display.plain import LINES_PER_S, PlainDisplay, Valve
from openscope_experimental_launcher.display.view import Output

SCENE = Path(__file__).with_name("scene.py")


def shown(scene, act=None, **plan):
    """What a display prints of a scene, with `act` done while it runs."""
    out = io.StringIO()
    display = open_display(scene.folder, plan=plan, stream=out)
    assert isinstance(display, PlainDisplay)
    with display:
        if act is not None:
            act(out)
    return out.getvalue()


def wait_for(text, out, within_s=5.0):
    until = time.monotonic() + within_s
    while text not in out.getvalue():
        assert time.monotonic() < until, out.getvalue()
        time.sleep(0.02)


def run_scene(scene):
    scene.open()
    scene.stage("repository")
    scene.stage("acquisition")
    scene.guard("acquisition.started", pid=4321)
    scene.say("first words\n")


def test_tells_the_session_in_order(scene):
    run_scene(scene)
    scene.warn("Memory is short.")
    scene.say("last words, no newline")
    scene.say("Traceback: bad\n", "stderr")
    scene.guard(
        "acquisition.stop_requested", by="operator", reason="the mouse sleeps", kill_in_s=10.0
    )
    scene.end(exit_code=3)
    scene.find("The script ended with exit code 3.")
    scene.judge("failed", "exit code 3")
    assert shown(scene).splitlines() == [
        "[00:00] session 614173_2025-03-01_10-00-00",
        "[00:00] stage: repository",
        "[00:00] stage: acquisition",
        "[00:00] acquisition started (process 4321)",
        "[00:00] ! Memory is short.",
        "[00:00] stopping (operator - the mouse sleeps): ended by force in 10 s at the latest",
        "[00:00] | first words",
        "[00:00] | last words, no newline",
        "[00:00] stderr | Traceback: bad",
        "[00:00] acquisition ended after 00:08 (exit code 3)",
        "[00:00] ✗ The script ended with exit code 3. Fix: Mend it.",
        "[00:00] acquisition failed - exit code 3",
    ]


def test_follows_while_it_runs(scene):
    def act(out):
        scene.say("second words\n")
        wait_for("| second words", out)
        scene.note("a note")
        wait_for("note: a note", out)

    run_scene(scene)
    text = shown(scene, act)
    assert text.count("first words") == 1


def test_follows_the_next_attempt(scene):
    run_scene(scene)
    scene.end(exit_code=1)
    scene.judge("failed")
    scene.say("once more\n", attempt=2)
    scene.guard("acquisition.started", run="run-2", pid=5)
    text = shown(scene)
    assert "| first words" in text
    assert "| once more" in text


def test_few_lines_of_many_and_the_last_ones(scene):
    def act(out):
        scene.say("".join(f"line {number:07}\n" for number in range(100_000)))
        wait_for("more lines in logs/stdout.log", out)

    run_scene(scene)
    text = shown(scene, act)
    assert text.count("| line") <= 2 * LINES_PER_S
    assert "| line 0099999" in text
    assert "more lines in logs/stdout.log" in text


def test_valve_counts_exactly_what_it_read():
    valve = Valve()
    lines = [f"line {number}" for number in range(50)]
    out = valve.admit(Output("stdout", "logs/stdout.log", lines, 0), 10.0)
    assert out == ["… 30 more lines in logs/stdout.log", *lines[30:]]
    assert valve.admit(Output("stdout", "logs/stdout.log", lines, 0), 10.5) == []
    more = Output("stdout", "logs/stdout.log", ["last"], 0)
    assert valve.admit(more, 11.2) == ["… 50 more lines in logs/stdout.log", "last"]
    skipped = Output("stdout", "logs/stdout.log", ["1234567"], 8000)
    assert valve.admit(skipped, 11.3) == ["… about 1,000 more lines in logs/stdout.log", "1234567"]


def test_hostile_output_is_harmless(scene):
    run_scene(scene)
    scene.say(b"\x1b]0;title\x07\x1b[2J[red]x[/] \xff\xfe \x00\x07\x9b31m \x08\r\nnext\n")
    scene.say("y" * 3_000_000 + "\n")
    scene.warn("bad \x1b[31m warning\nin two lines \ud800")
    text = shown(scene)
    assert not set(text) & {"\x1b", "\x07", "\x00", "\x08", "\x9b", "\r"}
    assert "! bad  warning in two lines ?" in text
    assert max(len(line) for line in text.splitlines()) < 600


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding(scene, encoding):
    run_scene(scene)
    scene.say("ümlaut … 日本 ✓\n")
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    with open_display(scene.folder, plan={}, stream=stream):
        pass
    expected = {"ascii": "?mlaut ... ?? ok", "latin-1": "ümlaut ... ?? ok"}
    assert expected.get(encoding, "ümlaut … 日本 ✓") in raw.getvalue().decode(encoding)


def test_pause_holds_everything_back(scene):
    def act(out):
        wait_for("first words", out)
        display.pause()
        scene.say("meanwhile\n")
        time.sleep(0.5)
        assert "meanwhile" not in out.getvalue()
        display.resume()
        wait_for("meanwhile", out)

    run_scene(scene)
    out = io.StringIO()
    display = open_display(scene.folder, plan={}, stream=out)
    with display:
        act(out)


def test_stop_without_start_and_twice(scene):
    display = open_display(scene.folder, plan={}, stream=io.StringIO())
    display.stop()
    display.start()
    display.pause()
    display.stop()
    display.stop()
    display.pause()
    display.resume()
    assert not display.alive


def test_a_pipe_nobody_reads_any_more_ends_the_display_quietly(scene, caplog):
    run_scene(scene)
    reading, writing = os.pipe()
    os.close(reading)
    caplog.set_level(logging.INFO, "openscope.display")
    with os.fdopen(writing, "w") as stream:
        display = open_display(scene.folder, plan={}, stream=stream)
        display.start()
        until = time.monotonic() + 5
        while display.alive and time.monotonic() < until:
            time.sleep(0.02)
        assert not display.alive
        display.stop()
    assert "its stream is gone" in caplog.text


def test_a_pipe_that_is_full_does_not_hold_the_session(scene):
    run_scene(scene)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    stream = os.fdopen(writing, "w")
    display = open_display(scene.folder, plan={}, stream=stream)
    display.start()
    time.sleep(0.3)
    began = time.monotonic()
    display.stop()
    assert time.monotonic() - began < 4
    os.close(reading)
    stream.close()


def test_a_closed_stream(scene):
    run_scene(scene)
    stream = io.StringIO()
    display = open_display(scene.folder, plan={}, stream=stream)
    stream.close()
    with display:
        time.sleep(0.3)
        assert not display.alive


def test_a_fault_goes_to_the_log_only(scene, caplog, capsys):
    others: list[object] = []
    hook = threading.excepthook
    threading.excepthook = others.append  # type: ignore[assignment]
    display = open_display(scene.folder, plan={}, stream=io.StringIO())
    display.view = None  # type: ignore[assignment]
    display.start()
    until = time.monotonic() + 5
    while display.alive and time.monotonic() < until:
        time.sleep(0.02)

    def fail() -> None:
        raise ValueError("not the display's")

    other = threading.Thread(target=fail)
    other.start()
    other.join()
    display.stop()
    assert len(others) == 1
    threading.excepthook = hook
    assert "the display failed; the session goes on" in caplog.text
    assert "AttributeError" in caplog.text
    assert capsys.readouterr().err == ""


def test_a_session_folder_that_goes_away(scene):
    run_scene(scene)

    def act(out):
        wait_for("first words", out)
        scene.folder.journal.rename(scene.folder.path / "moved")
        scene.folder.journal.mkdir()
        time.sleep(0.5)

    assert "first words" in shown(scene, act)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX resource accounting")
def test_a_million_lines_cost_next_to_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCENE), str(tmp_path), "flood"], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    used = float((tmp_path / "614173_2025-03-01_10-00-00" / "cpu").read_text())
    assert used < 0.3
    assert len(done.stdout.splitlines()) < 200
