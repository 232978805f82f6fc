"""The browser that the other tests rely on tells what they would not see otherwise."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_a_page_is_opened_without_a_network_and_its_requests_are_known(
    tmp_path: Path, visit: Callable[..., Any]
) -> None:
    file = tmp_path / "größe 1.html"
    with socket.create_server(("127.0.0.1", 0)) as server:
        image = f"http://127.0.0.1:{server.getsockname()[1]}/x.png"
        page_of_it = f"<meta charset=utf-8><h1>Größe</h1><img src='{image}'>"
        file.write_text(page_of_it, encoding="utf-8")
        page = visit(file, dark=True, width=390)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            server.accept()
    assert page.inner_text("h1") == "Größe"
    assert page.requests == [file.as_uri(), image]
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
