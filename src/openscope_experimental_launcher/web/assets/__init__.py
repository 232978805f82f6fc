"""The files that a browser gets: the page's own, and what it shares with the report."""

from __future__ import annotations

from importlib.resources import files

_OWN = files(__package__)
_SHARED = files("openscope_experimental_launcher.report") / "assets"

SERVED = {
    "live.css": "text/css",
    "live.js": "text/javascript",
    "card.js": "text/javascript",
    "charts.js": "text/javascript",
    "history.js": "text/javascript",
    "asking.js": "text/javascript",
    "dom.js": "text/javascript",
    "words.js": "text/javascript",
    "sign-in.js": "text/javascript",
    "palette.css": "text/css",
    "uPlot.min.css": "text/css",
    "uPlot.iife.min.js": "text/javascript",
    "plotting.js": "text/javascript",
    "uPlot.LICENSE": "text/plain",
}
"""What can be asked for by its name, and what it is."""


def asset(name: str) -> str:
    """One of the packaged files."""
    own = _OWN / name
    return (own if own.is_file() else _SHARED / name).read_text(encoding="utf-8")
