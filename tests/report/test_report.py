"""The report says what a session was: the good, the failed, the cut, the hostile."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from openscope_experimental_launcher.report import make_report

_VOID = {"meta", "link", "br", "img", "input"}


class _Text(HTMLParser):
    """The words of a page; fails for elements that are not closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["script"] and self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def _read(folder: Path, file: Path | None = None) -> str:
    return make_report(folder, file).read_text(encoding="utf-8")


def test_at_the_top_stands_what_is_asked_first(good: Callable[..., Path]) -> None:
    text = _Text(_read(good())).text
    top = text[: text.index("Timeline")]
    for words in (
        "completed",
        "614173_2026-11-03_09-08-07",
        "Completed in 00:30",
        "Subject 614173",
        "Rig BEH.D (computer W10DT)",
        "Who Frieda Müller",
        "Began 2026-11-03 09:08:06 +00:00",
        "227beb27d145, main, clean, of https://example.org/oddball.git",
        "oddball.py by the engine python",
    ):
        assert words in top
    assert "What went wrong" not in text


def test_it_tells_what_changed_since_the_subjects_last_session(good: Callable[..., Path]) -> None:
    good(0)
    good(1, subject_id="700001", parameters={"script_parameters": {"reward": 9}})
    folder = good(
        2,
        parameters={
            "script_parameters": {"reward": 30, "trials": 400},
            "commit": "1" * 40,
        },
    )
    text = _Text(_read(folder)).text
    assert "last session, 614173_2026-11-03_09-08-07" in text
    assert "changed reward: 3 → 30" in text
    assert "227beb27d145 → 111111111111" in text
    assert "from parameter file" in text or "parameter file changed" in text


def test_an_incident_tells_first_what_went_wrong(
    good: Callable[..., Path], failed: Callable[..., Path]
) -> None:
    good(0)
    failed(1)
    folder = failed(2, parameters={"script_parameters": {"reward": 30, "trials": 400}})
    text = _Text(_read(folder)).text
    incident = text[text.index("What went wrong First") : text.rindex("Timeline")]
    for words in (
        "First, 01:02 after the acquisition began: Memory grows.",
        "The acquisition ended with exit code 1 after 01:30.",
        "script-exception",
        "What to do: Plug the camera in.",
        "openscope bundle",
        "−0.1 s stderr ValueError: no camera 7",
        "−28.0 s event ! Memory grows.",
        "The nearest one before it: 614173_2026-11-03_09-08-07",
        "Then here, 01:02 after the acquisition began: Memory grows.",
        "there: acquisition ended after 00:30 (exit code 0)",
        "on stderr: Traceback",
        "script_parameters.reward 3 30",
        "614173_2026-11-04_09-08-07: failed, The script stopped with ValueError",
    ):
        assert words in incident, words
    assert "Trial 25: hit" not in incident  # it is older than a minute


def test_a_session_that_was_never_closed_is_told_as_far_as_it_goes(
    past: Callable[..., Any],
) -> None:
    session = past().started().sampled(20).recorded()
    folder = session.written()
    journal = folder / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-25])
    text = _Text(_read(folder)).text
    assert "not closed" in text
    assert "The session was never closed" in text
    assert "Nobody saw the acquisition end" in text
    assert "1 line of the journal is torn or damaged." in text
    assert "Not sealed" in text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe\n" * 50,
        b'{"seq": 1}\n[]\nnull\n"x"\n',
        b"[" * 100_000 + b"\n",
        b'{"seq":1,"time":"never","mono":1,"name":"session.closed","data":{}}\n',
        b'{"seq":1,"time":"","mono":1e308,"name":"stage.entered","data":{"stage":{"a":[]}}}\n'
        b'{"seq":2,"time":"","mono":-1e308,"name":"acquisition.started","data":{}}\n'
        b'{"seq":3,"time":"x","mono":1e308,"name":"acquisition.sampled","data":{"cpu_s":-1e308}}\n'
        b'{"seq":4,"time":"","mono":2,"name":"acquisition.sampled","data":{"cpu_s":1'
        + b"0" * 400
        + b"}}\n",
    ],
)
def test_a_damaged_journal_gives_a_report_too(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.jsonl").write_bytes(content)
    (tmp_path / "experiment_metadata").mkdir()
    records = ("processed_parameters", "runtime_information", "environment", "repository")
    for name, bad in zip(records, (b"[]", b"{", b'{"packages": 3}', b'{"url": []}'), strict=True):
        (tmp_path / "experiment_metadata" / f"{name}.json").write_bytes(bad)
    text = _Text(_read(tmp_path)).text
    assert "Not all could be read." in text
    assert "processed_parameters.json cannot be read." in text


HOSTILE = (
    "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
    "'\"{{ 7 * 7 }}{% raw %}\x1b[2J\x00\u202eevil\ud800 javascript:alert(1)"
)


def hostile_session(past: Callable[..., Any]) -> Path:
    """Everything a program, a person or a file name can say is meant to break the page."""
    session = past(user_id=HOSTILE, rig_id=HOSTILE).started().sampled(10)
    session.add(3.0, "acquisition.warned", about=HOSTILE, message=HOSTILE)
    session.add(3.5, "note.added", text=HOSTILE, by=HOSTILE)
    session.add(4.0, "acquisition.warned", about="x" * 5_000_000, message="x" * 2_000_000)
    step = {"phase": HOSTILE, "step": HOSTILE, "outcome": "failed", "message": HOSTILE}
    session.add(5.0, "step.finished", **step, position=1, last_lines=[HOSTILE], files=[HOSTILE])
    finding = {"level": "error", "code": HOSTILE, "message": HOSTILE, "where": HOSTILE}
    session.add(6.0, "finding.reported", stage=HOSTILE, **finding, fix=HOSTILE)
    session.ended(10.0, exit_code=3).judged(10.0, "failed", HOSTILE)
    session.printed("stdout", [(1.0, "\udcff".encode("utf-8", "replace").decode())])
    (session.folder / "logs" / "stderr.log").write_bytes(HOSTILE.encode("utf-8", "replace") * 3000)
    (session.folder / "<img src=x onerror=alert(1)>.csv").write_text("1")
    session.recorded(**{HOSTILE: HOSTILE, "script_parameters": {HOSTILE: [HOSTILE]}})
    folder: Path = session.closed(11.0)
    return folder


def test_output_is_text_and_never_markup(past: Callable[..., Any]) -> None:
    folder = hostile_session(past)
    html = _read(folder)
    page = _Text(html)
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "img" not in {tag for tag, _ in page.tags}
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "<img src=x onerror=alert(1)>.csv" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert not set(page.text) & {"\x00", "\x1b", "\u202e", "\ud800"}
    assert len(html) < 1_000_000


def test_nothing_of_it_is_fetched_from_elsewhere(good: Callable[..., Path]) -> None:
    page = _Text(_read(good()))
    addresses = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "srcset", "xlink:href")
    ]
    assert all(value and value.startswith(("#", "data:", "../")) for value in addresses)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'")


def test_secrets_do_not_get_into_it(past: Callable[..., Any]) -> None:
    session = past().started()
    session.add(1.0, "note.added", text="password=hunter2", by="x")
    session.printed("stdout", {1.0: "login https://me:hunter2@example.org api_token: hunter2"})
    session.ended(2.0, exit_code=1).judged(2.0, "failed", "token=hunter2")
    folder = session.recorded(api_token="hunter2").closed(3.0)
    html = _read(folder)
    assert "hunter2" not in html
    assert "***" in html


def test_every_file_is_told_with_what_the_manifest_says_of_it(good: Callable[..., Path]) -> None:
    folder = good()
    (folder / "logs" / "stdout.log").write_text("another size")
    (folder / "logs" / "stdout.times").unlink()
    (folder / "later.csv").write_text("1")
    text = _Text(_read(folder)).text
    assert re.search(r"logs/stdout.log \d+ B changed", text)
    assert "logs/stdout.times missing" in text
    assert "later.csv 1 B not listed" in text
    assert "3 files not as sealed" in text


def test_each_plot_is_also_in_words_and_as_a_table(good: Callable[..., Path]) -> None:
    page = _Text(_read(good()))
    assert (
        "Memory of the acquisition MB 400 MB at the beginning; lowest 400 MB at 00:00; "
        "highest 429 MB at 00:29; 429 MB at the end."
    ) in re.sub(r" [0-9:, ]+ 00:29 ", " ", page.text)
    assert page.text.count("lowest highest") == 4
    tables = [t for t, _ in page.tags].count("table")
    assert [t for t, _ in page.tags].count("caption") == tables


def test_a_peak_of_one_sample_in_eight_hours_is_not_lost(past: Callable[..., Any]) -> None:
    session = past().started().sampled(8 * 3600)
    samples = [e for e in session.events if e["name"] == "acquisition.sampled"]
    samples[17_123]["data"]["memory_mb"] = 9876.0
    session.ended(8 * 3600.0).judged(8 * 3600.0, "completed")
    folder = session.recorded(limits={"memory_limit_mb": 10_000}).closed(8 * 3600 + 1.0)
    html = _read(folder)
    (data,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html)
    memory = json.loads(unescape(data))["memory"]
    assert memory["at"][memory["values"].index(9876.0)] == 17_123.0
    assert memory["limit"] == 10_000
    assert memory["at"] == sorted(set(memory["at"]))
    assert "highest 9,876 MB at 4:45:23" in html
    assert "limit 10,000 MB (99 % of it at most)" in html
    assert len(html) < 1_000_000


def _sealed(folder: Path) -> dict[str, Any]:
    """The manifest, after looking that every file is as it says."""
    files: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())["files"]
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there - {"manifest.json", "journal.jsonl"} == set(files)
    for name, entry in files.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"]
    return files


def test_a_real_sessions_report_is_sealed_with_it(
    openscope: Callable[..., CompletedProcess[str]],
    python_experiment: Callable[..., Path],
    workplace: Path,
) -> None:
    parameters = python_experiment("print('Trial 1')\nraise ValueError('no camera 7')\n")
    assert openscope("run", str(parameters), "--yes").returncode == 1
    (folder,) = (workplace / "data").iterdir()
    for _ in range(2):  # made anew, it is sealed anew
        done = openscope("report", str(folder))
        assert done.stdout.strip() == str(folder / "report.html")
        assert "report.html" in _sealed(folder)
        assert "All are here in the sizes" in (folder / "report.html").read_text("utf-8")
    events = [json.loads(line) for line in (folder / "journal.jsonl").read_bytes().splitlines()]
    assert events[-1]["name"] == "session.closed"
    sealed = [event["data"]["sha256"] for event in events if event["name"] == "manifest.sealed"]
    assert hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == sealed[-1]
    text = _Text((folder / "report.html").read_text(encoding="utf-8")).text
    assert "no camera 7" in text[: text.index("Timeline")]
    # As the guard of a real session wrote the times of its output.
    assert re.search("[0-9.]+ s stderr ValueError: no camera 7", text)

    elsewhere = openscope("report", str(folder), "--output", "größe.html")
    assert elsewhere.stdout.strip() == str(workplace / "größe.html")
    missing = openscope("report", str(folder), "--output", str(workplace / "no" / "x.html"))
    assert missing.returncode == 1
    assert "The report cannot be written" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_the_report_of_an_open_session_stays_out_of_its_folder(
    openscope: Callable[..., CompletedProcess[str]], past: Callable[..., Any], workplace: Path
) -> None:
    folder = past().started().sampled(5).recorded().written()
    before = sorted(folder.rglob("*"))
    done = openscope("report", str(folder))
    assert done.stdout.strip() == str(workplace / f"{folder.name}_report.html")
    assert sorted(folder.rglob("*")) == before
