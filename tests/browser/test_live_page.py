"""What a person does on the live page, done in a real browser on real sessions."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from report.conftest import BEGAN, Past
from supervision.test_recovery import (
    COUNTING,
    assert_closed,
    events,
    kill_guard,
    launch,
    says,
    session_in,
)
from web.serving import Running, Served, wait_for

Serve = Callable[..., Served]
Begin = Callable[..., Running]
Visit = Callable[..., Any]
Experiment = Callable[..., Path]

WAIT_MS = 60_000


def card_of(page: Any, session: Path) -> Any:
    """The card of a session, once it is there."""
    card = page.locator(f"details.card[data-session='{session.name}']")
    card.wait_for(timeout=WAIT_MS)
    return card


def says_in(card: Any, selector: str, words: str) -> None:
    """Wait until a part of the card says something."""
    card.locator(selector, has_text=words).first.wait_for(timeout=WAIT_MS)


def notes_of(session: Path) -> list[dict[str, Any]]:
    """The notes in a session's journal."""
    return [event["data"] for event in events(session) if event["name"] == "note.added"]


def test_a_session_is_followed_from_its_start_to_its_report(
    serve: Serve, visit: Visit, python_experiment: Experiment, workplace: Path
) -> None:
    page = visit(serve().address, online=True)
    page.get_by_text("No session is running.").wait_for()
    assert page.get_by_text("openscope demo").is_visible()
    assert "token" not in page.url
    launcher = launch(python_experiment(COUNTING.format(counts=200), max_duration_s=600))
    session = wait_for(lambda: session_in(workplace))
    card = card_of(page, session)
    assert page.get_by_text("No session is running.").is_hidden()

    says_in(card, ".badge", "running")
    says_in(card, ".subject", "614173")
    says_in(card, ".stage-name", "acquisition")
    says_in(card, ".output .stdout", "ready")
    says_in(card, "summary", "left at most")
    says_in(card, ".measures", "CPU")
    first = int(card.locator(".output .stdout").count())
    wait_for(lambda: card.locator(".output .stdout").count() > first)
    assert card.locator(".output").inner_text().count("ready") == 1

    assert card.locator("canvas").count() >= 3
    memory = card.locator("figure[data-plot=memory]")
    points = int(memory.get_attribute("data-points"))
    wait_for(lambda: int(memory.get_attribute("data-points")) >= points + 2)
    assert "MB" in memory.inner_text()

    card.get_by_role("textbox", name="Note").fill("the mouse <b>sleeps</b> 🐭")
    card.get_by_label("Your name").fill("Frieda Müller")
    card.get_by_role("button", name="Add note").click()
    says_in(card, ".notes .said", "the mouse <b>sleeps</b> 🐭")
    note = wait_for(lambda: notes_of(session))[0]
    assert note == {"text": "the mouse <b>sleeps</b> 🐭", "by": "Frieda Müller"}
    assert card.get_by_role("textbox", name="Note").input_value() == ""

    assert launcher.wait(60) == 0
    says_in(card, ".badge", "completed")
    assert card.get_by_role("button", name="Stop").is_hidden()
    row = page.locator("#rows tr[data-state=completed]", has_text=session.name)
    row.wait_for(timeout=WAIT_MS)
    with page.context.expect_page() as opened:
        row.get_by_role("link", name="Report").click()
    report = opened.value
    report.get_by_role("heading", name=session.name).wait_for(timeout=WAIT_MS)
    assert "the mouse <b>sleeps</b> 🐭" in report.inner_text("#notes")
    assert not (session / "report.html").exists()  # nothing is written into a closed session
    assert_closed(session)


def test_a_session_is_stopped_by_whoever_means_it(
    serve: Serve, visit: Visit, python_experiment: Experiment, workplace: Path
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=5000), stop_grace_s=20))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    page = visit(serve().address, online=True)
    card = card_of(page, session)
    stop = card.get_by_role("button", name="Stop …")
    stop.click()
    dialog = page.get_by_role("dialog", name="Stop the session of 614173?")
    assert "asked to end" in dialog.inner_text() and "20 seconds" in dialog.inner_text()
    assert page.evaluate("document.activeElement.textContent") == "Let it run"
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    stop.click()
    page.keyboard.press("Enter")  # on what has the focus: let it run
    dialog.wait_for(state="hidden")
    stop.click()
    dialog.get_by_label("Why, for the records:").fill("the mouse sleeps")
    page.keyboard.press("Enter")  # not yet
    assert dialog.is_visible()
    assert "acquisition.stop_requested" not in [event["name"] for event in events(session)]
    page.keyboard.press("Enter")
    says_in(card, ".badge", "aborted")
    assert launcher.wait(60) == 130
    assert assert_closed(session)["outcome"] == "aborted"
    asked = next(e["data"] for e in events(session) if e["name"] == "acquisition.stop_requested")
    assert (asked["by"], asked["reason"]) == ("operator", "the mouse sleeps")
    assert says(session, "asked")()


STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
print("ready", flush=True)
while True: time.sleep(0.05)
"""


def test_who_does_not_end_is_ended_by_force_on_a_second_wish(
    serve: Serve, visit: Visit, python_experiment: Experiment, workplace: Path
) -> None:
    launcher = launch(python_experiment(STUBBORN, stop_grace_s=300))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    page = visit(serve().address, online=True)
    card = card_of(page, session)
    card.get_by_role("button", name="Stop …").click()
    page.get_by_role("button", name="Stop it").click()
    says_in(card, "summary", "until it is ended by force")
    assert says(session, "no")()
    card.get_by_role("button", name="End it by force …").click()
    dialog = page.get_by_role("dialog")
    assert "not written yet is lost" in dialog.inner_text()
    dialog.get_by_role("button", name="End it by force").click()
    assert launcher.wait(60) == 130
    says_in(card, ".badge", "aborted")


def test_what_a_stop_loses_is_said_before(serve: Serve, visit: Visit, running: Begin) -> None:
    session = running()
    runtime = session.folder / "experiment_metadata/runtime_information.json"
    loses = "Data that Bonsai has not written yet will be lost: it cannot be asked."
    runtime.write_text(
        runtime.read_text().replace('"limits"', f'"stop": {{"loses": "{loses}"}}, "limits"')
    )
    page = visit(serve().address, online=True)
    card = card_of(page, session.folder)
    card.get_by_role("button", name="Stop …").click()
    assert loses in page.get_by_role("dialog").inner_text()
    page.get_by_role("button", name="Stop it").click()  # nothing runs really
    says_in(card, "[role=alert]", "No acquisition of this session is running on this machine.")


def test_a_session_whose_launcher_is_lost_is_followed_and_closed(
    serve: Serve, visit: Visit, python_experiment: Experiment, workplace: Path
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=300)))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    page = visit(serve().address, online=True)
    card = card_of(page, session)
    launcher.kill()
    launcher.wait()
    says_in(card, ".badge", "launcher lost")
    memory = card.locator("figure[data-plot=memory]")
    points = int(memory.get_attribute("data-points"))
    wait_for(lambda: int(memory.get_attribute("data-points")) >= points + 2)
    card.get_by_role("textbox", name="Note").fill("the launcher is gone")
    card.get_by_role("button", name="Add note").click()
    says_in(card, ".notes li", "waits to be taken into the journal")
    says_in(card, ".badge", "completed")
    assert assert_closed(session)["closed_by"] == "recovery"
    assert [note["text"] for note in notes_of(session)] == ["the launcher is gone"]


def test_a_session_that_nobody_closes_is_recovered(
    serve: Serve, visit: Visit, python_experiment: Experiment, workplace: Path
) -> None:
    launcher = launch(python_experiment(COUNTING.format(counts=20)))
    session = wait_for(lambda: session_in(workplace))
    wait_for(says(session, "ready"))
    started = wait_for(
        lambda: next((e for e in events(session) if e["name"] == "acquisition.started"), None)
    )
    launcher.kill()
    kill_guard(started["data"]["guard_pid"])
    launcher.wait()
    page = visit(serve().address, online=True)
    card = card_of(page, session)
    says_in(card, ".badge", "interrupted")
    says_in(card, ".plain", "Recover it to complete its records")
    card.get_by_role("textbox", name="Note").fill("the power was gone")
    card.get_by_role("button", name="Add note").click()
    says_in(card, ".notes li", "waits to be taken into the journal")
    card.get_by_role("button", name="Recover …").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave it").click()
    card.get_by_role("button", name="Recover …").click()
    page.get_by_role("dialog").get_by_role("button", name="Recover it").click()
    says_in(card, ".badge", "lost")
    assert assert_closed(session)["closed_by"] == "recovery"
    assert [note["text"] for note in notes_of(session)] == ["the power was gone"]


def test_a_wrong_key_is_refused_and_the_right_one_opens(serve: Serve, visit: Visit) -> None:
    served = serve()
    page = visit(f"{served.origin}/?token=wrong", online=True)
    page.get_by_role("heading", name="This page needs its key").wait_for()
    page.get_by_label("Or give the key alone").fill("wrong too")
    page.get_by_role("button", name="Open the page").click()
    page.get_by_role("heading", name="This page needs its key").wait_for()
    page.get_by_label("Or give the key alone").fill(served.token)
    page.get_by_role("button", name="Open the page").click()
    page.get_by_text("No session is running.").wait_for()
    assert "token" not in page.url
    page.goto(served.origin)  # it is known from now on
    page.get_by_text("No session is running.").wait_for()
    stranger = visit(served.origin, online=True)
    stranger.get_by_role("heading", name="This page needs its key").wait_for()
    assert stranger.evaluate("document.cookie") == page.evaluate("document.cookie") == ""


def test_a_link_from_elsewhere_leads_in_who_was_let_in_before(
    serve: Serve, visit: Visit, tmp_path: Path
) -> None:
    served = serve()
    page = visit(served.address, online=True)
    page.get_by_text("No session is running.").wait_for()
    elsewhere = tmp_path / "mail.html"
    elsewhere.write_text(f"<a href='{served.origin}/'>the live page</a>")
    page.goto(elsewhere.as_uri())
    page.get_by_role("link").click()
    page.get_by_text("No session is running.").wait_for()


def test_a_page_of_another_site_can_do_nothing(
    serve: Serve, visit: Visit, running: Begin, own_state: Path
) -> None:
    served = serve().sign_in()
    session = running()
    number = served.session(session.folder)["id"]
    page = visit(served.address, online=True)
    card_of(page, session.folder)
    attack = page.context.new_page()
    attack.goto(served.origin.replace("127.0.0.1", "localhost") + "/assets/uPlot.LICENSE")
    done = attack.evaluate(
        """async ([origin, number]) => {
            const url = `${origin}/api/sessions/${number}/note`;
            const body = JSON.stringify({text: "bad"});
            const tries = [
                {method: "POST", mode: "no-cors", credentials: "include", body},
                {method: "POST", credentials: "include", body,
                 headers: {"content-type": "application/json", "x-openscope-word": "x"}},
            ];
            const told = [];
            for (const one of tries) {
                told.push(await fetch(url, one).then((a) => a.status, () => "refused"));
            }
            const read = await fetch(`${origin}/api/history`, {credentials: "include"})
                .then((a) => a.status, () => "refused");
            return [...told, read];
        }""",
        [served.origin, number],
    )
    assert done[1:] == ["refused", "refused"] and done[0] in (0, "refused")
    assert not (own_state / "notes").exists()


def test_a_page_to_look_at_offers_nothing_to_do(serve: Serve, visit: Visit, running: Begin) -> None:
    session = running()
    session.print(b"Trial 1: hit\n")
    page = visit(serve("--read-only").address, online=True)
    card = card_of(page, session.folder)
    says_in(card, ".output", "Trial 1: hit")
    assert page.get_by_text("only to look at").is_visible()
    assert page.get_by_role("button", name="Stop").count() == 0
    assert page.get_by_role("button", name="Add note").count() == 0


def test_a_folder_that_vanishes_takes_nothing_with_it(
    serve: Serve, visit: Visit, running: Begin
) -> None:
    gone, stays = running("700001"), running("700002")
    for session in (gone, stays):
        session.measure(1.0)
        session.print(b"Trial 1\n")
    page = visit(serve().address, online=True)
    lost, card = card_of(page, gone.folder), card_of(page, stays.folder)
    says_in(lost, ".output", "Trial 1")
    shutil.rmtree(gone.folder)
    says_in(lost, ".badge", "folder gone")
    says_in(lost, ".plain", str(gone.folder))
    says_in(lost, ".output", "Trial 1")
    stays.print(b"Trial 2\n")
    says_in(card, ".output", "Trial 2")
    says_in(page, "#connection", "live")


def test_warnings_and_what_will_come_are_said(serve: Serve, visit: Visit, running: Begin) -> None:
    session = running(limits={"memory_limit_mb": 1000.0, "disk_reserve_gb": 1.0})
    for second in range(60):
        session.measure(second, memory_mb=400.0 + second, ago_s=60.0 - second)
    page = visit(serve().address, online=True)
    card = card_of(page, session.folder)
    session.tell("acquisition.warned", about="frozen", message="The process is <i>paused</i>.")
    says_in(card, ".warnings", "The process is <i>paused</i>.")
    says_in(card, ".warnings", "Memory of the acquisition: at this rate at its limit of 1,000 MB")
    says_in(page, "#announce", "The process is <i>paused</i>.")
    assert "limit 1.0 GB" in card.locator("figure[data-plot=memory]").inner_text()
    assert page.title().startswith("! 1 open")


def test_the_history_is_searched_and_filtered(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    root = tmp_path / "Über data"
    for day in range(30):
        outcome, reason = (
            ("failed", "The reward pump was blocked.") if day % 10 == 3 else ("completed", "")
        )
        subject = "700001" if day % 2 else "614173"
        past = Past(root, BEGAN + timedelta(days=day), subject_id=subject)
        past.started().ended(30.0).judged(30.1, outcome, reason).recorded().closed(31.0)
    page = visit(serve(root).address, online=True)
    rows, found = page.locator("#rows tbody tr"), page.locator("#found")
    says_in(page, "#found", "25 of 30 sessions, the newest first")
    assert rows.count() == 25
    page.get_by_role("button", name="Show more").click()
    wait_for(lambda: rows.count() == 30)
    says_in(page, "#found", "30 sessions")
    page.get_by_role("button", name="Show more").wait_for(state="hidden", timeout=WAIT_MS)

    page.get_by_label("Words").fill("reward pump")
    says_in(page, "#found", "3 sessions")
    wait_for(lambda: rows.count() == 3)
    assert all("The reward pump was blocked." in text for text in rows.all_inner_texts())
    page.get_by_label("Words").fill("")
    page.get_by_label("Outcome").select_option("failed")
    says_in(page, "#found", "3 sessions")
    page.get_by_label("Subject").fill("614173")
    says_in(page, "#found", "No session of 30 is like that.")
    page.get_by_role("button", name="Clear").click()
    says_in(page, "#found", "25 of 30")
    page.get_by_label("Subject").fill("700001")
    says_in(page, "#found", "15 sessions")
    page.get_by_label("Since").fill("2026-11-20")
    wait_for(lambda: found.inner_text() not in ("15 sessions", ""))
    wait_for(lambda: 0 < rows.count() < 15)
    with page.context.expect_page() as opened:
        rows.first.get_by_role("link", name="Report").click()
    opened.value.get_by_role("heading", name="700001_").wait_for(timeout=WAIT_MS)


def test_a_report_leads_to_those_beside_it(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    from openscope_experimental_launcher.report import make_report

    root = tmp_path / "Über data"
    for day in range(2):
        past = Past(root, BEGAN + timedelta(days=day)).started().sampled(20).ended(30.0)
        make_report(past.judged(30.1, "completed").recorded().closed(31.0))
    page = visit(serve(root).address, online=True)
    with page.context.expect_page() as opened:
        page.locator("#rows").get_by_role("link", name="Report").first.click()
    report = opened.value
    report.get_by_role("heading", name="614173_2026-11-04").wait_for(timeout=WAIT_MS)
    assert report.locator("canvas").count() > 0  # its own scripts run
    assert report.evaluate("window.origin") == "null"  # and nothing of this page is theirs
    report.get_by_role("link", name="614173_2026-11-03").first.click()
    report.get_by_role("heading", name="614173_2026-11-03").wait_for(timeout=WAIT_MS)


def test_a_program_that_is_gone_is_said_and_found_again(
    serve: Serve, visit: Visit, running: Begin
) -> None:
    session = running()
    first = serve()
    page = visit(first.address, online=True)
    card_of(page, session.folder)
    os.kill(first.process.pid, signal.SIGSTOP)  # it hangs: nothing is heard any more
    first.process.kill()
    says_in(page, "#connection", "No connection: what is shown is from")
    first.process.wait()
    second = serve("--port", first.port)
    says_in(page, "#connection", "open the address that it has printed")
    page.goto(second.address)
    card_of(page, session.folder)
    says_in(page, "#connection", "live")


HOSTILE = [
    b"<script>document.title='owned'</script>",
    b"<img src=x onerror=\"document.title='owned'\">",
    b"\x1b]0;owned\x07\x1b[31mred\x1b[0m \x1b[2J",
    "\u202etxt.exe \u2066 \u200b zero".encode(),
    b"\xff\xfe\x00\x80 not text",
    "🐭 ünï ".encode() * 400,
    b"</p></div></details><h1>owned</h1>",
    b"javascript:document.title='owned'",
    b"x" * 10_000_000,
    b"\r\r\rprogress 1%\rprogress 100%",
]


def test_hostile_output_is_text_and_nothing_else(
    serve: Serve, visit: Visit, running: Begin
) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\">\u202e"
    session = running(
        "614173", user_id=evil, rig_id="</script><script>document.title='owned'</script>"
    )
    session.tell(
        "finding.reported", level="error", code="x", stage="checks", message=evil, fix=evil
    )
    session.tell("note.added", text=evil * 100, by=evil)
    session.tell("acquisition.warned", about="x", message="half \ud83d of a character " + evil)
    session.tell("step.finished", raw=b'{"seq": 1e400, "name": "step.finished", "data": {}}\n')
    session.tell("torn", raw=b'{"seq": 9, "name": "acqu\n\xff\n[1]\nnull\n')
    page = visit(serve().address, online=True)
    card = card_of(page, session.folder)
    for line in HOSTILE:
        for stream in ("stdout", "stderr"):
            session.print(line + b"\n", stream)
        session.measure(1.0, memory_mb=1e300, disk_free_mb=-1)
    session.print(b"the end\n")
    says_in(card, ".output", "the end")
    says_in(card, ".notes .said", "<img src=x")
    assert "owned" not in page.title()
    assert page.locator("main img, main h1, main script").count() == 0
    text = card.inner_text()
    assert "\u202e" not in text and "\x1b" not in text and "\x00" not in text
    assert len(text) < 400_000
    assert card.locator(".output p").count() <= 300
    session.tell("acquisition.warned", about="y", message="It goes on.")
    says_in(card, ".warnings", "It goes on.")


@pytest.mark.parametrize("width", [320, 390, 800, 1280])
def test_nothing_is_cut_off_on_a_small_screen(
    serve: Serve, visit: Visit, running: Begin, width: int
) -> None:
    session = running("614173" * 8, rig_id="RIG-WITH-A-VERY-LONG-NAME-OF-ITS-OWN" * 3)
    session.measure(1.0)
    session.print(b"x" * 3000 + b"\n")
    session.tell("note.added", text="y" * 300, by="z" * 80)
    session.tell("acquisition.stop_requested", by="operator", reason="", kill_in_s=9999.0)
    page = visit(serve().address, online=True, width=width, dark=True)
    card = card_of(page, session.folder)
    says_in(card, ".notes", "yyy")
    page.locator("#rows tbody tr").first.wait_for(timeout=WAIT_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"


def test_all_can_be_done_with_the_keyboard_alone(
    serve: Serve, visit: Visit, running: Begin, own_state: Path
) -> None:
    session = running()
    page = visit(serve().address, online=True)
    card = card_of(page, session.folder)
    names: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate(
                "(e => e.tagName + ' ' + (e.ariaLabel || e.labels?.[0]?.textContent.trim() "
                "|| e.textContent).trim().slice(0, 30))(document.activeElement)"
            )
        )
        if names[-1].startswith("INPUT Note"):
            page.keyboard.type("by hand")
            page.keyboard.press("Enter")
            says_in(card, ".notes", "by hand")
        if names[-1].startswith("INPUT Since"):
            break
    reached = "\n".join(names)
    for wanted in ("Skip to", "SUMMARY", "DIV The last lines", "INPUT Note", "INPUT Your name"):
        assert wanted in reached
    for wanted in ("BUTTON Stop", "A Report so far", "INPUT Words", "INPUT Subject", "SELECT"):
        assert wanted in reached


def test_many_sessions_are_folded_and_ordered(serve: Serve, visit: Visit, running: Begin) -> None:
    sessions = [running(f"7000{number:02d}") for number in range(12)]
    sessions[3].lose()
    page = visit(serve().address, online=True)
    card_of(page, sessions[0].folder)
    wait_for(lambda: page.locator("details.card").count() == 12)
    assert page.locator("details.card[open]").count() == 2
    says_in(card_of(page, sessions[3].folder), ".badge", "interrupted")
    last = page.locator("details.card").last
    wait_for(lambda: last.get_attribute("data-session") == sessions[3].folder.name)
    sessions[7].measure(1.0)
    says_in(card_of(page, sessions[7].folder), ".measures", "400 MB")
