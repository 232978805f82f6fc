"""The display on a real pseudo-terminal, as a person would see it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

if sys.platform != "win32":
    import termios


def notes(session: Path) -> list[str]:
    lines = (session / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [event["data"]["text"] for event in events if event["name"] == "note.added"]


def test_shows_the_session(terminal):
    screen = terminal("quiet")
    picture = screen.see("trial 9")
    assert "\n 614173  614173_2025-03-01_10-00-00\n acquisition  00:0" in picture
    assert "59:5" in picture
    assert "memory 123 MB of 4.0 GB" in picture
    assert "CPU 30 %  ·  3 processes  ·  disk 123 GB left" in picture
    assert "n note  ·  Ctrl-C stop" in picture
    screen.go()
    assert screen.end() == 0
    assert "completed" in screen.picture
    assert "Ctrl-C" not in screen.picture
    assert screen.picture.rstrip().endswith("THE END")


@pytest.mark.parametrize("rows, columns", [(24, 80), (40, 120), (12, 50), (6, 30)])
def test_fits_any_terminal(terminal, rows, columns):
    screen = terminal("full", rows, columns)
    screen.see("disk" if rows > 10 else "614173")
    screen.read(0.5)
    top = screen.picture.splitlines()[0]
    assert top.startswith("── openscope ─")
    assert len(top) == columns
    assert screen.end() == 0


def test_full_picture(terminal):
    screen = terminal("full")
    picture = screen.see("n note")
    assert "REHEARSAL" in picture
    assert "! The session's disk will be full at 14:32, before the planned end 14:50." in picture
    assert "trial 29: [bold red]markup[/] colour  and ümläut" in picture
    assert "note: mouse is grooming" in picture
    lines = picture.splitlines()
    row = next(row for row, line in enumerate(lines) if "UserWarning" in line)
    assert screen.screen.buffer[row][3].fg == "red"


def test_control_sequences_of_the_acquisition_are_not_passed_on(terminal):
    screen = terminal("full")
    screen.see("n note")
    assert b"\x1b[31mcolour" not in screen.received
    assert b"\x1b[2J" not in screen.received


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_plain_signs_where_the_encoding_has_no_others(terminal, encoding):
    screen = terminal("full", PYTHONUTF8="0", PYTHONIOENCODING=encoding)
    screen.see("disk 123 GB left")
    assert "-- openscope ---" in screen.picture
    assert screen.end() == 0


def test_no_colour_is_respected(terminal):
    screen = terminal("full", NO_COLOR="1")
    screen.see("UserWarning")
    assert b"\x1b[31m" not in screen.received


def test_a_dumb_terminal_gets_plain_lines(terminal):
    screen = terminal("full", TERM="dumb")
    screen.see("THE END")
    assert b"\x1b" not in screen.received
    assert "| trial 29" in screen.picture


def test_stopping_counts_down(terminal):
    screen = terminal("stopping")
    screen.see("stopping: 10 s left before it is ended by force; Ctrl-C again ends it now")
    screen.see("stopping: 9 s left")


def test_note_is_typed_and_saved(terminal):
    screen = terminal("quiet")
    screen.see("n note")
    screen.child.send("n")
    screen.see("Enter saves · Esc cancels")
    screen.child.send("lick spott\x7f\x7f\x1b[Dut mövéd")
    screen.see("note: lick spout mövéd▏")
    screen.child.send("\r")
    screen.see(" note: lick spout mövéd\n")
    assert notes(screen.session) == ["lick spout mövéd"]


def test_escape_drops_a_note_and_pasted_lines_are_no_commands(terminal):
    screen = terminal("quiet")
    screen.see("n note")
    screen.child.send("nnot this")
    screen.see("note: not this")
    screen.child.send("\x1b")
    screen.see("n note  ·")
    screen.child.send("none\nnext\n")
    screen.see("note: one")
    screen.read(0.5)
    assert notes(screen.session) == ["one"]
    screen.see("n note  ·")


def test_ctrl_c_still_interrupts_and_the_terminal_is_restored(terminal):
    screen = terminal("quiet")
    before = termios.tcgetattr(screen.child.child_fd)[3]
    screen.see("n note")
    during = termios.tcgetattr(screen.child.child_fd)[3]
    assert not during & termios.ICANON
    assert not during & termios.ECHO
    assert during & termios.ISIG
    screen.child.send("\x03")
    screen.end()
    assert "KeyboardInterrupt" in screen.picture
    assert termios.tcgetattr(screen.child.child_fd)[3] == before
    assert screen.received.rstrip().count(b"\x1b[?25h") == 1


def test_a_program_that_dies_leaves_the_terminal_in_order(terminal):
    screen = terminal("crash")
    before = termios.tcgetattr(screen.child.child_fd)[3]
    assert screen.end() == 7
    assert termios.tcgetattr(screen.child.child_fd)[3] == before
    assert b"\x1b[?25h" in screen.received


def test_pause_hands_the_terminal_over(terminal):
    screen = terminal("pause", rows=60)
    screen.see("weight of the mouse?")
    assert termios.tcgetattr(screen.child.child_fd)[3] & termios.ECHO
    screen.child.sendline("21.5 g")
    picture = screen.see("THE END")
    assert "weight of the mouse? 21.5 g\nanswer: 21.5 g\n" in picture
    assert "\nprinted by a hook\n" in picture
    assert "after the pause" in picture


def test_a_fault_in_the_display_stays_in_the_display(terminal):
    screen = terminal("broken")
    before = termios.tcgetattr(screen.child.child_fd)[3]
    picture = screen.see("THE END")
    assert screen.end() == 0
    assert "alive: False" in picture
    assert "Traceback" not in picture
    assert "AttributeError" not in picture
    assert termios.tcgetattr(screen.child.child_fd)[3] == before


def test_a_frozen_terminal_does_not_hold_the_session(terminal):
    screen = terminal("quiet")
    screen.see("trial 5")
    screen.child.send("\x13")  # Ctrl-S
    time.sleep(1.0)
    said = (screen.session / "logs" / "stdout.log").read_text().count("trial")
    time.sleep(1.0)
    assert (screen.session / "logs" / "stdout.log").read_text().count("trial") >= said + 5
    screen.go()
    journal = screen.session / "journal.jsonl"
    until = time.monotonic() + 5
    while '"closing"' not in journal.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    screen.child.send("\x11")
    screen.see("THE END")


def test_a_terminal_that_goes_away_ends_the_display_only(terminal, tmp_path):
    screen = terminal("quiet", IGNORE_HANGUP="1")
    screen.see("trial 5")
    screen.child.ptyproc.fileobj.close()
    screen.child.closed = True
    said = (screen.session / "logs" / "stdout.log").read_text().count("trial")
    time.sleep(1.5)
    assert (screen.session / "logs" / "stdout.log").read_text().count("trial") >= said + 5
    os.kill(screen.child.pid, signal.SIGKILL)
    os.waitpid(screen.child.pid, 0)


def test_a_resized_terminal_is_drawn_anew(terminal):
    screen = terminal("quiet")
    screen.see("trial 5")
    screen.child.setwinsize(20, 60)
    screen.screen.resize(20, 60)
    screen.read(1.0)
    top = screen.picture.splitlines()[0]
    assert len(top) == 60
    assert screen.picture.count("openscope") == 1


def test_in_the_background_the_terminal_is_left_alone(tmp_path):
    """A shell that puts the program in the background must not have its terminal touched, nor the
    program stopped by the system for trying."""
    import pexpect

    scene = Path(__file__).with_name("scene.py")
    shell = pexpect.spawn("bash", ["--norc", "-i"], encoding="utf-8", timeout=20, echo=False)
    shell.sendline("PS1='> '; stty -tostop")
    shell.sendline(f"{sys.executable} {scene} {tmp_path} full 1 & sleep 0.1; jobs")
    shell.expect("THE END")
    shell.sendline("echo still $((40 + 2))")
    shell.expect("still 42")
    shell.close(force=True)
