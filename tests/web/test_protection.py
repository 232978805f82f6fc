"""Nobody but the person who started it sees the page or acts on it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from web.serving import Running, Served, wait_for

Serve = Callable[..., Served]
Begin = Callable[..., Running]

EVERYTHING = ("/", "/api/events", "/api/history", "/api/sessions/0123456789abcdef", "/reports/a/b/")


@pytest.fixture(scope="module", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One state for all tests here, since one page serves them."""
    state = tmp_path_factory.mktemp("home") / "state"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENSCOPE_STATE_DIRECTORY", str(state))
        yield state


@pytest.fixture(scope="module")
def served(own_state: Path) -> Iterator[Served]:
    served = Served().sign_in()
    yield served
    served.kill()


def notes(own_state: Path) -> list[str]:
    """The texts of all notes that were left and are not taken in."""
    files = sorted((own_state / "notes").glob("*.json"))
    return [json.loads(file.read_bytes())["text"] for file in files]


# -- who may see it --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", EVERYTHING)
def test_without_the_cookie_nothing_is_shown(served: Served, path: str) -> None:
    status, _, body = served.ask(path)
    assert status == 401 and "key is missing" in json.loads(body)["message"]
    assert served.ask(path, Cookie=f"{served.cookie}x")[0] == 401
    assert served.ask(path, Cookie=served.cookie.partition("=")[0] + "=")[0] == 401


def test_a_browser_without_the_cookie_is_told_what_to_do(served: Served) -> None:
    status, headers, body = served.ask("/", Accept="text/html,*/*")
    assert status == 401 and "openscope serve" in body.decode()
    assert headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("key", ["", "wrong", "ü", "%00", "'\"<script>"])
def test_a_wrong_key_opens_nothing(served: Served, key: str) -> None:
    status, headers, body = served.ask(f"/?token={quote(key)}")
    assert status == 403 and "set-cookie" not in headers
    assert b"<script>alert" not in body and served.token.encode() not in body


def test_the_key_is_exchanged_for_a_cookie_that_no_script_and_no_other_site_can_use(
    served: Served,
) -> None:
    status, headers, _ = served.ask(f"/?token={served.token}")
    assert status == 303 and headers["location"] == "/"
    cookie = headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert served.token.lower() not in cookie
    # A path that looks like another machine leads there as little.
    assert served.ask(f"//example.org/?token={served.token}")[1]["location"] == "/"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.org",
        "rebound.example.org:{port}",
        "127.0.0.1.example.org:{port}",
        "localhost.example.org",
        "10.0.0.1:{port}",
        "[::2]:{port}",
        "127.0.0.1@example.org",
    ],
)
def test_a_foreign_name_leads_to_nothing(served: Served, host: str) -> None:
    for path in ("/", f"/?token={served.token}", "/assets/live.js", "/api/history"):
        named = host.format(port=served.port)
        status, headers, body = served.ask(path, Host=named, Cookie=served.cookie)
        assert status in (400, 403) and "set-cookie" not in headers
        assert served.word.encode() not in body


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1", "LOCALHOST", "[::1]:9999"])
def test_its_own_names_are_known_also_behind_a_tunnel(served: Served, host: str) -> None:
    named = host.format(port=served.port)
    assert served.ask("/", Host=named, Cookie=served.cookie)[0] == 200


def test_it_listens_on_this_machine_only(served: Served) -> None:
    for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None)}:
        if str(address).startswith(("127.", "::1")):
            continue
        with pytest.raises(OSError):
            socket.create_connection((address, served.port), timeout=2).close()


def test_every_answer_keeps_the_browser_strict(served: Served) -> None:
    for path in ("/", "/assets/live.js", "/api/history", "/nothing", "/?token=wrong"):
        headers = served.ask(path, Cookie=served.cookie)[1]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


# -- who may act -----------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["note", "stop", "recover"])
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"Origin": ""}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://example.org"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),  # another port: another program
        ({"Origin": "https://127.0.0.1:{port}"}, 403),
        ({"Origin": "http://127.0.0.1:{port}.example.org"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"X_OpenScope_Word": ""}, 403),
        ({"X_OpenScope_Word": "wrong"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Cookie": ""}, 401),
        ({"Host": "example.org:{port}", "Origin": "http://example.org:{port}"}, 403),
    ],
)
def test_nothing_is_done_for_another_page(
    served: Served,
    running: Begin,
    act: str,
    changed: dict[str, str],
    expected: int,
    own_state: Path,
) -> None:
    session = running()
    number = served.session(session.folder)["id"]
    headers = {name: value.format(port=served.port) for name, value in changed.items()}
    status, said = served.post(f"/api/sessions/{number}/{act}", {"text": "bad"}, **headers)
    assert status == expected and said["message"]
    assert "bad" not in notes(own_state)


@pytest.mark.parametrize("act", ["note", "stop", "recover"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_a_post_acts(
    served: Served, running: Begin, act: str, method: str, own_state: Path
) -> None:
    number = served.session(running().folder)["id"]
    status, headers, _ = served.ask(
        f"/api/sessions/{number}/{act}?text=bad",
        method,
        Cookie=served.cookie,
        Origin=f"http://127.0.0.1:{served.port}",
        X_OpenScope_Word=served.word,
        Content_Type="application/json",
    )
    assert status == 405
    assert "access-control-allow-methods" not in headers
    assert "bad" not in notes(own_state)


def test_what_is_asked_for_properly_is_done(
    served: Served, running: Begin, own_state: Path
) -> None:
    number = served.session(running().folder)["id"]
    assert served.post(f"/api/sessions/{number}/note", {"text": "done"}) == (200, {})
    assert notes(own_state) == ["done"]


def test_a_page_to_look_at_changes_nothing(serve: Serve, running: Begin, own_state: Path) -> None:
    served = serve("--read-only").sign_in()
    assert next(served.messages())["read_only"] is True
    number = served.session(running().folder)["id"]
    for act in ("note", "stop", "recover"):
        status, said = served.post(f"/api/sessions/{number}/{act}", {"text": "bad"})
        assert status == 403 and "--read-only" in said["message"]
    assert "bad" not in notes(own_state)


# -- what can be sent ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"\xff\xfe", 400),
        (b"[" * 60_000, 400),
        (b'{"text": "' + b"x" * 70_000 + b'"}', 413),
        (b'{"text": ""}', 409),
        (b'{"text": "   "}', 409),
    ],
)
def test_what_cannot_be_understood_is_said_so(
    served: Served, running: Begin, body: bytes, expected: int
) -> None:
    number = served.session(running().folder)["id"]
    status, said = served.post(f"/api/sessions/{number}/note", body)
    assert status == expected and said["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/assets/../app.py",
        "/assets/..%2fapp.py",
        "/assets/%2e%2e/%2e%2e/cli/app.py",
        "/assets/....//app.py",
        "/assets/live.js%00.png",
        "/assets/",
        "/assets/__init__.py",
        "/reports/../../etc/passwd",
        "/reports/{root}/../{name}/report.html",
        "/reports/{root}/..%2f{name}/report.html",
        "/reports/{root}/%2e%2e/report.html",
        "/reports/{root}/./report.html",
        "/reports/{root}/secret/report.html",
        "/reports/{root}/link/report.html",
        "/reports/{root}/{name}/journal.jsonl",
        "/reports/{root}/{name}%00/report.html",
        "/reports/0000000000000000/{name}/report.html",
        "/api/sessions/..%2f..%2f",
    ],
)
def test_no_path_leads_out(served: Served, running: Begin, path: str, tmp_path: Path) -> None:
    session = running()
    root = served.session(session.folder)["report"].split("/")[2]
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("journal.jsonl", "report.html", "manifest.json"):
        (outside / name).write_text("TOP SECRET")
    (session.folder.parent / "link").symlink_to(outside, target_is_directory=True)
    (session.folder.parent / "report.html").write_text("TOP SECRET")
    (session.folder.parent / "journal.jsonl").write_text("TOP SECRET")
    asked = path.format(root=root, name=session.folder.name)
    status, _, body = served.ask(asked, Cookie=served.cookie)
    assert status in (404, 405) and b"SECRET" not in body and b"root:" not in body


def test_a_report_that_is_a_link_to_elsewhere_is_not_followed(
    served: Served, running: Begin, tmp_path: Path
) -> None:
    session = running()
    (tmp_path / "secret").write_text("TOP SECRET")
    (session.folder / "manifest.json").write_text("{}")
    (session.folder / "report.html").symlink_to(tmp_path / "secret")
    address = served.session(session.folder)["report"]
    status, headers, body = served.ask(address, Cookie=served.cookie)
    assert status == 200 and b"SECRET" not in body and session.folder.name.encode() in body
    assert "sandbox" in headers["content-security-policy"]


def test_a_report_is_shown_as_if_from_nowhere(served: Served, running: Begin) -> None:
    session = running()
    (session.folder / "manifest.json").write_text("{}")
    (session.folder / "report.html").write_text("<script>fetch('/api/history')</script>")
    address = served.session(session.folder)["report"]
    status, headers, body = served.ask(address, Cookie=served.cookie)
    policy = headers["content-security-policy"]
    assert status == 200 and b"fetch" in body
    assert "sandbox allow-scripts" in policy and "allow-same-origin" not in policy
    assert "default-src 'none'" in policy and "connect-src" not in policy


def test_the_key_is_nowhere_but_in_what_was_printed(
    serve: Serve, running: Begin, own_state: Path
) -> None:
    served = serve().sign_in()
    running()
    for path in (f"/?token={served.token}", f"/nothing?token={served.token}x", "/api/history"):
        served.ask(path, Cookie=served.cookie)
    served.ask("/bad%zz", Cookie=served.cookie)
    with socket.create_connection(("127.0.0.1", served.port)) as line:
        line.sendall(f"GET /?token={served.token} nonsense\r\n\r\n".encode())
        line.recv(1000)
    assert served.end() == 0
    wait_for(lambda: "The page is closed" in "".join(served.said))
    assert "".join(served.said).count(served.token) == 1
    written = [file for file in own_state.rglob("*") if file.is_file()]
    assert written and not [f for f in written if served.token.encode() in f.read_bytes()]
