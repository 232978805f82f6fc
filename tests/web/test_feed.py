"""What the page is told of a session: true, bounded, and harmless, whatever the session holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openscope_experimental_launcher.session.folder import SessionFolder
from openscope_experimental_launcher.web.feed import Feed, report_address
from openscope_experimental_launcher.web.finding import OpenSessions
from report.conftest import BEGAN, Past
from web.serving import Running

Begin = Callable[..., Running]


def _feed(folder: Path) -> Feed:
    feed = Feed(SessionFolder(folder))
    feed.read_records()
    feed.look()
    return feed


def _told(feed: Feed) -> str:
    """All that a page could be told of it, as it is sent."""
    feed.forecast()
    told = [feed.summary(), feed.detail(), feed.last_point()]
    text = json.dumps(told)
    assert text.isascii()
    json.loads(text, parse_constant=pytest.fail)  # no NaN, which no browser reads
    return text


def test_a_look_tells_only_what_is_new(running: Begin) -> None:
    session = running()
    feed = _feed(session.folder)
    session.measure(1.0)
    session.print(b"one\ntwo\n")
    change = feed.look()
    assert not change.events and change.point is not None and change.point[1] == 400.0
    assert [text for _, _, text in change.lines] == ["one", "two"]
    session.tell("acquisition.warned", about="x", message="Look.")
    session.print(b"three\n", "stderr")
    change = feed.look()
    assert change.events and change.point is None
    assert [(stream, text) for _, stream, text in change.lines] == [("stderr", "three")]
    assert feed.look() == (False, None, [])
    numbers = [number for number, _, _ in feed.detail()["lines"]]
    assert numbers == [1, 2, 3]


def test_the_curves_have_every_peak_and_few_points(running: Begin) -> None:
    session = running()
    for second in range(3000):
        peak = 4000.0 if second == 1234 else 0.0
        session.measure(second, memory_mb=400.0 + peak, ago_s=3000.0 - second)
    memory = next(p for p in _feed(session.folder).detail()["plots"] if p["key"] == "memory")
    assert max(memory["values"]) == 4400.0 and len(memory["at"]) <= 500


def test_the_end_of_a_flood_is_told_and_the_rest_is_counted(running: Begin) -> None:
    session = running()
    feed = _feed(session.folder)
    session.print(b"".join(b"line %d\n" % number for number in range(200_000)))
    lines = [text for _, _, text in feed.look().lines]
    assert lines[-1] == "line 199999" and len(lines) <= 41
    assert "more in logs/stdout.log" in lines[0]


def test_a_line_without_an_end_stays_short(running: Begin) -> None:
    session = running()
    feed = _feed(session.folder)
    session.print(b"x" * 10_000_000)
    session.print(b"\nthe end\n")
    lines = [text for _, _, text in feed.look().lines]
    assert lines[-1] == "the end" and max(map(len, lines)) < 600


def test_secrets_that_are_printed_are_not_shown(running: Begin) -> None:
    session = running()
    session.print(b"password=hunter2 Authorization: Bearer abcdefgh12345678\n")
    session.tell("note.added", text="token: hunter3", by="A")
    told = _told(_feed(session.folder))
    assert "hunter2" not in told and "hunter3" not in told and "abcdefgh" not in told


def test_how_long_it_usually_takes_is_known_from_sessions_like_it(
    running: Begin, tmp_path: Path
) -> None:
    root = tmp_path / "Über data"
    for day, outcome in ((1, "completed"), (2, "failed")):
        past = Past(root, BEGAN - timedelta(days=day)).started().ended(1000.0 * day)
        folder = past.judged(1000.0 * day, outcome).recorded().closed(1001.0 * day)
        runtime = folder / "experiment_metadata/runtime_information.json"
        known = {**json.loads(runtime.read_bytes()), "duration_s": 1000.0 * day}
        runtime.write_text(json.dumps(known))
    assert _feed(running().folder).summary()["usual_s"] == 1000.0


def test_what_can_be_done_depends_on_what_it_does(running: Begin) -> None:
    feed = _feed(running().folder)
    allowed = {
        "running": {"note", "stop"},
        "unattended": {"note", "stop"},
        "interrupted": {"note", "recover"},
        "elsewhere": set(),
        "closed": set(),
        "gone": set(),
    }
    for state, acts in allowed.items():
        feed.state = state  # type: ignore[assignment]
        assert {act for act, may in feed.acts().items() if may} == acts
    feed.here = False
    feed.state = "interrupted"
    assert not any(feed.acts().values())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=50),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
_NAMES = st.sampled_from(
    [
        "session.opened", "stage.entered", "acquisition.started", "acquisition.sampled",
        "acquisition.warned", "acquisition.stop_requested", "acquisition.ended", "note.added",
        "acquisition.judged", "step.finished", "finding.reported", "session.closed", "new.thing",
    ]
)  # fmt: skip
_KEYS = st.sampled_from(
    [
        "session_uuid", "subject_id", "stage", "message", "text", "by", "memory_mb", "cpu_s",
        "elapsed_s", "disk_free_mb", "system_percent", "kill_in_s", "outcome", "reason",
        "exit_code", "signal", "stop", "duration_s", "level", "code", "phase", "position", "step",
        "host",
    ]
)  # fmt: skip
_EVENTS = st.lists(st.tuples(_NAMES, st.dictionaries(_KEYS, _JSON, max_size=6), st.floats()))


@given(_EVENTS, st.binary(max_size=3000), st.binary(max_size=300), _JSON)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_session_is_so_damaged_that_the_page_fails(
    tmp_path: Path, events: Any, printed: bytes, torn: bytes, plan: Any
) -> None:
    folder = tmp_path / "614173_2026-11-03_09-08-07"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "logs").mkdir(parents=True)
    (folder / "experiment_metadata").mkdir()
    (folder / "logs/stdout.log").write_bytes(printed)
    runtime = folder / "experiment_metadata/runtime_information.json"
    runtime.write_text(json.dumps({"plan": {"limits": plan, "stop": plan}}))
    feed = Feed(SessionFolder(folder))
    lines = [
        {"seq": number, "time": "x", "mono": mono, "name": name, "data": data}
        for number, (name, data, mono) in enumerate(events)
    ]
    for cut in (len(lines) // 2, len(lines)):
        text = "".join(json.dumps(line) + "\n" for line in lines[:cut]).encode()
        (folder / "journal.jsonl").write_bytes(text + torn)
        feed.look()
        feed.read_records()
        _told(feed)


def test_the_address_of_a_report_is_that_of_its_folder(tmp_path: Path) -> None:
    address = report_address(tmp_path / "a b#c?ü%2e")
    assert address.endswith("/a%20b%23c%3F%C3%BC%252e/report.html")
    assert report_address(tmp_path / "half \udcff") == ""


def test_open_sessions_are_found_here_and_below_what_was_named(
    running: Begin, tmp_path: Path
) -> None:
    root = tmp_path / "elsewhere"
    unfinished = Past(root, host="other").started().written()
    Past(root, subject_id="700001").started().ended(1.0).judged(1.0, "completed").closed(2.0)
    (root / "no session").mkdir()
    (root / "link").symlink_to(unfinished, target_is_directory=True)
    here = running().folder
    sessions = OpenSessions([root, tmp_path / "away"], [])
    assert sessions.find() == {unfinished: False, here: True}
    shutil.rmtree(unfinished)
    assert here in sessions.find()
