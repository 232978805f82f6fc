"""Asking the metadata service, which may be slow, broken or away.

Standard library only: three kinds of GET need no more. It runs in a step's own process, so a
request that hangs is simply left behind.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BaseModel, Field

from ..errors import ParameterError, StepError
from ..masking import mask_text
from .fields import FROZEN

LARGEST_BODY = 64 * 1024 * 1024
_BLOCK = 65536
_TRY_LATER = (408, 425, 429, 500, 502, 503, 504)


def _check_address(url: str) -> str:
    parts = urlsplit(url.strip())
    if parts.scheme in ("http", "https") and parts.netloc:
        return url.strip().rstrip("/")
    raise ParameterError(
        "The address of the metadata service must begin with http:// or https://.",
        code="service-address-invalid",
        fix="Write it as in http://metadata.example.org",
    )


class ServiceParameters(BaseModel):
    """Parameters of all steps that ask the metadata service."""

    model_config = FROZEN

    metadata_service_base_url: Annotated[str, AfterValidator(_check_address)] = Field(
        default="http://aind-metadata-service", description="Address of the metadata service."
    )
    metadata_service_timeout: float = Field(
        default=30.0, gt=0, le=3600, description="Seconds to wait for an answer."
    )


class Answer(NamedTuple):
    """What came of asking.

    Attributes:
        kind: `found`; `kept`: the service calls its own record invalid (HTTP 400) and sent it all
            the same; `refused`: it has no such thing or will not give it; `away`: it could not be
            reached or could not answer now.
        message: that in words.
        body: the bytes of the record, for `found` and `kept`.
        value: the same as JSON; None when it is none.
    """

    kind: Literal["found", "kept", "refused", "away"]
    message: str
    body: bytes = b""
    value: Any = None


def address(base_url: str, *parts: str) -> str:
    """An address of the service; each part is quoted, so that an id cannot lead elsewhere."""
    return "/".join([base_url, *(quote(part, safe="") for part in parts)])


def is_on_service(named: str) -> bool:
    """Whether a parameter `…_path` names a place of the service (`/api/…`) instead of a file."""
    return named.replace("\\", "/").lstrip("/").startswith("api/")


def place_on_service(base_url: str, named: str) -> str:
    """The address of a place of the service that a parameter names."""
    return f"{base_url}/{quote(named.replace(chr(92), '/').strip('/'))}"


def get(url: str, timeout_s: float) -> Answer:
    """Ask for a record of the service.

    Args:
        url: its address.
        timeout_s: seconds that the whole of it may take.
    """
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(_ask(url, timeout_s)), daemon=True)
    asking.start()
    asking.join(timeout_s + 1)  # its own limit is on each wait for bytes, and says more
    if answers:
        return answers[0]
    return _away(url, f"gave no whole answer within {timeout_s:g} s")


def _ask(url: str, timeout_s: float) -> Answer:
    request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310 - http only
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310
            body = _whole(response, timeout_s)
            return _judge(url, response.status, body)
    except urllib.error.HTTPError as error:
        with error:
            return _judge_error(url, error, timeout_s)
    except TimeoutError:
        return _away(url, f"gave no answer within {timeout_s:g} s")
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            return _away(url, f"gave no answer within {timeout_s:g} s")
        return _away(url, f"cannot be reached: {error.reason}")
    except StepError as error:
        return Answer("refused", f"{_host(url)} {error.message}")
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _away(url, f"broke off: {type(error).__name__} {error}".rstrip())


def _judge_error(url: str, error: urllib.error.HTTPError, timeout_s: float) -> Answer:
    try:
        body = _whole(error, timeout_s)
    except (OSError, http.client.HTTPException, StepError):
        body = b""
    return _judge(url, error.code, body)


def _judge(url: str, status: int, body: bytes) -> Answer:
    value = _as_json(body)
    if status == 200 and value is None:
        return Answer("refused", f"{_host(url)} answered with something that is no JSON.")
    if status == 200:
        return Answer("found", "", body, value)
    if status == 400 and body.strip():
        words = f"{_host(url)} calls its own record invalid (HTTP 400); it was kept as it came."
        return Answer("kept", words, body, value)
    if status in _TRY_LATER:
        return _away(url, f"cannot answer now (HTTP {status})")
    return Answer("refused", f"{_host(url)} answered HTTP {status}: {_said(status, body)}")


def _said(status: int, body: bytes) -> str:
    if status == 404:
        return "it does not know this."
    text = " ".join(body.decode("utf-8", "replace").split())
    return mask_text(text[:200]) or http.client.responses.get(status, "nothing more was said.")


def _away(url: str, why: str) -> Answer:
    return Answer("away", f"{_host(url)} {why}.")


def _host(url: str) -> str:
    return f"The metadata service {urlsplit(url).hostname}"


def _whole(response: Any, timeout_s: float) -> bytes:
    """The body, read within the time limit and up to the largest size."""
    deadline = time.monotonic() + timeout_s
    body = bytearray()
    while block := response.read1(_BLOCK):
        body += block
        if len(body) > LARGEST_BODY:
            raise StepError(f"sent more than {LARGEST_BODY // 2**20} MiB.")
        if time.monotonic() > deadline:
            raise TimeoutError
    expected = response.headers.get("Content-Length")
    if expected and expected.isdigit() and len(body) < int(expected):
        raise http.client.IncompleteRead(bytes(body), int(expected) - len(body))
    return bytes(body)


def _as_json(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
