"""Keeping secrets out of everything that is shown or stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_URL_CREDENTIALS = re.compile(
    r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}://)(?P<userinfo>[^/\s'\"]{1,1000})@"
)
_SECRET_NAME = re.compile(
    r"(?i)(passw(or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key"
    r"|credential|authorization)"
)
_ASSIGNED = re.compile(
    r"(?i)(?<![\w-])(?=[\w-]*?(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key"
    r"|access[_-]?key|credential))(?P<name>[\w-]++)(?P<sep>\s{0,8}[=:]\s{0,8})(?P<value>[^\s&,;]+)"
)
_TOKEN_SHAPES = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16})"
    r"|(?<![\w-])eyJ[\w-]{10,}+\.[\w-]{10,}+\.[\w-]{5,}"
)
_QUOTED = re.compile(
    r"""(?P<quote>["'])(?P<name>[\w-]{1,64})(?P=quote)\s{0,8}:\s{0,8}"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
)
_AUTHORIZATION = re.compile(
    r"""(?i)(?P<name>\bauthorization["']?\s{0,8}[:=]\s{0,8}["']?(?:basic|bearer|token)?\s{0,8}"""
    r"""|\bbearer\s)(?P<value>[\w.+/=~-]{8,})"""
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z ]{0,30})PRIVATE KEY-----"
    r".*?(?:-----END (?P=kind)PRIVATE KEY-----|\Z)",
    re.DOTALL,
)


def is_secret_name(name: str) -> bool:
    """Whether a key or variable of this name holds a secret by its name (`api_token`, …)."""
    return not name.endswith(("_file", "_path")) and bool(_SECRET_NAME.search(name))


def mask_text(text: str) -> str:
    """`text` with credentials in URLs and values shaped like tokens replaced by `***`."""
    text = _URL_CREDENTIALS.sub(lambda m: f"{m['scheme']}{MASK}@", text)
    return _TOKEN_SHAPES.sub(MASK, text)


def mask_arguments(arguments: list[str]) -> list[str]:
    """A command line with secrets masked, those given as `--token VALUE` or `token=VALUE` too."""
    masked: list[str] = []
    hide_next = False
    for argument in arguments:
        if hide_next and not argument.startswith("-"):
            masked.append(MASK)
            hide_next = False
            continue
        hide_next = argument.startswith("-") and "=" not in argument and is_secret_name(argument)
        masked.append(mask_text(_ASSIGNED.sub(_mask_assigned, argument)))
    return masked


def _mask_assigned(match: re.Match[str]) -> str:
    if not is_secret_name(match["name"]):
        return match[0]
    return f"{match['name']}{match['sep']}{MASK}"


def mask_values(value: Any, name: str = "") -> Any:
    """A JSON value with every secret in it masked, at any depth."""
    if isinstance(value, Mapping):
        return {key: mask_values(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mask_values(item, name) for item in value]
    if name and is_secret_name(name) and isinstance(value, str) and value:
        return MASK
    return mask_text(value) if isinstance(value, str) else value


def mask_log(text: str) -> str:
    """The text of a log or of somebody's file with all in it masked that looks like a secret:
    assignments (`password=…`, `"api_token": "…"`), authorizations, private keys, tokens."""
    text = _PRIVATE_KEY.sub(MASK, text)
    text = _QUOTED.sub(_mask_quoted, text)
    text = _AUTHORIZATION.sub(rf"\g<name>{MASK}", text)
    return mask_text(_ASSIGNED.sub(_mask_assigned, text))


def _mask_quoted(match: re.Match[str]) -> str:
    if not is_secret_name(match["name"]):
        return match[0]
    return match[0][: match.start("value") - match.start()] + f'"{MASK}"'
