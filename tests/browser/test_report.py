"""The report in a real browser: by keyboard, to a screen reader, on paper, narrow, light, dark."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.report import make_report
from report.conftest import failed, good, past  # noqa: F401 - fixtures
from report.test_report import hostile_session

Visit = Callable[..., Any]

_CONTRAST = """() => {
  const parts = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => {
      v /= 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const said = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!said || element.closest("svg, script, style") || !element.offsetParent) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([ratio, element.tagName + "." + element.className]);
  }
  return found.sort((a, b) => a[0] - b[0])[0];
}"""


@pytest.fixture
def incident(good: Callable[..., Path], failed: Callable[..., Path]) -> Path:  # noqa: F811
    """The report of a session that failed, with a good one and a like one before it."""
    good(0)
    failed(1)
    changed = {"script_parameters": {"reward": 30, "trials": 400}}
    return make_report(failed(2, parameters=changed))


def test_a_screen_reader_finds_its_way(incident: Path, visit: Visit) -> None:
    page = visit(incident)
    for landmark in ("banner", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1
    contents = page.get_by_role("navigation", name="Contents")
    for link in contents.get_by_role("link").all():
        target = page.locator(str(link.get_attribute("href")))
        assert target.get_attribute("aria-labelledby"), "a section with a name"
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for table in page.locator("table:not(.u-legend)").all():
        assert str(table.locator("caption").text_content()).strip()
        assert table.locator("th[scope=col]").count() >= 2
    tree = page.locator("body").aria_snapshot()
    for words in (
        'heading "614173_2026-11-05_09-08-07" [level=1]',
        'region "What went wrong"',
        'table "Output, events and samples; seconds from the end of the acquisition"',
        'img "The stages in proportion: checks',
        'group "Zoom the plots"',
    ):
        assert words in tree
    assert "- img\n" not in tree, "a picture without words"


def test_everything_is_reached_with_the_keyboard(incident: Path, visit: Visit) -> None:
    page = visit(incident)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"

    plots = page.locator("#plots .plots")
    whole = plots.get_attribute("data-shown")
    zoom = page.locator("#plots").get_by_role("button", name="Zoom in")
    zoom.focus()
    page.keyboard.press("Enter")
    begin, end = map(float, plots.get_attribute("data-shown").split())
    assert (begin, end) == (pytest.approx(22.2, abs=0.2), pytest.approx(66.8, abs=0.2))
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert float(plots.get_attribute("data-shown").split()[0]) < begin, "earlier"
    page.locator("#plots").get_by_role("button", name="Whole").press("Enter")
    assert plots.get_attribute("data-shown") == whole

    for box in page.locator(".scroll").all():
        assert box.get_attribute("tabindex") == "0", "it can be scrolled without a mouse"


def test_a_plot_is_zoomed_by_dragging_and_all_follow(incident: Path, visit: Visit) -> None:
    page = visit(incident)
    plots = page.locator("#plots .plots")
    whole = plots.get_attribute("data-shown")
    over = plots.locator(".u-over").first
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50, steps=5)
    page.mouse.up()
    begin, end = map(float, plots.get_attribute("data-shown").split())
    assert end - begin == pytest.approx(89 / 4, abs=3)
    over.dblclick()
    assert plots.get_attribute("data-shown") == whole


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [320, 1280])
def test_it_is_legible_light_and_dark_wide_and_narrow(
    incident: Path, visit: Visit, dark: bool, width: int
) -> None:
    page = visit(incident, dark=dark, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ratio, where = page.evaluate(_CONTRAST)
    assert ratio >= 4.5, where


def test_the_last_minute_is_shown_from_its_end(incident: Path, visit: Visit) -> None:
    box = visit(incident).get_by_role("region", name="The last minute")
    top, height, shown = box.evaluate("b => [b.scrollTop, b.scrollHeight, b.clientHeight]")
    assert top + shown == pytest.approx(height, abs=2)
    assert height > shown


def test_paper_has_the_drawings_and_all_rows(incident: Path, visit: Visit, tmp_path: Path) -> None:
    page = visit(incident, dark=True)
    page.emulate_media(media="print")
    assert not page.locator(".stage").first.is_visible()
    assert page.locator("#plots .drawing svg").first.bounding_box()["width"] > 200
    assert not page.get_by_role("button").first.is_visible()
    cut = "all => all.filter(b => b.scrollHeight > b.clientHeight + 1).length"
    assert page.locator(".scroll").evaluate_all(cut) == 0
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_scripts_everything_is_there(incident: Path, visit: Visit) -> None:
    page = visit(incident, java_script_enabled=False)
    assert page.locator("#plots .drawing svg").first.is_visible()
    assert not page.get_by_role("button").first.is_visible()


def test_nothing_that_a_session_says_acts_on_the_page(
    past: Callable[..., Any],  # noqa: F811
    visit: Visit,
) -> None:
    file = make_report(hostile_session(past))
    page = visit(file)
    assert page.title().startswith("failed: 614173_")
    assert page.requests == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    assert page.locator("img, iframe, object").count() == 0
