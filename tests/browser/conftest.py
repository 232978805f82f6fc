"""A real browser for what people see: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from web.conftest import running, serve  # noqa: F401 - fixtures of the live page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium with a profile of its own; without one the tests are skipped."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    if sys.platform == "win32":
        pytest.skip("the browser tests are run on Linux")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open a page in a new window, without a network unless one is asked for.

    `visit(address, online=True, dark=True, width=390, height=844, **more)`: the address is a URL
    or the path of a file; `more` goes to Playwright's `new_context`. `page.requests` has the URL
    of every request that the page made. An uncaught error of the page's scripts, or something that
    its content security policy had to stop, fails the test at its end.
    """
    contexts, problems = [], []

    def open_page(
        address: str | Path,
        *,
        online: bool = False,
        dark: bool = False,
        width: int = 1280,
        height: int = 900,
        **more: Any,
    ) -> Page:
        context = browser.new_context(
            offline=not online,
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": height},
            **more,
        )
        contexts.append(context)
        page = context.new_page()
        page.requests = []  # type: ignore[attr-defined]
        page.on("request", lambda request: page.requests.append(request.url))  # type: ignore[attr-defined]
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.extend(_refused(message.text)))
        page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def _refused(said: str) -> list[str]:
    return [said] if "Content Security Policy" in said else []
