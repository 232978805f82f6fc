"""Steps that hang, crash, flood, exit and lie, as real processes."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.errors import StepError
from openscope_experimental_launcher.parameters.placeholders import SLOT_FOLDER
from openscope_experimental_launcher.session.journal import StepFinished, read_journal
from openscope_experimental_launcher.session.record import fold
from openscope_experimental_launcher.steps import runner
from openscope_experimental_launcher.steps.runner import finished_steps, run_steps

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and groups")


def script(lab: Any, source: str, name: str = "hook.py", **entry: Any) -> dict[str, Any]:
    (lab.repository / name).write_text(source, encoding="utf-8")
    return {"module_type": "script_module", "module_path": name, **entry}


def run_one(lab: Any, entry: Any, phase: str = "after", **values: Any) -> StepFinished:
    steps, session = lab.plan(entry, phase=phase, **values)
    (event,) = run_steps(steps, session, lab.journal)
    return event


def recorded(lab: Any) -> list[dict[str, Any]]:
    return [
        event["data"]
        for event in read_journal(lab.folder.journal)
        if event["name"] == "step.finished"
    ]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def wait_gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


# -- what a step is told, and what it says -----------------------------------------------------


def test_a_step_that_succeeds(lab: Any) -> None:
    event = run_one(lab, {"module_path": "disk_space_check", "timeout_s": 60}, required_free_gb=0)
    assert event.outcome == "ok"
    assert "GB are free, 0 GB are required" in event.message
    (data,) = recorded(lab)
    assert (data["phase"], data["position"], data["step"]) == ("after", 0, "disk_space_check")
    assert data["duration_s"] > 0
    assert lab.log("step_after_0_disk_space_check.log").is_file()


def test_too_little_room_fails(lab: Any) -> None:
    entry = {"module_path": "disk_space_check", "module_parameters": {"required_free_gb": 1e9}}
    assert run_one(lab, entry, required_free_gb=0).outcome == "failed"


def test_the_context_is_whole(lab: Any, install: Any) -> None:
    install(
        """
        import json

        class Model(BaseModel):
            where: str = ""
            gain: int = 1

        class Teller(Plain):
            name = "teller"
            parameters_model = Model
            def run(self, context):
                told = {
                    "folder": str(context.session_folder), "name": context.session_name,
                    "subject": context.subject_id, "user": context.user_id,
                    "phase": context.phase, "where": context.parameters.where,
                    "gain": context.parameters.gain, "checkout": str(context.checkout),
                    "rehearsal": context.rehearsal, "extra": context.session_parameters["extra"],
                    "old": context.session_parameters["OutputFolder"],
                }
                (context.session_folder / "told.json").write_text(json.dumps(told))
                return StepResult(True, "told", ("told.json",))
        """,
        teller="Teller",
    )
    event = run_one(
        lab,
        {"module_path": "teller", "module_parameters": {"where": SLOT_FOLDER + "/x"}},
        gain=5,
        extra="\0session_uuid\0!",
        output_root_folder="/d",
    )
    assert (event.outcome, event.message, event.files) == ("ok", "told", ("told.json",))
    assert json.loads((lab.folder.path / "told.json").read_text()) == {
        "folder": str(lab.folder.path),
        "name": lab.folder.name,
        "subject": "614173",
        "user": "ada",
        "phase": "after",
        "where": f"{lab.folder.path}/x",
        "gain": 5,
        "checkout": str(lab.repository),
        "rehearsal": False,
        "extra": f"{lab.folder.name}!",
        "old": "/d",
    }


@pytest.mark.parametrize("phase", ["before", "after"])
def test_an_older_module_gets_a_parameter_file(lab: Any, install: Any, phase: str) -> None:
    name = {"before": "run_pre_acquisition", "after": "run_post_acquisition"}[phase]
    install(
        f"""
        import json, pathlib

        def {name}(param_file):
            told = json.loads(pathlib.Path(param_file).read_text())
            folder = pathlib.Path(told["output_session_folder"])
            (folder / "weight.txt").write_text(f"{{told['weight']}} {{told['mouse_id']}}")
            return 0
        """
    )
    (Path(sys.path[0]) / "labpackage").mkdir()
    (Path(sys.path[0]) / "labpackage" / "old.py").write_text("from labsteps import *\n")
    entry = {"module_path": "labpackage.old", "module_parameters": {"weight": 21.5}}
    assert run_one(lab, entry, phase).outcome == "ok"
    assert (lab.folder.path / "weight.txt").read_text() == "21.5 614173"


def test_an_older_module_in_the_repository_fails_by_its_code(lab: Any) -> None:
    event = run_one(lab, script(lab, "def run_post_acquisition(param_file): return 3"))
    assert (event.outcome, event.message) == ("failed", "It returned 3.")


@pytest.mark.parametrize(
    ("arguments", "expected"), [([2, "b"], "2 b"), ({"y": "b", "x": 2}, "2 b"), (None, "0 -")]
)
def test_a_function_of_the_repository(lab: Any, arguments: Any, expected: str) -> None:
    (lab.repository / "code").mkdir()
    (lab.repository / "code" / "beside.py").write_text("def words(*parts): return ' '.join(parts)")
    source = (
        "import os, pathlib, sys, beside\n"
        "def go(x=0, y='-'):\n"
        "    folder = pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'])\n"
        "    assert pathlib.Path.cwd() == pathlib.Path(__file__).parents[1]\n"
        "    (folder / 'said.txt').write_text(beside.words(str(x), y))\n"
    )
    entry = script(lab, source, "code/hook.py", function="go", function_args=arguments)
    event = run_one(lab, entry)
    assert (event.outcome, event.message) == ("ok", "")
    assert (lab.folder.path / "said.txt").read_text() == expected
    assert not list(lab.repository.rglob("__pycache__"))


def test_a_script_needs_none_of_the_launchers_packages(lab: Any) -> None:
    """The child runs where nothing but the standard library can be imported."""
    bare = lab.root / "bare-python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    source = (
        "def run():\n"
        "    try:\n"
        "        import pydantic\n"
        "    except ImportError:\n"
        "        return 0\n"
        "    return 1\n"
    )
    steps, session = lab.plan(script(lab, source))
    bare_session = lab.session(session.parameters, interpreter=str(bare))
    (event,) = run_steps(steps, bare_session, lab.journal)
    assert (event.outcome, event.message) == ("ok", "")


# -- steps that go wrong -----------------------------------------------------------------------


@posix
def test_a_hang_is_killed_with_its_children(lab: Any) -> None:
    source = (
        "import os, pathlib, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "a = subprocess.Popen(sleep)\n"
        "b = subprocess.Popen(sleep, start_new_session=True)\n"
        "folder = pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'])\n"
        "(folder / 'pids').write_text(f'{os.getpid()} {a.pid} {b.pid}')\n"
        "print('sleeping now', flush=True)\n"
        "time.sleep(600)\n"
    )
    began = time.monotonic()
    event = run_one(lab, script(lab, source, timeout_s=3))
    assert event.outcome == "timed out"
    assert "within 3 s" in event.message
    assert event.last_lines == ("sleeping now",)
    assert time.monotonic() - began < 10
    for pid in (lab.folder.path / "pids").read_text().split():
        assert wait_gone(int(pid))


@posix
def test_what_a_step_leaves_running_is_ended(lab: Any) -> None:
    source = (
        "import os, pathlib, subprocess, sys\n"
        "def run():\n"
        "    left = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    folder = pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'])\n"
        "    (folder / 'pids').write_text(str(left.pid))\n"
    )
    assert run_one(lab, script(lab, source)).outcome == "ok"
    assert wait_gone(int((lab.folder.path / "pids").read_text()))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os; os._exit(0)", "It ended with exit code 0 and without a result."),
        ("import os; os._exit(9)", "It ended with exit code 9 and without a result."),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "It was ended by SIGSEGV.",
            marks=posix,
        ),
        pytest.param(
            "import ctypes, faulthandler; ctypes.string_at(0)",
            "It was ended by SIGSEGV.",
            marks=posix,
        ),
        ("import sys; sys.exit(3)", "It called sys.exit(3)."),
        ("import sys; sys.exit('no scale')", "It called sys.exit('no scale')."),
        ("raise ValueError('no scale')", "It raised ValueError: no scale"),
        ("x = (", "It raised SyntaxError: '(' was never closed"),
        ("def run(): return False", "It returned False."),
        ("def other(): pass", "It raised AttributeError: module 'hook' has no attribute 'run'"),
        ("def run(needed): pass", "It raised TypeError: run() missing 1 required positional"),
        ("raise KeyboardInterrupt", "It raised KeyboardInterrupt"),
        (
            "class E(BaseException):\n    def __str__(self): raise self\nraise E",
            "It raised hook.E: <exception str() failed>",
        ),
        ("import resource; resource.setrlimit(resource.RLIMIT_AS, (1, 1))\nx = 'a' * 10**9", "It"),
        ("def f(): f()\nf()", "It raised RecursionError"),
    ],
)
def test_a_step_that_fails_in_its_own_way(lab: Any, source: str, message: str) -> None:
    event = run_one(lab, script(lab, source, timeout_s=60))
    assert event.outcome == "failed"
    assert event.message.startswith(message)
    assert recorded(lab)[0]["outcome"] == "failed"


@pytest.mark.parametrize("source", ["import sys; sys.exit()", "def run(): return 0"])
def test_a_step_that_ends_well_in_its_own_way(lab: Any, source: str) -> None:
    assert run_one(lab, script(lab, source)).outcome == "ok"


def test_the_traceback_is_in_the_log_and_its_end_in_the_journal(lab: Any) -> None:
    event = run_one(lab, script(lab, "print('one')\ndef run(): raise ValueError('no scale')"))
    log = lab.log("step_after_0_hook.py.log").read_text()
    assert "Traceback (most recent call last)" in log
    assert log.startswith("one\n")
    assert event.last_lines[-1] == "ValueError: no scale"


def test_hostile_bytes_stay_in_the_log_and_are_shown_safely(lab: Any) -> None:
    source = (
        "import sys\n"
        "out = sys.stdout.buffer\n"
        "out.write(b'\\x1b]0;owned\\x07\\x00\\xff\\xfe\\x1b[2Jnext\\rover\\n')\n"
        "out.write(bytes(range(256)))\n"
        "raise ValueError('\\x1b[31m\\x00\\ud800 red\\nnew line https://ada:pw@host/')\n"
    )
    event = run_one(lab, script(lab, source))
    assert b"\x1b]0;owned\x07\x00\xff\xfe" in lab.log("step_after_0_hook.py.log").read_bytes()
    shown = "\n".join([event.message, *event.last_lines])
    assert not any(ord(c) < 32 and c != "\n" for c in shown)
    assert "\n" not in event.message
    assert "pw" not in shown
    assert recorded(lab)[0]["message"] == event.message


def test_a_flood_is_kept_whole_up_to_its_limit(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(runner, "LARGEST_LOG_BYTES", 20_000_000)
    source = "def run():\n    for _ in range(200): print('x' * 50_000)"
    assert run_one(lab, script(lab, source)).outcome == "ok"
    assert lab.log("step_after_0_hook.py.log").stat().st_size == 200 * 50_001

    event = run_one(lab, script(lab, "while True: print('x' * 50_000)", timeout_s=60))
    assert event.outcome == "failed"
    assert "20 MB" in event.message
    assert len(str(event.last_lines)) < 10_000


def test_a_step_cannot_read_from_the_terminal(lab: Any) -> None:
    assert "EOFError" in run_one(lab, script(lab, "input('Subject? ')", timeout_s=20)).message


def test_a_result_that_is_none(lab: Any, install: Any) -> None:
    install(
        """
        class Liar(Plain):
            name = "liar"
            def run(self, context):
                return {"ok": True}

        class Odd(Plain):
            name = "odd"
            def run(self, context):
                return StepResult("perhaps", object())
        """,
        liar="Liar",
        odd="Odd",
    )
    steps, session = lab.plan("liar", "odd")
    liar, odd = run_steps(steps, session, lab.journal)
    assert liar.message == "It raised TypeError: run returned dict, not a StepResult"
    assert odd.outcome == "failed"
    assert "without a result" in odd.message


def test_a_planted_link_is_not_written_through(lab: Any) -> None:
    precious = lab.root / "precious"
    precious.write_text("keep")
    lab.log("step_after_0_hook.py.log").symlink_to(precious)
    assert run_one(lab, script(lab, "print('mine')\ndef run(): pass")).outcome == "ok"
    assert precious.read_text() == "keep"
    assert lab.log("step_after_0_hook.py_2.log").read_text() == "mine\n"


def test_a_log_folder_that_is_gone_fails_the_step_only(lab: Any) -> None:
    entry = script(lab, "def run(): pass")
    lab.folder.logs.rmdir()
    event = run_one(lab, entry)
    assert event.outcome == "failed"
    assert "could not be started" in event.message


def test_an_interpreter_that_is_missing(lab: Any) -> None:
    steps, session = lab.plan(script(lab, "def run(): pass"))
    broken = lab.session(session.parameters, interpreter="/nowhere/python")
    (event,) = run_steps(steps, broken, lab.journal)
    assert (event.outcome, "/nowhere/python" in event.message) == ("failed", True)


@posix
def test_what_a_step_is_told_is_not_on_its_command_line_and_private(lab: Any) -> None:
    source = (
        "import os, pathlib, stat, sys\n"
        "def run():\n"
        "    line = pathlib.Path('/proc/self/cmdline').read_bytes()\n"
        "    assert b'hunter2' not in line, line\n"
        "    request = pathlib.Path(sys.argv[1])\n"
        "    assert stat.S_IMODE(request.stat().st_mode) == 0o600\n"
        "    assert stat.S_IMODE(request.parent.stat().st_mode) == 0o700\n"
        "    assert 'hunter2' in request.with_name('parameters.json').read_text()\n"
        "    folder = pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'])\n"
        "    (folder / 'request').write_text(str(request))\n"
    )
    event = run_one(lab, script(lab, source), api_token="hunter2")
    assert (event.outcome, event.message) == ("ok", "")
    assert not Path((lab.folder.path / "request").read_text()).parent.exists()


# -- policies ----------------------------------------------------------------------------------

BAD = "def run(): return 1"


def test_a_failure_goes_on_by_default(lab: Any) -> None:
    steps, session = lab.plan(script(lab, BAD, "bad.py"), script(lab, "def run(): pass", "good.py"))
    outcomes = [event.outcome for event in run_steps(steps, session, lab.journal)]
    assert outcomes == ["failed", "ok"]


@pytest.mark.parametrize("policy", ["abort", "prompt"])
def test_an_abort_before_the_acquisition_raises_when_it_is_recorded(lab: Any, policy: str) -> None:
    entry = script(lab, BAD, "bad.py", on_failure=policy)
    steps, session = lab.plan(entry, "disk_space_check", phase="before")
    with pytest.raises(StepError) as caught:
        run_steps(steps, session, lab.journal)
    assert (caught.value.code, caught.value.where) == (
        "step-aborted",
        "pre_acquisition_pipeline[0]",
    )
    assert "bad.py" in caught.value.message
    assert [event["outcome"] for event in recorded(lab)] == ["failed"]


def test_an_abort_after_the_acquisition_skips_the_rest(lab: Any) -> None:
    steps, session = lab.plan(script(lab, BAD, "bad.py", on_failure="abort"), "disk_space_check")
    failed, skipped = run_steps(steps, session, lab.journal)
    assert (failed.outcome, skipped.outcome) == ("failed", "skipped")
    assert "bad.py" in skipped.message


def test_an_operator_tries_again_and_then_goes_on(lab: Any) -> None:
    source = (
        "import os, pathlib\n"
        "def run():\n"
        "    ready = pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'], 'ready')\n"
        "    return 0 if ready.exists() else 1\n"
    )
    asked: list[tuple[str, str]] = []

    def ask(step: Any, message: str) -> Any:
        asked.append((step.name, message))
        if len(asked) == 2:
            (lab.folder.path / "ready").touch()
        return "retry"

    steps, session = lab.plan(script(lab, source, on_failure="prompt"), phase="before")
    events = run_steps(steps, session, lab.journal, ask=ask)
    assert [event.outcome for event in events] == ["failed", "failed", "ok"]
    assert asked == [("hook.py", "It returned 1.")] * 2
    assert lab.log("step_before_0_hook.py_3.log").is_file()


@pytest.mark.parametrize(("answer", "raises"), [("go on", False), ("abort", True)])
def test_an_operators_answer(lab: Any, answer: Any, raises: bool) -> None:
    steps, session = lab.plan(script(lab, BAD, on_failure="prompt"), phase="before")
    try:
        run_steps(steps, session, lab.journal, ask=lambda *_: answer)
    except StepError:
        assert raises
    else:
        assert not raises


def test_an_unknown_step(lab: Any) -> None:
    assert run_one(lab, "our_labs_own").outcome == "skipped"
    assert run_one(lab, "our_labs_own", "before").outcome == "failed"


def test_a_step_that_has_finished_is_not_run_again(lab: Any) -> None:
    steps, session = lab.plan(
        script(lab, BAD, "bad.py"), script(lab, "def run(): pass", "good.py"), required_free_gb=0
    )
    run_steps(steps[:1], session, lab.journal)
    done = finished_steps(fold(read_journal(lab.folder.journal)))
    assert done == {("after", 0)}
    (event,) = run_steps(steps, session, lab.journal, done=done)
    assert (event.position, event.outcome) == (1, "ok")
    everything = finished_steps(fold(read_journal(lab.folder.journal)))
    assert run_steps(steps, session, lab.journal, done=everything) == []


@posix
def test_an_interruption_ends_the_step_and_leaves_it_to_be_run_again(lab: Any) -> None:
    import signal
    import threading

    source = (
        "import os, pathlib, time\n"
        "folder = pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'])\n"
        "(folder / 'pids').write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    steps, session = lab.plan(script(lab, source))
    pids = lab.folder.path / "pids"

    def interrupt() -> None:
        while not (pids.exists() and pids.read_text()):
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_steps(steps, session, lab.journal)
    assert wait_gone(int(pids.read_text()))
    assert recorded(lab) == []


@posix
def test_a_step_does_not_outlive_its_launcher(lab: Any) -> None:
    import subprocess

    source = (
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "folder = pathlib.Path(os.environ['OPENSCOPE_SESSION_DIRECTORY'])\n"
        "(folder / 'pids').write_text(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)\n"
    )
    lab.journal.close()
    script(lab, source)
    private = lab.root / "private"
    private.mkdir()
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, lab.repository, lab.folder.path],
        env={**os.environ, "TMPDIR": str(private)},
    )
    pids = lab.folder.path / "pids"
    while not (pids.exists() and len(pids.read_text().split()) == 2):
        time.sleep(0.02)
    launcher.kill()
    launcher.wait()
    for pid in pids.read_text().split():
        assert wait_gone(int(pid))
    assert list(private.iterdir()) == []


LAUNCHER = """
import sys
from pathlib import Path
from openscope_experimental_launcher.parameters.model import Parameters
from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.session.journal import Journal
from openscope_experimental_launcher.steps.pipeline import plan_steps
from openscope_experimental_launcher.steps.runner import StepSession, run_steps

repository, folder = Path(sys.argv[1]), SessionFolder(Path(sys.argv[2]))
entry = {"module_type": "script_module", "module_path": "hook.py"}
parameters = Parameters(post_acquisition_pipeline=[entry])
journal = Journal(folder.path / "fallback")
journal.open(folder.journal)
session = StepSession(folder, parameters, repository, sys.executable, False)
run_steps(plan_steps("after", parameters), session, journal)
"""


# -- steps that need a person ------------------------------------------------------------------

TALKER = """
class Talker(Plain):
    name = "talker"
    interactive = True
    def run(self, context):
        import sys
        with open(0) as keyboard:
            answer = keyboard.readline().strip()
        print(f"you said {answer}", flush=True)
        return StepResult(answer == "yes", answer)
"""


def test_without_a_person_an_interactive_step_waits_for_one(lab: Any, install: Any) -> None:
    install(TALKER, talker="Talker")
    assert run_one(lab, "talker").outcome == "pending"
    assert finished_steps(fold(read_journal(lab.folder.journal))) == frozenset()
    assert run_one(lab, "talker", "before").outcome == "failed"


@posix
def test_an_interactive_step_owns_the_terminal(
    lab: Any, install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(TALKER, talker="Talker")
    steps, session = lab.plan({"module_path": "talker", "timeout_s": 0.01})
    held: list[str] = []

    @contextmanager
    def terminal() -> Any:
        held.append("held")
        yield
        held.append("given back")

    keyboard, typed = os.openpty()
    saved = os.dup(0)
    os.dup2(typed, 0)
    os.write(keyboard, b"yes\n")
    try:
        (event,) = run_steps(steps, session, lab.journal, ask=lambda *_: "abort", terminal=terminal)
    finally:
        os.dup2(saved, 0)
        for fd in (saved, keyboard, typed):
            os.close(fd)
    assert (event.outcome, event.message) == ("ok", "yes")
    assert held == ["held", "given back"]
    assert list(lab.folder.logs.iterdir()) == []
