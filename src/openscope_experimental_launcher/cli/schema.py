"""`openscope schema`: the JSON Schema of parameter files."""

from __future__ import annotations

import json
import sys


def schema() -> None:
    """Print the JSON Schema of parameter files, for editors that complete and check them.

    Example: openscope schema > openscope.schema.json, then "$schema": "openscope.schema.json".
    """
    from ..parameters.model import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
