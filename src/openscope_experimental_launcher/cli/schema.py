"""Print the JSON Schema of parameter files, for editors that complete and check them.

example:
  openscope schema > openscope.schema.json
  and in a parameter file: "$schema": "openscope.schema.json"
"""

from __future__ import annotations

import argparse
import json
import sys


def add_arguments(_: argparse.ArgumentParser) -> None:
    """There are no options."""


def main(_: argparse.Namespace) -> int:
    """Carry it out."""
    from ..parameters.model import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    return 0
