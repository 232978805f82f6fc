"""Show exactly what a session would do, and where each parameter comes from.

example:
  openscope plan oddball.json --json
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from . import planned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope plan`."""
    planned.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..display.screens import show_origins, show_plan
    from ..masking import mask_values
    from ..parameters.placeholders import show

    experiment, asked = planned.loaded(args)
    plan = experiment.make_plan()
    words = None if args.json else planned.ASKED
    shown = planned.shown(plan.as_json(), asked, words)
    if args.json:
        sys.stdout.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
        return 0
    show_plan(
        shown,
        free_bytes=None,
        more=_what_is_started(shown),
        warnings=[*experiment.parameter_warnings, *asked],
    )
    values = mask_values(plan.parameters.values())
    unknown_yet = {finding.where for finding in asked}
    show_origins(
        (key, show(json.dumps(values[key], ensure_ascii=False)), origin)
        for key, origin in plan.origins.items()
        if key not in unknown_yet and values.get(key) not in (None, [], {})
    )
    return 0


def _what_is_started(plan: Mapping[str, Any]) -> dict[str, str]:
    """Rows with the exact command line, as a shell of this system would be given it."""
    arguments = plan["arguments"]
    if not arguments:
        return {}
    join = subprocess.list2cmdline if sys.platform == "win32" else shlex.join
    return {"command": join(arguments), "started in": str(plan["working_directory"])}
