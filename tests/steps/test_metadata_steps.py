"""The steps that ask the metadata service, against a real server that misbehaves."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from openscope_experimental_launcher.session.record import read_record
from openscope_experimental_launcher.steps import StepResult, service
from openscope_experimental_launcher.steps.runner import run_steps
from steps.metadata_server import (
    PROJECTS,
    SUBJECT,
    Server,
    answer,
    cut_off,
    dripping,
    flood,
    reset,
    silent,
)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(behave: Any) -> Server:
        server = Server(behave if callable(behave) else lambda _: behave)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


def run_one(lab: Any, name: str, server: Server | str, **values: Any) -> StepResult:
    url = server if isinstance(server, str) else server.url
    result: StepResult = lab.here(name, metadata_service_base_url=url, **values)
    return result


def is_failed(result: StepResult) -> bool:
    return not result.ok and not result.pending


@pytest.mark.parametrize(
    ("step", "path", "file"),
    [
        ("metadata_subject_fetch", "/api/v2/subject/614173", "subject.json"),
        ("metadata_procedures_fetch", "/api/v2/procedures/614173", "procedures.json"),
    ],
)
def test_a_record_is_kept_as_it_came(lab: Any, serve: Any, step: str, path: str, file: str) -> None:
    server = serve(answer(200, SUBJECT))
    event = run_one(lab, step, server)
    assert (event.ok, event.files) == (True, (file,))
    assert server.asked == [path]
    assert json.loads((lab.folder.path / file).read_bytes()) == SUBJECT
    assert (lab.folder.path / file).read_bytes() in answer(200, SUBJECT)
    assert event.warnings == ()


def test_another_subject_and_another_file(lab: Any, serve: Any) -> None:
    server = serve(answer(200, {"subject_id": "99/../7 8"}))
    event = run_one(
        lab,
        "metadata_subject_fetch",
        server.url + "/",
        metadata_subject_id="99/../7 8",
        metadata_subject_path="records\\who.json",
    )
    assert (event.ok, event.files) == (True, ("records/who.json",))
    assert server.asked == ["/api/v2/subject/99%2F..%2F7%208"]


def test_a_path_that_is_one_of_the_service(lab: Any, serve: Any) -> None:
    server = serve(answer(200, SUBJECT))
    for named in ("/api/v3/subjects", "api/v3/subjects/614173"):
        event = run_one(lab, "metadata_subject_fetch", server, metadata_subject_path=named)
        assert event.files == ("subject.json",)
    assert server.asked == ["/api/v3/subjects/614173"] * 2


def test_a_record_of_another_subject_is_warned_of(lab: Any, serve: Any) -> None:
    event = run_one(lab, "metadata_subject_fetch", serve(answer(200, {"subject_id": "7"})))
    assert event.ok
    assert event.warnings == ("The record is of the subject 7, not of 614173.",)


@pytest.mark.parametrize(
    ("body", "file"), [(b'{"subject_id": 614173}', "subject.json"), (b"invalid!", "subject.txt")]
)
def test_a_record_that_the_service_calls_invalid_is_kept_with_a_warning(
    lab: Any, serve: Any, body: bytes, file: str
) -> None:
    event = run_one(lab, "metadata_subject_fetch", serve(answer(400, body)))
    assert (event.ok, event.files) == (True, (file,))
    assert (lab.folder.path / file).read_bytes() == body
    assert "HTTP 400" in event.warnings[0]


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (silent, "within 0.3 s"),
        (dripping, "within 0.3 s"),
        (cut_off, "broke off"),
        (reset, ""),  # which of the two the system says differs
        (b"", "broke off"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "broke off"),
        (b"\x00\xff" * 50, "broke off"),
        (answer(500, b"oh no"), "cannot answer now (HTTP 500)"),
        (answer(503), "cannot answer now (HTTP 503)"),
        (answer(429), "cannot answer now (HTTP 429)"),
    ],
)
def test_a_service_that_is_away_is_asked_later(
    lab: Any, serve: Any, behaviour: Any, words: str
) -> None:
    def behave(_: str) -> Any:
        return behaviour

    began = time.monotonic()
    event = run_one(lab, "metadata_subject_fetch", serve(behave), metadata_service_timeout=0.3)
    assert event.pending
    assert words in event.message
    assert event.message.startswith("The metadata service 127.0.0.1")
    assert time.monotonic() - began < 5
    assert not (lab.folder.path / "subject.json").exists()


def test_nobody_listens(lab: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    event = run_one(lab, "metadata_subject_fetch", f"http://127.0.0.1:{port}")
    assert (event.pending, "cannot be reached" in event.message) == (True, True)
    event = run_one(lab, "metadata_subject_fetch", "http://no-such-host.invalid")
    assert event.pending


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (answer(404), "HTTP 404: it does not know this"),
        (answer(403, b"https://ada:pw@host/"), "HTTP 403: https://***@host/"),
        (answer(400), "HTTP 400"),
        (answer(200, b"<html>a proxy's page</html>"), "no JSON"),
        (answer(200, b'{"a": NaN}'), "no JSON"),
        (answer(200, b"[" * 100_000), "no JSON"),
        (answer(200), "no JSON"),
    ],
)
def test_what_the_service_refuses_is_a_failure(
    lab: Any, serve: Any, behaviour: bytes, words: str
) -> None:
    event = run_one(lab, "metadata_subject_fetch", serve(behaviour))
    assert is_failed(event)
    assert words in event.message
    assert not (lab.folder.path / "subject.json").exists()


def test_a_flood_is_cut(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LARGEST_BODY", 5_000_000)
    server = serve(lambda _: flood)
    said = service.get(f"{server.url}/api", 30)
    assert (said.kind, "sent more than" in said.message) == ("refused", True)


def test_a_redirect_is_followed_and_a_circle_is_not(lab: Any, serve: Any) -> None:
    server = serve(
        lambda path: (
            answer(302, Location=f"{server.url}/there") if "api" in path else answer(200, SUBJECT)
        )
    )
    assert run_one(lab, "metadata_subject_fetch", server).ok
    around = serve(lambda _: answer(302, Location=f"{around.url}/again"))
    assert is_failed(run_one(lab, "metadata_subject_fetch", around))
    away = serve(lambda _: answer(302, Location="file:///etc/passwd"))
    assert is_failed(run_one(lab, "metadata_subject_fetch", away))


def test_procedures_have_a_time_limit_of_their_own(lab: Any, serve: Any) -> None:
    server = serve(lambda _: silent)
    event = run_one(lab, "metadata_procedures_fetch", server, metadata_procedures_timeout=0.2)
    assert (event.pending, "0.2 s" in event.message) == (True, True)


def test_a_rehearsal_asks_nobody(lab: Any, serve: Any) -> None:
    server = serve(answer(200, SUBJECT))
    for step in (
        "metadata_subject_fetch",
        "metadata_procedures_fetch",
        "metadata_project_validator",
    ):
        event = run_one(lab, step, server, rehearsal=True, metadata_project_name="OpenScope")
        assert event.ok
        assert server.url in event.message
    assert server.asked == []


class TestProject:
    @pytest.mark.parametrize("body", [PROJECTS, {"message": "ok", "data": PROJECTS}])
    def test_a_known_one_is_written(self, lab: Any, serve: Any, body: Any) -> None:
        server = serve(answer(200, body))
        event = run_one(
            lab,
            "metadata_project_validator",
            server,
            metadata_project_name="OpenScope",
            protocol_id=[2450, "10.17504/protocols.io.x"],
        )
        assert (event.ok, server.asked) == (True, ["/api/v2/project_names"])
        assert json.loads((lab.folder.path / "project.json").read_bytes()) == {
            "project_name": "OpenScope",
            "protocol_id": ["2450", "10.17504/protocols.io.x"],
            "validated": True,
        }

    def test_an_unknown_one_names_the_nearest(self, lab: Any, serve: Any) -> None:
        event = run_one(
            lab,
            "metadata_project_validator",
            serve(answer(200, PROJECTS)),
            metadata_project_name="Openscope",
        )
        assert is_failed(event)
        assert "Did you mean 'OpenScope'?" in event.message
        assert not (lab.folder.path / "project.json").exists()

    @pytest.mark.parametrize(("protocol", "written"), [(2450, ["2450"]), (None, []), (" ", [])])
    def test_one_that_cannot_be_looked_up_is_written_all_the_same(
        self, lab: Any, serve: Any, protocol: Any, written: list[str]
    ) -> None:
        event = run_one(
            lab,
            "metadata_project_validator",
            serve(answer(503)),
            metadata_project_name="OpenScope",
            protocol_id=protocol,
        )
        assert (event.pending, event.files) == (True, ("project.json",))
        kept = json.loads((lab.folder.path / "project.json").read_bytes())
        assert kept == {"project_name": "OpenScope", "protocol_id": written, "validated": False}

    def test_none(self, lab: Any, serve: Any) -> None:
        event = run_one(lab, "metadata_project_validator", serve(answer(200, PROJECTS)))
        assert (is_failed(event), "metadata_project_name" in event.message) == (True, True)


@pytest.mark.parametrize(
    ("protocol", "outcome", "words"),
    [
        (2450, "ok", "Protocol 2450."),
        ("2450", "ok", "Protocol 2450."),
        (["2450", 2451], "ok", "Protocol 2450, 2451."),
        ("https://dx.doi.org/10.17504/protocols.io.kqdg392o7g25/v2", "ok", "Protocol https"),
        ([2450, "2450"], "ok", "Protocol 2450."),
        (None, "failed", "give protocol_id"),
        ([], "failed", "give protocol_id"),
        ("oddball", "failed", "neither a number nor a DOI"),
    ],
)
def test_protocols(lab: Any, protocol: Any, outcome: str, words: str) -> None:
    result = lab.here("metadata_protocol_validator", protocol_id=protocol)
    assert (result.ok, words in result.message) == (outcome == "ok", True)


def test_a_pending_step_and_a_warning_reach_the_journal(lab: Any, serve: Any) -> None:
    server = serve(lambda path: answer(400, b"{}") if "subject" in path else answer(503))
    steps, session = lab.plan(
        "metadata_subject_fetch",
        "metadata_procedures_fetch",
        {"module_path": "metadata_project_validator", "on_failure": "abort"},
        phase="before",
        metadata_service_base_url=server.url,
        metadata_project_name="x",
    )
    events = run_steps(steps, session, lab.journal)
    assert [event.outcome for event in events] == ["ok", "pending", "pending"]
    record = read_record(lab.folder.journal)
    assert record.pending_steps() == ["metadata_procedures_fetch", "metadata_project_validator"]
    (warning,) = record.findings
    assert (warning["level"], warning["code"]) == ("warning", "step-warning")
    assert "HTTP 400" in warning["message"]
    assert warning["where"] == "pre_acquisition_pipeline[0]: metadata_subject_fetch"


def test_an_address_that_is_none_is_refused_by_the_check(lab: Any) -> None:
    from openscope_experimental_launcher.engines import FolderSource
    from openscope_experimental_launcher.steps.pipeline import check_steps

    for url in ("file:///etc/passwd", "metadata-service", "ftp://x/"):
        parameters = lab.parameters(
            pre_acquisition_pipeline=["metadata_subject_fetch"], metadata_service_base_url=url
        )
        (finding,) = check_steps(parameters, FolderSource(lab.repository))
        assert finding.level == "error"
        assert "http://" in finding.message
