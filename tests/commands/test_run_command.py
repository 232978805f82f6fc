"""Helper programs are real ones: Python with a few lines to run."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openscope_experimental_launcher.commands import CommandFailed, CommandResult, run_command
from openscope_experimental_launcher.errors import CommandError


def python(script: str, *, timeout_s: float = 20, **options) -> CommandResult:
    return run_command([sys.executable, "-c", script], timeout_s=timeout_s, **options)


def test_lines_of_both_outputs_are_told_while_it_runs() -> None:
    said: list[tuple[str, float]] = []
    result = python(
        "import sys, time; print('one', flush=True); print('two', file=sys.stderr, flush=True);"
        "time.sleep(0.5); print('three')",
        on_line=lambda line: said.append((line, time.monotonic())),
        on_error_line=lambda line: said.append((line, time.monotonic())),
    )
    assert sorted(line for line, _ in said) == ["one", "three", "two"]
    times = dict(said)
    assert times["three"] - times["one"] > 0.3
    assert (result.text.split(), result.error_text) == (["one", "three"], "two")


def test_progress_and_a_last_line_without_an_end_are_told() -> None:
    said: list[str] = []
    python("print('10 %\\r20 %\\r\\nContinue? [y/n]', end='')", on_line=said.append)
    assert said == ["10 %", "20 %", "Continue? [y/n]"]


def test_a_callback_that_fails_takes_nothing_from_the_program(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []

    def fail(line: str) -> None:
        calls.append(line)
        raise RuntimeError("no screen")

    with caplog.at_level(logging.WARNING):
        result = python("for n in range(100_000): print('line', n)", on_line=fail)
    assert len(result.stdout.splitlines()) == 100_000
    assert calls == ["line 0"]
    assert "no screen" in caplog.text


def test_it_has_no_input_and_so_cannot_ask() -> None:
    with pytest.raises(CommandFailed, match="EOFError"):
        python("input('Continue? ')")


def test_input_is_given_also_to_one_that_does_not_read_it() -> None:
    much = b"x" * 1_000_000
    assert python("import sys; print(len(sys.stdin.read()))", input_bytes=much).text == "1000000"
    assert python("print('done')", input_bytes=much).text == "done"


def test_one_that_hangs_is_stopped_and_its_last_words_are_told() -> None:
    start = time.monotonic()
    with pytest.raises(CommandError) as caught:
        python("import time; print('Accept? [y/n] ', end='', flush=True); time.sleep(60)",
               timeout_s=1)  # fmt: skip
    assert caught.value.code == "command-timeout"
    assert "Its last words: Accept? [y/n]" in caught.value.message
    assert time.monotonic() - start < 10


def test_children_of_one_that_hangs_are_stopped_too(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    child = f"import time, pathlib; time.sleep(2.5); pathlib.Path({str(alive)!r}).touch()"
    with pytest.raises(CommandError):
        python(
            f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])",
            timeout_s=1,
        )
    time.sleep(2)
    assert not alive.exists()


def test_what_it_leaves_running_is_not_waited_for() -> None:
    start = time.monotonic()
    result = python(
        "import subprocess, sys; print('ready', flush=True);"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)']).pid)"
    )
    took_s = time.monotonic() - start
    ready, child = result.text.split()
    subprocess.run(
        [sys.executable, "-c", f"import psutil; psutil.Process({child}).kill()"], check=True
    )
    assert ready == "ready"
    assert took_s < 10


def test_of_a_flood_the_end_is_kept() -> None:
    result = python("for n in range(300_000): print(n)", kept_bytes=1000)
    assert len(result.stdout) == 1000
    assert result.text.endswith("299999")


def test_a_line_without_end_is_told_in_pieces() -> None:
    said: list[str] = []
    python("print('x' * 300_000, end='')", on_line=said.append)
    assert "".join(said) == "x" * 300_000
    assert len(said) > 1


def test_secrets_are_not_told() -> None:
    said: list[str] = []
    python("print('https://ana:secret@host/x')", on_line=said.append)
    assert said == ["https://***@host/x"]
