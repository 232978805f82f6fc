"""From what is known to one HTML file: everything in it, nothing fetched, texts never markup."""

from __future__ import annotations

import hashlib
import os
import shlex
from base64 import b64encode
from importlib.resources import files as package_files
from typing import Any
from urllib.parse import quote

from ..session.journal import iso_now
from . import contents, sections, timeline
from .incident import incident_of, told_findings
from .plots import HEIGHT, WIDTH, plots_of
from .reading import Story
from .siblings import Sibling, neighbours
from .words import LONG_TEXT, shown, when

_ASSETS = package_files(__package__) / "assets"


def page_of(story: Story) -> str:
    """The report on a session as HTML."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup, escape

    def visible(value: Any) -> Any:
        return value if isinstance(value, Markup) else shown(value)

    environment = Environment(
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["points"] = Markup  # digits, commas and blanks of our own
    environment.globals["long_text"] = lambda text: escape(shown(text, LONG_TEXT))
    script = "\n".join(map(_asset, ("uPlot.iife.min.js", "plotting.js", "report.js")))
    style = "\n".join(map(_asset, ("uPlot.min.css", "palette.css", "report.css")))
    template = environment.from_string(_asset("report.html.jinja"))
    return template.render(
        **context_of(story),
        script=Markup(script),  # noqa: S704 - of the package's own
        script_hash=_hash(script),
        style=Markup(style),  # noqa: S704
        style_hash=_hash(style),
    )


def context_of(story: Story) -> dict[str, Any]:
    """What the template is filled with."""
    state = sections.state_of(story)
    troubled = sections.is_incident(state)
    near = neighbours(story, incident=troubled)
    rows, rows_left_out = timeline.happenings(story)
    plots = plots_of(story)
    incident = incident_of(story, near) if troubled else None
    drawn = [*plots, *(incident.plots if incident else [])]
    return {
        "name": story.past.name,
        "path": str(story.folder.path),
        "bundle_command": f"openscope bundle {_quoted(str(story.folder.path))}",
        "to_send": contents.to_send(story.folder) if troubled else [],
        "state": state,
        "summary": sections.summary(story, state),
        "facts": sections.facts(story),
        "incident": incident,
        "stages": timeline.stages(story),
        "happenings": rows,
        "happenings_left_out": rows_left_out,
        "plots": plots,
        "plot_data": {plot.key: plot.data() for plot in drawn},
        "plane": (WIDTH, HEIGHT),
        "steps": sections.steps(story),
        "last": near.last,
        "parameters": sections.parameters(story, near.last),
        "changed_code": sections.changed_code(story, near.last),
        "files": contents.files(story.folder, story),
        "findings": told_findings(story),
        "warnings": sections.warnings(story),
        "notes": sections.notes(story),
        "output": sections.output(story),
        "machine": sections.machine(story),
        "unreadable": story.past.unreadable,
        "lines_passed_over": story.lines_passed_over,
        "last_seq": story.record.last_seq,
        "made_at": when(iso_now()),
        "report_of": _report_of,
    }


def _report_of(sibling: Sibling) -> str:
    """The address of another session's report, from the folder of this one."""
    return f"../{quote(sibling.name)}/{contents.REPORT_NAME}" if sibling.has_report else ""


def _quoted(path: str) -> str:
    return f'"{path}"' if os.name == "nt" else shlex.quote(path)


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """For the page's own policy: nothing but this very script and this very style is used."""
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
