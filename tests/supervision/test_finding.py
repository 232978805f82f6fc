"""A session is the same by whatever path or name it is meant, and one keeps no other back."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from openscope_experimental_launcher.files import write_json
from openscope_experimental_launcher.locks import is_held
from openscope_experimental_launcher.recovery import find_session, look_at
from openscope_experimental_launcher.session.folder import SessionFolder, claim
from openscope_experimental_launcher.session.state import (
    remember_session,
    session_hash,
    session_key,
    session_lock,
)
from openscope_experimental_launcher.supervision.supervisor import runs_of
from supervision.test_recovery import (
    COUNTING,
    assert_closed,
    launch,
    names,
    says,
    session_in,
    wait_for,
)

Experiment = Callable[..., Path]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]

NAME = "614173_2026-03-14_10-30-00"


@pytest.fixture
def running(
    python_experiment: Experiment, workplace: Path, openscope: Openscope
) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A session that runs, and its launcher."""
    launcher = launch(python_experiment(COUNTING.format(counts=4000)))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    yield session, launcher
    openscope("stop", session.name, "--now")
    launcher.kill()
    launcher.wait()


def interrupted(folder: Path, *, noted: bool = True) -> Path:
    """A session whose launcher was lost at once, noted as open or not."""
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text(
        '{"seq":1,"time":"2026-03-14T10:30:00.000+01:00","mono":1.0,"name":"session.opened",'
        f'"data":{{"session_uuid":"{folder.name}","launcher":"command"}}}}\n'
    )
    if noted:
        remember_session(folder)
    return folder


# -- spellings of a path ---------------------------------------------------------------------------


def linked(target: Path, link: Path) -> Path:
    """A link to a folder; without the right to make one there is nothing to test."""
    try:
        link.symlink_to(target, target_is_directory=True)
    except OSError as error:
        pytest.skip(f"no links here: {error}")
    return link


def test_a_running_session_is_left_alone_by_every_spelling_of_its_path(
    running: tuple[Path, subprocess.Popen[bytes]], workplace: Path, openscope: Openscope
) -> None:
    session, launcher = running
    (workplace / "sub").mkdir()
    spellings = [
        f"../data/{session.name}",
        str(linked(workplace / "data", workplace / "link") / session.name),
        str(linked(session, workplace / "another name")),
    ]
    for spelling in spellings:
        done = openscope("recover", spelling, cwd=workplace / "sub")
        assert done.returncode == 0 and "running" in done.stdout, done.stdout
        assert f"openscope stop {session.name}" in done.stdout
    assert "session.closed" not in names(session) and launcher.poll() is None
    stopped = openscope("stop", spellings[-1])
    assert stopped.returncode == 0 and "aborted" in stopped.stdout, stopped.stderr
    assert launcher.wait(60) == 130
    assert assert_closed(session)["closed_by"] == "launcher"


def test_an_output_folder_with_dots_is_known_by_its_plain_path(
    python_experiment: Experiment, workplace: Path, openscope: Openscope
) -> None:
    (workplace / "sub").mkdir()
    file = python_experiment(
        COUNTING.format(counts=4000), OutputFolder=str(workplace / "sub" / ".." / "data")
    )
    launcher = launch(file)
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    try:
        assert "running" in openscope("recover", str(session)).stdout
        assert "running" in openscope("recover", "data/../data", "--list").stdout
    finally:
        stopped = openscope("stop", str(session))
    assert stopped.returncode == 0, stopped.stderr
    assert launcher.wait(60) == 130
    assert "sub/.." not in openscope("last").stdout


def test_a_session_folder_lies_where_its_link_with_dots_leads(workplace: Path) -> None:
    (workplace / "far/away").mkdir(parents=True)
    link = linked(workplace / "far/away", workplace / "link")
    folder = claim(link / ".." / "data", "614173")
    assert folder.path.resolve().parent == workplace / "far/data"


def test_a_session_keeps_its_key_while_its_disk_is_away(workplace: Path) -> None:
    session = interrupted(workplace / "disk" / NAME)
    spelled = linked(workplace / "disk", workplace / "link") / NAME
    key = session_key(spelled)
    assert key == session_key(session)
    (workplace / "disk").rename(workplace / "away")
    assert session_key(spelled) == key
    assert session_hash(spelled) == session_hash(session)


def test_the_runs_of_a_session_are_found_by_every_spelling(
    workplace: Path, own_state: Path
) -> None:
    session = interrupted(workplace / "data" / NAME)
    other = interrupted(workplace / "other" / NAME)
    spelled = linked(workplace / "data", workplace / "link") / NAME
    (own_state / "runs" / "one").mkdir(parents=True)
    spec = own_state / "runs" / "one" / "spec.json"
    write_json(spec, {"session_folder": str(spelled)})
    assert runs_of(SessionFolder(session)) == runs_of(SessionFolder(spelled)) == [spec.parent]
    assert runs_of(SessionFolder(other)) == []


def test_an_open_session_is_shown_as_its_launcher_named_it(workplace: Path) -> None:
    session = interrupted(workplace / "data" / NAME)
    spelled = linked(workplace / "data", workplace / "link") / NAME
    assert find_session(str(spelled)).path == session


# -- names and folders -----------------------------------------------------------------------------


def test_recover_takes_a_name_or_a_part_of_it(workplace: Path, openscope: Openscope) -> None:
    named = interrupted(workplace / "data" / NAME)
    part = interrupted(workplace / "data" / "700123_2026-03-14_11-00-00")
    done = openscope("recover", named.name)
    assert done.returncode == 0 and "Closed: failed" in done.stdout, done.stdout + done.stderr
    assert_closed(named)
    assert openscope("recover", "700123").returncode == 0
    assert_closed(part)
    again = openscope("recover", named.name)
    assert again.returncode == 0 and "closed, failed" in again.stdout


def test_recover_of_a_name_leaves_others_alone(workplace: Path, openscope: Openscope) -> None:
    named = interrupted(workplace / "data" / NAME)
    other = interrupted(workplace / "data" / "700123_2026-03-14_11-00-00")
    assert openscope("recover", named.name).returncode == 0
    assert "session.closed" not in names(other)


@pytest.mark.parametrize("root", ["no such folder", "data/nothing", "614199"])
def test_what_is_not_there_is_an_error(workplace: Path, openscope: Openscope, root: str) -> None:
    interrupted(workplace / "data" / NAME)
    done = openscope("recover", root)
    assert done.returncode == 1 and "There is no session of this name" in done.stderr


def test_a_folder_of_sessions_has_those_in_it_and_those_known_deeper(
    workplace: Path, openscope: Openscope
) -> None:
    inside = interrupted(workplace / "data" / NAME, noted=False)
    deep = interrupted(workplace / "data" / "mice" / "614174_2026-03-14_10-30-00")
    beside = interrupted(workplace / "other" / "614175_2026-03-14_10-30-00")
    link = linked(workplace / "data", workplace / "link")
    said = openscope("recover", str(link), "--list").stdout
    assert inside.name in said and deep.name in said and beside.name not in said
    assert openscope("recover", str(link)).returncode == 0
    for session in (inside, deep):
        assert_closed(session)
    assert "session.closed" not in names(beside)
    (workplace / "empty").mkdir()
    none = openscope("recover", "empty")
    assert none.returncode == 0 and none.stdout == "No session is open.\n"


# -- one that cannot be read -----------------------------------------------------------------------


@pytest.fixture
def unreadable(workplace: Path) -> list[Path]:
    """Open sessions whose journals the system does not give, and does not even find."""
    memory = Path("/proc/self/mem")  # a file that lies there and whose reading fails
    if not memory.exists():
        pytest.skip("no file here fails when it is read")
    broken = workplace / "data" / "614170_2026-03-14_10-30-00"
    broken.mkdir(parents=True)
    (broken / "journal.jsonl").symlink_to(memory)
    nowhere = workplace / "data" / ("x" * 300)  # looking for it is an error, as on a failing disk
    for folder in (broken, nowhere):
        remember_session(folder)
    return [broken, nowhere]


@pytest.mark.parametrize("root", [[], ["data"]], ids=["known", "folder"])
def test_one_that_cannot_be_read_keeps_no_other_back(
    unreadable: list[Path], workplace: Path, openscope: Openscope, root: list[str]
) -> None:
    first = interrupted(workplace / "data" / "614169_2026-03-14_10-30-00")
    last = interrupted(workplace / "data" / NAME)
    done = openscope("recover", *root)
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("This cannot be read") == len(unreadable), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for session in (first, last):
        assert_closed(session)


def test_a_session_that_is_named_is_looked_at_alone(
    unreadable: list[Path], workplace: Path, openscope: Openscope
) -> None:
    session = interrupted(workplace / "data" / NAME)
    done = openscope("recover", str(session))
    assert done.returncode == 0 and "cannot be read" not in done.stdout
    failed = openscope("recover", str(unreadable[0]))
    assert failed.returncode == 1 and "cannot be read" in failed.stderr


# -- those who only look ---------------------------------------------------------------------------

LOOKS = """
import sys
from pathlib import Path
from openscope_experimental_launcher.locks import is_held
print("ready", flush=True)
while True: is_held(Path(sys.argv[1]))
"""


def test_those_who_only_look_do_not_see_each_other(workplace: Path) -> None:
    session = SessionFolder(interrupted(workplace / "data" / NAME))
    lock = session_lock(session.path)
    lock.acquire()
    lock.release()
    looking = subprocess.Popen(
        [sys.executable, "-c", LOOKS, str(lock.path)], stdout=subprocess.PIPE
    )
    try:
        assert looking.stdout is not None and looking.stdout.readline()
        until = time.monotonic() + 1
        while time.monotonic() < until:
            assert not is_held(lock.path)
            assert look_at(session).state == "interrupted"
        assert lock.acquire(patience_s=10)  # and keep nobody out who has patience
        assert is_held(lock.path) and look_at(session).state == "running"
    finally:
        looking.kill()
        looking.communicate()
        lock.release()


# -- what needs a closed one -----------------------------------------------------------------------


def test_what_needs_a_closed_session_says_that_this_one_still_runs(
    running: tuple[Path, subprocess.Popen[bytes]], openscope: Openscope
) -> None:
    session, launcher = running
    for verb in ("verify", "validate", "metadata"):
        done = openscope(verb, str(session))
        said = done.stdout + done.stderr
        assert done.returncode == 1 and "still running" in said, f"{verb}: {said}"
        assert f"openscope stop {session.name}" in said and "openscope recover" not in said
    assert launcher.poll() is None and "session.closed" not in names(session)


def test_what_needs_a_closed_session_says_how_to_close_it(
    workplace: Path, openscope: Openscope
) -> None:
    session = interrupted(workplace / "data" / NAME)
    for verb in ("verify", "validate", "metadata"):
        done = openscope(verb, str(session))
        said = done.stdout + done.stderr
        assert done.returncode == 1 and f"openscope recover {session}" in said, f"{verb}: {said}"
