"""Prompts, asked of a real process on a real terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openscope_experimental_launcher.errors import ParameterError
from openscope_experimental_launcher.parameters.layers import Loaded
from openscope_experimental_launcher.parameters.prompts import complete, missing

Load = Callable[..., Loaded]

PROGRAM = """
import sys, time
from openscope_experimental_launcher.errors import LauncherError
from openscope_experimental_launcher.parameters import prompts
from openscope_experimental_launcher.parameters.layers import load
print("interactive", prompts.is_interactive(), flush=True)
{before}
try:
    print("result", repr({call}), flush=True)
except LauncherError as error:
    print("error", error.code, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def program(call: str, before: str = "") -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(call=call, before=before)]


ASK = "prompts.ask('Subject', validate=prompts.check_subject)"
COMPLETE = "prompts.complete(load(None), interactive=prompts.is_interactive(), offers={offers})"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX terminal")
class TestTerminal:
    @pytest.fixture
    def start(self) -> Iterator[Callable[..., Any]]:
        import pexpect

        children = []

        def spawn(call: str, before: str = "", **options: Any) -> Any:
            command = program(call, before)
            child = pexpect.spawn(command[0], command[1:], timeout=20, **options)
            children.append(child)
            return child

        yield spawn
        for child in children:
            child.close(force=True)

    @pytest.mark.parametrize(
        ("typed", "answer"), [("  the mouse sleeps \r", "'the mouse sleeps'"), ("\r", "''")]
    )
    def test_what_need_not_be_answered(
        self, start: Callable[..., Any], typed: str, answer: str
    ) -> None:
        child = start("prompts.ask_within('Why', 15)")
        child.expect("Why: ")
        child.send(typed)
        child.expect_exact(f"result {answer}")

    def test_nobody_answers_in_time(self, start: Callable[..., Any]) -> None:
        child = start("prompts.ask_within('Why', 0.3)")
        child.expect("Why: ")
        child.send("half a line")  # and no Enter
        child.expect_exact("result ''")

    def test_an_answer_is_taken_without_its_spaces(self, start: Callable[..., Any]) -> None:
        child = start(ASK)
        child.expect_exact("interactive True")
        child.expect_exact("Subject: ")
        child.sendline("  614173 ")
        child.expect_exact("result '614173'")

    def test_enter_takes_the_default(self, start: Callable[..., Any]) -> None:
        child = start("prompts.ask('User', default='kim')")
        child.expect_exact("User [kim]: ")
        child.sendline("")
        child.expect_exact("result 'kim'")

    def test_a_wrong_answer_says_why_and_asks_again(self, start: Callable[..., Any]) -> None:
        child = start(ASK)
        child.expect_exact("Subject: ")
        child.sendline("../x")
        child.expect_exact("cannot be part of a folder name: it holds the character /")
        child.expect_exact("Subject: ")
        child.sendline("")
        child.expect_exact("An answer is needed")
        child.expect_exact("Subject: ")
        child.sendline("CON")
        child.expect_exact("Windows keeps")
        child.expect_exact("Subject: ")
        child.sendline("614173")
        child.expect_exact("result '614173'")

    def test_a_wrong_default_is_not_taken_either(self, start: Callable[..., Any]) -> None:
        child = start("prompts.ask('Subject', default='a/b', validate=prompts.check_subject)")
        child.expect_exact("Subject [a/b]: ")
        child.sendline("")
        child.expect_exact("it holds the character /")
        child.expect_exact("Subject [a/b]: ")
        child.sendline("x")
        child.expect_exact("result 'x'")

    def test_type_ahead_is_thrown_away(self, start: Callable[..., Any]) -> None:
        child = start(ASK, before="print('busy', flush=True); time.sleep(1.5)")
        child.expect_exact("busy")
        child.sendline("typed-too-early")
        child.sendline("")
        child.expect_exact("Subject: ")
        child.sendline("614173")
        child.expect_exact("result '614173'")

    def test_bytes_that_are_no_text_ask_again(self, start: Callable[..., Any]) -> None:
        import os

        child = start(ASK, env={**os.environ, "PYTHONUTF8": "1"})
        child.expect_exact("Subject: ")
        child.send(b"\xff\xfe\n")
        child.expect_exact("Subject: ")
        child.sendline("ok")
        child.expect_exact("result 'ok'")

    def test_the_end_of_input_is_a_plain_error(self, start: Callable[..., Any]) -> None:
        child = start(ASK)
        child.expect_exact("Subject: ")
        child.sendeof()
        child.expect_exact("error prompt-closed")

    def test_ctrl_c_is_an_interrupt(self, start: Callable[..., Any]) -> None:
        child = start(ASK)
        child.expect_exact("Subject: ")
        child.sendintr()
        child.expect_exact("interrupted")

    def test_only_what_is_missing_is_asked_with_what_is_offered(
        self, start: Callable[..., Any]
    ) -> None:
        child = start(COMPLETE.format(offers="{'subject_id': 'stale'}"))
        child.expect_exact("Subject [stale]: ")
        child.sendline("614173")
        child.expect_exact("User: ")
        child.sendline("kim")
        child.expect_exact("result {'subject_id': '614173', 'user_id': 'kim'}")

    @pytest.mark.parametrize("locale", ["C", "POSIX"])
    def test_a_poor_locale(self, start: Callable[..., Any], locale: str) -> None:
        import os

        environment = {
            **os.environ,
            "LC_ALL": locale,
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONUTF8": "0",
        }
        child = start("prompts.ask('Gr\\xf6\\xdfe', default='\\xb5')", env=environment)
        child.expect_exact("]: ")
        child.sendline("x")
        child.expect_exact("result 'x'")


@pytest.mark.parametrize("typed", ["", "614173\n"])
def test_without_a_terminal_nothing_is_asked(typed: str) -> None:
    done = subprocess.run(
        program(COMPLETE.format(offers="{'subject_id': 'stale'}")),
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split("\n")[:2] == ["interactive False", "error parameter-missing"]


@pytest.mark.parametrize("closing", ["sys.stdin.close()", "sys.stdin = None", "sys.stdout = None"])
def test_streams_that_are_gone_are_no_terminal(closing: str) -> None:
    code = (
        "import sys\n"
        "from openscope_experimental_launcher.parameters.prompts import is_interactive\n"
        f"{closing}\n"
        "sys.exit(7 if is_interactive() else 0)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


class TestMissing:
    @pytest.mark.parametrize(
        ("content", "keys"),
        [
            ({}, ["subject_id", "user_id"]),
            ({"subject_id": None}, ["subject_id", "user_id"]),
            ({"mouse_id": 7}, ["user_id"]),
            ({"subject_id": "m", "user_id": "k"}, []),
        ],
    )
    def test_what_is_missing(
        self, load_params: Load, content: dict[str, Any], keys: list[str]
    ) -> None:
        assert missing(load_params(content)) == keys

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({}, ["subject_id and user_id are not given", "--subject", "--user", "--defaults"]),
            ({"subject_id": "m"}, ["user_id is not given", "--user", "--defaults"]),
            ({"user_id": "k"}, ["subject_id is not given", "--subject", "--defaults"]),
        ],
    )
    def test_the_error_says_how_to_give_it(
        self, load_params: Load, content: dict[str, Any], words: list[str]
    ) -> None:
        with pytest.raises(ParameterError) as caught:
            complete(load_params(content), interactive=False)
        assert caught.value.code == "parameter-missing"
        assert all(word in caught.value.render() for word in words)

    def test_the_documented_defaults_only_where_the_run_says_so(self, load_params: Load) -> None:
        loaded = load_params({})
        offers = {"subject_id": "stale"}
        for interactive in (True, False):
            answers = complete(loaded, interactive=interactive, defaults=True, offers=offers)
            assert answers == {"subject_id": "test_subject", "user_id": "test_user"}
        answers = complete(load_params({"subject_id": "m"}), interactive=False, defaults=True)
        assert answers == {"user_id": "test_user"}

    def test_nothing_is_asked_when_nothing_is_missing(self, load_params: Load) -> None:
        assert complete(load_params({"subject_id": 1, "user_id": "k"}), interactive=True) == {}
