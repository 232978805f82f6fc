"""List the steps that are installed, with their parameters and defaults.

example:
  openscope steps disk_space_check
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import StepError

if TYPE_CHECKING:
    from ..steps import Step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `openscope steps`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these steps")


def main(args: argparse.Namespace) -> int:
    """Carry it out."""
    from ..steps import get_step, step_names

    lines: list[str] = []
    for name in args.names or step_names():
        try:
            step = get_step(name)
        except StepError as error:
            if args.names:
                raise
            lines += [name, f"  ! {error.message}"]  # one broken package hides no other
        else:
            lines += [f"{name}{_kind(step)}", *_lines(step)]
    sys.stdout.write("\n".join([*lines, ""]))
    return 0


def _kind(step: Step) -> str:
    kinds = [
        "needs a person" if step.interactive else "",
        "runs last" if getattr(step, "after_seal", False) else "",
    ]
    words = ", ".join(filter(None, kinds))
    return f"  ({words})" if words else ""


def _lines(step: Step) -> Iterator[str]:
    yield f"  {(inspect.getdoc(type(step)) or '').partition(chr(10) * 2)[0]}".replace("\n", " ")
    for name, field in step.parameters_model.model_fields.items():
        default = "required" if field.is_required() else _text(field.get_default())
        yield f"    {name} = {default}  {field.description or ''}".rstrip()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
