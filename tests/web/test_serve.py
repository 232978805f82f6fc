"""`openscope serve` as a person starts it: what it says, what it refuses, how it ends."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from report.conftest import Past
from web.serving import COMMAND, Running, Served, wait_for

Serve = Callable[..., Served]
Begin = Callable[..., Running]
Openscope = Callable[..., "subprocess.CompletedProcess[str]"]


def test_it_says_where_the_page_is_and_ends_at_once(serve: Serve, running: Begin) -> None:
    running()
    served = serve().sign_in()
    assert f"http://127.0.0.1:{served.port}/?token=" in served.address
    pages = [served.messages() for _ in range(5)]
    for page in pages:
        next(page)
    began = time.monotonic()
    assert served.end() == 0
    assert time.monotonic() - began < 5
    wait_for(lambda: "The page is closed; sessions go on." in "".join(served.said))
    assert "Traceback" not in "".join(served.said)


def test_help_teaches(openscope: Openscope) -> None:
    said = openscope("serve", "--help").stdout
    for words in ("openscope serve --open", "--read-only", "--certificate", "key", "D:/sessions"):
        assert words in said
    assert "serve" in openscope("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "Give --certificate FILE and --key FILE, or say --unencrypted"),
        (["--host", "192.0.2.1", "--unencrypted"], "This machine has no such address"),
        (["--host", "no such name", "--unencrypted"], "This machine has no such address"),
        (["no such folder"], "This folder is not there."),
        (["--certificate", "nothing.pem"], "The certificate or its key cannot be used"),
        (["--port", "70000"], "This is no port."),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_what_cannot_be_is_said_in_plain_words(
    openscope: Openscope, workplace: Path, arguments: list[str], words: str
) -> None:
    done = openscope("serve", "--port", "0", *arguments)
    assert done.returncode == 1 and words in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


def test_a_port_that_is_taken_is_said(serve: Serve, openscope: Openscope) -> None:
    served = serve()
    done = openscope("serve", "--port", str(served.port))
    assert done.returncode == 1 and "Another program listens on this port" in done.stderr
    assert f"--port {served.port + 1}" in done.stderr


def test_a_port_that_is_not_allowed_is_said() -> None:
    least = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not least.is_file() or int(least.read_text()) <= 80:
        pytest.skip("every account may listen on every port here")
    refused = ["setpriv", "--bounding-set=-net_bind_service"] if os.geteuid() == 0 else []
    if refused and not shutil.which("setpriv"):
        pytest.skip("root may listen on every port")
    done = subprocess.run([*refused, *COMMAND, "--port", "80"], capture_output=True, text=True)
    assert done.returncode == 1 and "may not listen on this port" in done.stderr


def test_without_the_extra_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    blocked = (
        "import sys, importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'uvicorn' else found(name, *a)\n"
        "sys.argv = ['openscope', 'serve']\n"
        "from openscope_experimental_launcher.cli import main; main()\n"
    )
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True)
    assert done.returncode == 1 and "[web]" in done.stderr and "uvicorn" in done.stderr


def test_the_browser_is_opened_with_a_key_that_opens_once(serve: Serve, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{asked}"\n')
    browser.chmod(0o755)
    served = serve("--open", BROWSER=str(browser))
    address = wait_for(lambda: asked.is_file() and asked.read_text().strip())
    assert served.token not in address
    path = address.partition(f":{served.port}")[2]
    assert served.ask(path)[0] == 303
    assert served.ask(path)[0] == 403


def test_with_a_certificate_other_machines_may_come(
    serve: Serve, tmp_path: Path, running: Begin
) -> None:
    certificate, key = tmp_path / "rig.pem", tmp_path / "rig.key"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=rig", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        capture_output=True,
        check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip("no openssl here")
    served = serve("--host", "0.0.0.0", "--certificate", certificate, "--key", key)
    assert served.address.startswith(f"https://{socket.gethostname()}:")
    assert "Other machines can reach it." in "".join(served.said)
    context = ssl.create_default_context(cafile=certificate)
    address = f"https://127.0.0.1:{served.port}/?token={served.token}"
    cookies = urllib.request.HTTPCookieProcessor()
    client = urllib.request.build_opener(
        cookies, urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
    )
    with client.open(address) as answer:
        assert answer.status == 200 and b"Sessions" in answer.read()
    (cookie,) = cookies.cookiejar
    assert cookie.secure
    with pytest.raises(OSError):  # nobody gets the key in the clear
        served.ask("/")


def test_on_a_trusted_network_it_goes_without_encryption_but_never_without_the_key(
    serve: Serve,
) -> None:
    served = serve("--host", "0.0.0.0", "--unencrypted")
    assert served.ask("/")[0] == 401
    assert served.ask("/", Host=f"{socket.gethostname()}:{served.port}")[0] == 401
    assert served.ask("/", Host=f"10.1.2.3:{served.port}")[0] == 401
    assert served.ask("/", Host="rebound.example.org")[0] == 403


def test_sessions_of_another_account_are_shown_and_left_alone(
    serve: Serve, running: Begin, tmp_path: Path
) -> None:
    root = tmp_path / "share"
    root.mkdir()
    served = serve(root).sign_in()
    folder = Past(root, host="OTHER-PC").started().sampled(5).written()
    seen = wait_for(lambda: [s for s in served.sessions() if s["path"] == str(folder)], every_s=0.3)
    assert seen[0]["state"] == "elsewhere" and not any(seen[0]["acts"].values())
    assert seen[0]["computer"] == "OTHER-PC"
    for act in ("note", "stop", "recover"):
        status, said = served.post(f"/api/sessions/{seen[0]['id']}/{act}", {"text": "x"})
        assert status == 409 and said["code"] == "session-not-so"
