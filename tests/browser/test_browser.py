"""The browser that the other tests rely on tells what they would not see otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_a_page_is_opened_without_a_network_and_its_requests_are_known(
    tmp_path: Path, visit: Callable[..., Any]
) -> None:
    file = tmp_path / "größe 1.html"
    file.write_text(
        "<meta charset=utf-8><h1>Größe</h1><img src='http://127.0.0.1:9/x.png'>", encoding="utf-8"
    )
    page = visit(file, dark=True, width=390)
    assert page.inner_text("h1") == "Größe"
    assert page.requests == [file.as_uri(), "http://127.0.0.1:9/x.png"]
    assert page.evaluate("navigator.onLine") is False
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
