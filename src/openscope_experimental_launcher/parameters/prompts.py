"""Asking the person at the terminal for what is missing.

Questions are plain lines. What was typed before a question appeared is thrown away, so that an
impatient Enter never answers a question that nobody has read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TextIO

from ..errors import ParameterError
from .layers import Loaded
from .model import ASKED_FOR
from .names import check_subject, check_user

DOCUMENTED_DEFAULTS = {"subject_id": "test_subject", "user_id": "test_user"}
"""What a run takes that says it is only a test (`--defaults`, the demo)."""

_LOOK_S = 0.05
_QUESTIONS = {"subject_id": "Subject", "user_id": "User"}
_OPTIONS = {"subject_id": "--subject", "user_id": "--user"}
_CHECKS = {"subject_id": check_subject, "user_id": check_user}


def is_interactive() -> bool:
    """Whether a person can be asked: standard input and output are terminals."""
    return _is_terminal(sys.stdin) and _is_terminal(sys.stdout)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def ask(
    question: str,
    *,
    default: str | None = None,
    validate: Callable[[str], str] | None = None,
) -> str:
    """Ask until there is an answer that can be used.

    Args:
        question: a few words, without the colon.
        default: the answer that Enter alone gives; without one, an empty answer asks again.
        validate: gives the answer back, or raises ValueError with the reason why it cannot be
            used; then the question is asked again.

    Returns:
        The answer, without spaces around it.

    Raises:
        ParameterError: the input has ended (Ctrl-D, a closed terminal).
        KeyboardInterrupt: Ctrl-C.
    """
    prompt = f"{question} [{default}]: " if default is not None else f"{question}: "
    while True:
        discard_type_ahead()
        _say(prompt)
        try:
            answer = input().strip() or default
            if answer is not None:
                return validate(answer) if validate else answer
            reason = "An answer is needed."
        except EOFError as error:
            _say("\n")
            raise ParameterError(
                f"The input ended before an answer to: {question}.",
                code="prompt-closed",
                fix="Give the value on the command line or in the parameter file.",
            ) from error
        except UnicodeDecodeError:
            reason = "That was not readable as text."
        except ParameterError as error:
            reason = f"{error.message} {error.fix}".rstrip()
        except ValueError as error:
            reason = str(error)
        _say(f"{reason}\n")


def ask_within(question: str, seconds: float) -> str:
    """Ask once something that need not be answered, and go on when nobody does.

    Args:
        question: a few words, without the colon.
        seconds: how long to wait.

    Returns:
        The answer, without spaces around it; empty for Enter alone, for none in time, and when
        the input has ended.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    discard_type_ahead()
    _say(f"{question}: ")
    try:
        answer = _line_within(seconds).strip()
    except (OSError, ValueError):  # a terminal that has gone, bytes that are no text
        answer = ""
    if not answer:
        _say("\n")
    return answer


def _line_within(seconds: float) -> str:
    deadline = time.monotonic() + seconds
    if sys.platform != "win32":
        import select

        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return sys.stdin.readline() if ready else ""
    import msvcrt

    typed = ""
    while time.monotonic() < deadline:
        if not msvcrt.kbhit():
            time.sleep(_LOOK_S)
            continue
        sign = msvcrt.getwche()
        if sign == "\x03":
            raise KeyboardInterrupt
        if sign in "\r\n":
            break
        typed = typed[:-1] if sign == "\b" else typed + sign
        deadline = time.monotonic() + seconds  # somebody is there
    return typed


def _say(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def discard_type_ahead() -> None:
    """Throw away what was typed before now."""
    if sys.platform == "win32":
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios

        with suppress(termios.error, ValueError, OSError):
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def missing(loaded: Loaded) -> list[str]:
    """The keys that a session cannot do without and that nobody has given yet."""
    return [key for key in ASKED_FOR if getattr(loaded.parameters, key) is None]


def complete(
    loaded: Loaded,
    *,
    interactive: bool,
    defaults: bool = False,
    offers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Answers for what is missing, to load again with.

    Args:
        loaded: what is known already; only what is missing is asked for.
        interactive: whether a person can be asked (see `is_interactive`).
        defaults: take the documented test subject and user instead of asking.
        offers: values to offer as the default of a question (see `layers.offers`).

    Raises:
        ParameterError: something is missing and nobody can be asked.
    """
    keys = missing(loaded)
    if defaults:
        return {key: DOCUMENTED_DEFAULTS[key] for key in keys}
    if keys and not interactive:
        raise _nobody_to_ask(keys)
    offered = offers or {}
    return {
        key: ask(_QUESTIONS[key], default=offered.get(key), validate=_CHECKS[key]) for key in keys
    }


def _nobody_to_ask(keys: list[str]) -> ParameterError:
    names = " and ".join(keys)
    options = " and ".join(_OPTIONS[key] for key in keys)
    return ParameterError(
        f"{names} {'is' if len(keys) == 1 else 'are'} not given, "
        "and there is no terminal to ask on.",
        code="parameter-missing",
        where=names,
        fix=f"Give {options}, or write {names} into the parameter file; "
        "--defaults takes a test subject and user.",
    )
