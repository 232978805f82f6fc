"""The screens around a session: plan, origins, findings, errors, the end."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openscope_experimental_launcher.display import screens
from openscope_experimental_launcher.errors import Finding, LauncherError, ParameterError

PLAN = {
    "subject_id": "614173",
    "user_id": "someone",
    "rig_id": "rig-1",
    "protocol_id": 12,
    "rehearsal": True,
    "parameter_file": "/lab/params.json",
    "output_root": "/data",
    "launcher": "python",
    "repository": {
        "url": "https://***@example.org/lab/oddball.git",
        "ref": "main",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "path": "/checkout",
        "dirty": True,
    },
    "script": "/checkout/oddball.py",
    "stop": {"how": "none", "loses": "Unflushed data will be lost."},
}
FINDINGS = [
    Finding("ok", "subject", "The subject can be a folder name."),
    Finding("warning", "untracked", "There are untracked files.", "/checkout", "Commit them."),
    Finding("error", "script-missing", "The script is not there.", "script_path", "Mend it."),
]


def printed(function, *arguments, encoding="utf-8", **options):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    function(*arguments, stream=stream, **options)
    return raw.getvalue().decode(encoding)


def test_plan():
    text = printed(screens.show_plan, PLAN, free_bytes=123_400_000_000, warnings=[FINDINGS[1]])
    assert [line.rstrip() for line in text.splitlines()] == [
        "",
        "   REHEARSAL: a stand-in plays, no animal is needed",
        "",
        "  Subject    614173",
        "",
        "  user        someone",
        "  protocol    12",
        "  code        0123456789 (main) + local edits of https://***@example.org/lab/oddball.git",
        "  script      /checkout/oddball.py",
        "  launcher    python",
        "  parameters  /lab/params.json",
        "  output      /data  (123 GB free)",
        "  rig         rig-1",
        "  on a stop   Unflushed data will be lost.",
        "",
        "!  There are untracked files.",
        "   where: /checkout",
        "   fix:   Commit them.",
    ]


def test_a_plan_of_next_to_nothing():
    text = printed(screens.show_plan, {"output_root": "data"}, free_bytes=None)
    assert "Subject    none" in text
    assert "output      data\n" in text
    assert "code" not in text


def test_origins():
    rows = [
        ("subject_id", "614173", "prompt"),
        ("stop_grace_s", 10.0, "default"),
        ("script_parameters", {"api_token": "abc", "n": 3}, "parameter file"),
        ("service_token", "hidden", "command line"),
    ]
    assert printed(screens.show_origins, rows).splitlines() == [
        "parameter          value                         origin",
        "subject_id         614173                        prompt",
        "stop_grace_s       10.0                          default",
        'script_parameters  {"api_token": "***", "n": 3}  parameter file',
        "service_token      ***                           command line",
    ]


def test_findings():
    assert printed(screens.show_findings, FINDINGS).splitlines() == [
        "✓  The subject can be a folder name.",
        "!  There are untracked files.",
        "   where: /checkout",
        "   fix:   Commit them.",
        "✗  The script is not there.",
        "   where: script_path",
        "   fix:   Mend it.",
        "1 error, 1 warning: this cannot run yet.",
    ]
    assert printed(screens.show_findings, FINDINGS[:2]).endswith("1 warning: this can run.\n")
    assert printed(screens.show_findings, FINDINGS[:1]).endswith("Everything is in order.\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_findings_in_poor_encodings(encoding):
    text = printed(screens.show_findings, FINDINGS, encoding=encoding)
    assert text.splitlines()[0] == "ok The subject can be a folder name."
    assert "x  The script" in text


def test_one_error():
    error = LauncherError("It is broken.", where="here", fix="Mend it.")
    assert printed(screens.show_error, error) == (
        "✗  It is broken.\n   where: here\n   fix:   Mend it.\n"
    )


def test_several_errors_at_once():
    error = ParameterError("The parameter file cannot be used.", findings=FINDINGS[1:])
    text = printed(screens.show_error, error)
    assert text.startswith("The parameter file cannot be used. (2 problems)\n!  There")


def test_errors_go_to_standard_error(capsys):
    screens.show_error(LauncherError("It is broken."))
    out, errors = capsys.readouterr()
    assert (out, errors) == ("", "✗  It is broken.\n")


def test_end(tmp_path):
    text = printed(screens.show_end, "completed", "", tmp_path, 8.4)
    assert text == f"✓ Completed in 00:08\n  session  {tmp_path}\n"
    text = printed(screens.show_end, "failed", "exit code 3", None, 3725.0, sound=True)
    assert text == "✗ Failed after 1:02:05: exit code 3\n"
    assert printed(screens.show_end, "lost", "", None, None) == "✗ Ended, nobody saw how\n"


def test_contents(scene):
    (scene.folder.path / "stimulus_table.csv").write_bytes(b"x" * 1234)
    for number in range(12):
        (scene.folder.path / f"video_{number:02}.bin").write_bytes(b"x" * 1000)
    scene.folder.metadata.mkdir()
    (scene.folder.metadata / "environment.json").write_bytes(b"{}")
    scene.say("line\n")
    scene.open()
    lines = printed(screens.show_session_contents, scene.folder).splitlines()
    assert lines[0] == str(scene.folder.path)
    assert lines[1].split() == ["data", "stimulus_table.csv", "1.2", "kB"]
    assert lines[9].strip() == "and 5 more files, 5.0 kB"
    assert lines[10].split() == ["metadata", "experiment_metadata/environment.json", "2", "B"]
    assert lines[11].split() == ["logs", "logs/stdout.log", "5", "B"]
    assert lines[12].split()[:2] == ["records", "journal.jsonl"]
    assert len({len(line) for line in [*lines[1:9], *lines[10:]]}) == 1


def test_nothing_shown_acts_on_the_terminal():
    hostile = "[red]x[/] \x1b[2J \x07 \ud800\nnext"
    text = printed(
        screens.show_findings, [Finding("error", "x", hostile, where=hostile, fix=hostile)]
    )
    assert text.splitlines()[0] == "✗  [red]x[/]   ? next"
    assert not set(text) & {"\x1b", "\x07"}


def test_a_stream_that_is_gone_is_left_in_peace():
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    screens.show_findings(FINDINGS, stream=stream)
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_without_any_console(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    screens.show_findings(FINDINGS)
    screens.show_end("completed", "", None, 1.0, sound=True)


PROGRAM = """
import sys
from pathlib import Path
from openscope_experimental_launcher.display import screens
from openscope_experimental_launcher.errors import *
plan, findings = eval(sys.argv[1])
screens.show_plan(plan, free_bytes=10**12, warnings=[Finding(*f) for f in findings])
screens.show_findings([Finding(*f) for f in findings])
screens.show_origins([("script_path", "x" * 200, "parameter file"), ("a", 1, "default")])
screens.show_error(LauncherError("The parameter file is not there.", where="/a/b", fix="Find it."))
screens.show_end("failed", "the script ended with exit code 3", Path("/data/x"), 8, sound=True)
screens.show_end("completed", "", Path("/data/x"), 8, sound=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("colour", [True, False])
def test_on_a_terminal(colour):
    import pexpect
    import pyte

    long = ("error", "x", "word " * 40, "/a/long/path/" + "x" * 90, "Do this. " * 12)
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    child = pexpect.spawn(
        sys.executable,
        ["-c", PROGRAM, repr((PLAN, [long]))],
        env=environment | ({} if colour else {"NO_COLOR": "1"}),
        timeout=20,
    )
    child.expect(pexpect.EOF)
    output = child.before
    screen = pyte.Screen(80, 70)
    pyte.ByteStream(screen).feed(output)
    picture = "\n".join(line.rstrip() for line in screen.display)
    assert "✗  word word word" in picture
    assert "\n   word word word" in picture
    assert "script_path" in picture
    assert "xxx..." in picture
    assert "✗ Failed after 00:08: the script ended with exit code 3" in picture
    colours = {cell.fg for row in screen.buffer.values() for cell in row.values()}
    assert ({"red", "green"} <= colours) == colour
    assert output.count(b"\a") == 3


def test_rich_is_not_imported_without_a_terminal():
    code = (
        "import sys, openscope_experimental_launcher.display.live as live;"
        "import openscope_experimental_launcher.display.screens as screens;"
        "screens.show_end('completed', '', None, 1.0);"
        "print(sorted({'rich', 'psutil', 'pydantic', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_session_path_may_be_strange():
    text = printed(screens.show_end, "completed", "", Path("/data/ü\x1b[2J"), 1.0)
    assert "\x1b" not in text
