"""Fills the reference pages when the documentation is built: a hook of MkDocs.

Nothing in these tables is written by hand. `<!-- parameters FIRST … LAST -->` in a page becomes the
table of these parameters, in the order of the JSON Schema; `<!-- spellings -->` the keys with a
second spelling; `<!-- verbs -->` the command line, from its parsers.
"""

from __future__ import annotations

import argparse
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from openscope_experimental_launcher.cli.app import build_parser
from openscope_experimental_launcher.parameters.model import SPELLINGS, json_schema

_RANGE = re.compile(r"<!-- parameters (\S+) … (\S+) -->")
_SPELLINGS, _VERBS = "<!-- spellings -->", "<!-- verbs -->"
_EXAMPLES = re.compile(r"^examples?:\n", re.MULTILINE)
_WORD = re.compile(r'<code((?: id="[^"]*")?)>([^\s<]{1,40})</code>')
_LONG_S = 86400
_KINDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "array": "list",
    "object": "object",
}
_BOUNDS = {
    "exclusiveMinimum": "more than",
    "minimum": "at least",
    "exclusiveMaximum": "less than",
    "maximum": "at most",
}


def on_page_markdown(markdown: str, **_: object) -> str:
    """MkDocs calls this with the text of each page."""
    markdown = _RANGE.sub(lambda found: parameter_table(found[1], found[2]), markdown)
    if _SPELLINGS in markdown:
        markdown = markdown.replace(_SPELLINGS, spelling_table())
    if _VERBS in markdown:
        markdown = markdown.replace(_VERBS, "\n".join(verb_sections(build_parser())))
    return markdown


def on_page_content(html: str, **_: object) -> str:
    """MkDocs calls this with each page made: keys, options and codes stay in one piece."""
    return _WORD.sub(r'<code class="word"\1>\2</code>', html)


# -- parameters ------------------------------------------------------------------------------------


def parameter_table(first: str, last: str) -> str:
    """The parameters from `first` to `last`, in the order of the schema, and nothing left out.

    Raises:
        StopIteration, ValueError: one of them is no parameter: page and program disagree.
    """
    schema = json_schema()
    own = {key: about for key, about in schema["properties"].items() if key not in SPELLINGS}
    parts = [own, *(part.get("properties", {}) for part in schema.get("$defs", {}).values())]
    properties = next(part for part in parts if first in part)
    names = list(properties)
    chosen = names[names.index(first) : names.index(last) + 1]
    rows = [parameter_row(name, properties[name]) for name in chosen]
    return "\n".join(["| Key | Meaning | Value | Default |", "|---|---|---|---|", *rows])


def parameter_row(name: str, about: Mapping[str, Any]) -> str:
    """One parameter as a row; `{#key}` lets other pages link to it."""
    default = f"`{json.dumps(about['default'])}`" if "default" in about else ""
    key = f"`{name}`{{ #{name.strip('$')} }}"
    cells = [key, about.get("description", ""), value(name, about), default]
    return f"| {' | '.join(map(cell, cells))} |"


def value(name: str, about: Mapping[str, Any]) -> str:
    """What may stand there, in words: `number, more than 0`."""
    kinds: list[str] = []
    limits: list[str] = []
    for part in [about, *about.get("anyOf", [])]:
        named = part.get("type", [])
        kinds += [named] if isinstance(named, str) else named
        if "enum" in part:
            return " or ".join(f"`{choice}`" for choice in part["enum"])
        limits += [
            f"{words} {limit(name, part[bound])}"
            for bound, words in _BOUNDS.items()
            if bound in part
        ]
    words = " or ".join(_KINDS[kind] for kind in kinds if kind != "null")
    return ", ".join([words, *limits])


def limit(name: str, number: float) -> str:
    """A limit as people say it: `30 days` for seconds without a use for more."""
    if name.endswith(("_s", "_sec")) and number >= _LONG_S:
        return f"{number / _LONG_S:g} days"
    return f"{number:g}"


def spelling_table() -> str:
    """The keys that have a second spelling."""
    rows = [f"| `{other}` | `{key}` |" for other, key in SPELLINGS.items()]
    return "\n".join(["| Other spelling | Key |", "|---|---|", *rows])


# -- the command line ------------------------------------------------------------------------------


def verb_sections(parser: argparse.ArgumentParser, depth: int = 2) -> Iterator[str]:
    """Each verb of a parser, with its verbs below it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from verb_section(verb, depth)
                yield from verb_sections(verb, depth + 1)


def verb_section(verb: argparse.ArgumentParser, depth: int) -> Iterator[str]:
    """One verb: what it is for, an example, what can be given."""
    yield f"\n{'#' * depth} {verb.prog}\n"
    words, *examples = _EXAMPLES.split(verb.description or "")
    yield html_safe(words.strip()) + "\n"
    yield _code(usage(verb))
    rows = [
        argument_row(verb, action)
        for action in verb._actions
        if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    if rows:
        yield "\n".join(["| Argument | |", "|---|---|", *rows]) + "\n"
    for example in examples:
        yield "For example:\n\n" + _code(textwrap.dedent(example))


def usage(verb: argparse.ArgumentParser) -> str:
    """How it is called, in lines that fit a page."""
    formatter = argparse.HelpFormatter(prog=verb.prog, width=78)
    formatter.add_usage(verb.usage, verb._actions, verb._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def argument_row(verb: argparse.ArgumentParser, action: argparse.Action) -> str:
    """One argument or option as a row."""
    formatter = verb._get_formatter()
    if action.option_strings:
        takes = formatter._format_args(action, (action.metavar or action.dest).__str__().upper())
        takes = takes if action.nargs != 0 else ""
        named = ", ".join(f"`{f'{name} {takes}'.strip()}`" for name in action.option_strings)
    else:
        named = f"`{action.metavar or action.dest}`"
    return f"| {cell(named)} | {cell(html_safe(action.help or ''))} |"


def _code(text: str) -> str:
    return f"```text\n{text.strip()}\n```\n"


def html_safe(text: str) -> str:
    """A text that is no markup."""
    return text.replace("<", "&lt;").replace("*", r"\*")


def cell(text: str) -> str:
    """A text in a cell of a table."""
    return text.replace("|", r"\|").replace("\n", " ")
