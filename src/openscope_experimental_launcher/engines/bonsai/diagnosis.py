"""What the end of a Bonsai run means.

Bonsai exits with 0 when a node throws while the workflow runs, so the exit code alone proves
nothing: a line on standard error that names a .NET exception makes the run failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ...errors import Finding
from ...masking import mask_text
from .. import Ended

_EDGE_BYTES = 1 << 20
_LONGEST_LINE = 2000
_SHOWN_LINES = 5
_SHOWN_CHARACTERS = 600

_UNHANDLED = "Unhandled Exception:"
_EXCEPTION = re.compile(
    r"(?:Unhandled Exception: ?)?(?P<type>[\w.+`]+(?:Exception|Error))\b.*?:(?P<message>.*)"
)
_SCRIPT_ERRORS = "--- Error building script extensions ---"
_RESTORING = re.compile(r"Restoring dependency '([^']+)'")
_NOT_RESTORED = re.compile(r"The package '([^']+)' could not be found")
_DOTNET_CRASH = 0xE0434352
_RESTORE_FAILED = (255, 0xFFFFFFFF)


class _Cause(NamedTuple):
    code: str
    pattern: re.Pattern[str]
    meaning: str
    fix: str


def _cause(code: str, pattern: str, meaning: str, fix: str) -> _Cause:
    return _Cause(f"bonsai-{code}", re.compile(pattern), meaning, fix)


_CAUSES = (
    _cause(
        "workflow-missing",
        r"Specified workflow file does not exist",
        "Bonsai did not find the workflow file.",
        "Correct script_path, and see that the repository is at the right commit.",
    ),
    _cause(
        "workflow-broken",
        r"There is an error in XML document",
        "The workflow file, or one that it includes, is not readable.",
        "Open it in the Bonsai editor, or restore it from the repository.",
    ),
    _cause(
        "property-unknown",
        r"No property or named element '[^']*' was found|specified property '[^']*' was not found",
        "A property that was to be set is not in the workflow.",
        "Correct its name in script_parameters (case matters), or externalize it in the workflow.",
    ),
    _cause(
        "value-not-converted",
        r"Property value is not valid|is not a valid value for",
        "A value in script_parameters is not of the property's type.",
        "Correct the value; a time span is written 00:00:20, a number with a dot.",
    ),
    _cause(
        "package-missing",
        r"proxy for the unknown type|install any missing packages",
        "A Bonsai package that the workflow needs is not installed.",
        "Install it with Bonsai's package manager or the repository's setup script.",
    ),
    _cause(
        "workflow-not-built",
        r"WorkflowBuildException",
        "Bonsai could not build the workflow.",
        "Open the workflow in the Bonsai editor; it shows the node that is wrong.",
    ),
    _cause(
        "output-exists",
        r"The file '[^']*' already exists",
        "A node that writes a file does not replace one that is there.",
        "Move the old file away, give another name, or set Overwrite in the workflow.",
    ),
    _cause(
        "output-unnamed",
        r"valid file path must be specified|[Ee]mpty file ?name"
        r"|path is (?:empty|not of a legal form)",
        "A node that writes a file was given no file name.",
        "Set the file's name through a property, or in the Bonsai editor.",
    ),
    _cause(
        "file-missing",
        r"FileNotFoundException|DirectoryNotFoundException"
        r"|Could not find (?:file|a part of the path)",
        "The workflow did not find a file or folder.",
        "Put it there, or correct its path in the workflow or in script_parameters.",
    ),
    _cause(
        "access-refused",
        r"UnauthorizedAccessException|Access to the (?:path|port) '[^']*' is denied",
        "A file, folder or port is in use by another program, or the rights are missing.",
        "Close the program that uses it, and check the folder's rights.",
    ),
    _cause(
        "disk-full",
        r"not enough space on the disk|[Dd]isk full|No space left on device",
        "The disk is full.",
        "Make room on the disk of the session folder.",
    ),
    _cause(
        "port-missing",
        r"The port '[^']*' does not exist",
        "A serial device is not connected, or has another port now.",
        "Connect it and check the name of its port.",
    ),
    _cause(
        "memory-exhausted",
        r"OutOfMemoryException|insufficient memory",
        "Bonsai ran out of memory.",
        "Look for a part of the workflow that collects data without end.",
    ),
    _cause(
        "library-missing",
        r"DllNotFoundException|TypeInitializationException|BadImageFormatException"
        r"|Unable to load DLL",
        "A library or driver that a package needs is missing or of the wrong kind.",
        "Install the device's driver and the Visual C++ runtime; repair the package.",
    ),
)
_OTHER = _Cause(
    "bonsai-exception",
    re.compile(""),
    "A node of the workflow failed.",
    "Read logs/stderr.log of the session, and try the workflow in the Bonsai editor.",
)


def diagnose(ended: Ended) -> list[Finding]:
    """What the end of the run means, in plain words; see `Engine.diagnose`.

    Reads at most the first and the last MiB of each output.
    """
    lines = read_edges(ended.stderr)
    code = None if ended.exit_code is None else ended.exit_code & 0xFFFFFFFF
    findings = list(_exception_findings(lines, code))
    if not findings and code in _RESTORE_FAILED:
        findings += _restore_findings(lines, read_edges(ended.stdout))
    if not findings and code == _DOTNET_CRASH:
        findings.append(_crash_without_words())
    scripts = _script_findings([*lines, *read_edges(ended.stdout)])
    findings += scripts
    return findings or list(_other_output(lines))


def read_edges(path: Path) -> list[str]:
    """The lines of a file's first and last MiB, safe to show; none when it is not there."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_EDGE_BYTES)
            size = stream.seek(0, 2)
            rest = stream.seek(max(len(data), size - _EDGE_BYTES))
            gap = b"\n" if rest > len(data) else b""
            data += gap + stream.read(_EDGE_BYTES)
    except OSError:
        return []
    text = data.decode("utf-8", "replace").lstrip("\ufeff")
    return [_showable(line) for line in text.splitlines()]


def _showable(line: str) -> str:
    visible = "".join(c if c.isprintable() else " " for c in line[:_LONGEST_LINE])
    return mask_text(visible.rstrip())


def _exception_findings(lines: Sequence[str], code: int | None) -> Iterator[Finding]:
    for number, line in enumerate(lines):
        match = _EXCEPTION.match(line)
        if match:
            inner = [part.strip() for part in lines[number + 1 : number + 4] if "--->" in part]
            crashed = bool(code) or line.startswith(_UNHANDLED)
            yield _exception_finding(match["type"], " ".join([line, *inner]), crashed)
            return


def _exception_finding(name: str, said: str, crashed: bool) -> Finding:
    said = said.removeprefix(_UNHANDLED).strip()[:_SHOWN_CHARACTERS]
    cause = next((cause for cause in _CAUSES if cause.pattern.search(said)), _OTHER)
    happened = "Bonsai crashed" if crashed else "The workflow stopped"
    stop = "" if said.endswith(".") else "."
    return Finding(
        "error",
        cause.code,
        f"{happened} with {said}{stop} {cause.meaning}",
        where=name,
        fix=cause.fix,
    )


def _restore_findings(stderr: Sequence[str], stdout: Sequence[str]) -> list[Finding]:
    missing = [match[1] for line in stderr if (match := _NOT_RESTORED.search(line))]
    restoring = [match[1] for line in stdout if (match := _RESTORING.search(line))]
    if not missing and not restoring:
        return []
    names = ", ".join(dict.fromkeys(missing or restoring[-1:]))
    return [
        Finding(
            "error",
            "bonsai-restore-failed",
            f"Bonsai could not download the package {names} before it started.",
            where="Bonsai.config",
            fix="Connect to the network, or run the repository's setup script.",
        )
    ]


def _crash_without_words() -> Finding:
    return Finding(
        "error",
        "bonsai-crash",
        "Bonsai crashed with a .NET exception that it did not name.",
        where="exit code 0xE0434352",
        fix="Look in the Windows event log under Application.",
    )


def _script_findings(lines: Sequence[str]) -> list[Finding]:
    for number, line in enumerate(lines):
        if line.strip() == _SCRIPT_ERRORS:
            shown = [text.strip() for text in lines[number + 1 : number + 1 + _SHOWN_LINES]]
            said = " / ".join(text for text in shown if text)[:_SHOWN_CHARACTERS]
            return [
                Finding(
                    "warning",
                    "bonsai-script-extensions",
                    f"The workflow's own C# scripts do not compile, and Bonsai went on: {said}",
                    where="Extensions",
                    fix="Correct the scripts in the Bonsai editor.",
                )
            ]
    return []


def _other_output(lines: Sequence[str]) -> Iterator[Finding]:
    said = [line.strip() for line in lines if line.strip()]
    if said:
        more = f" (and {len(said) - _SHOWN_LINES} more lines)" if len(said) > _SHOWN_LINES else ""
        shown = " / ".join(said[:_SHOWN_LINES])[:_SHOWN_CHARACTERS]
        yield Finding(
            "warning",
            "bonsai-error-output",
            f"Bonsai wrote to standard error: {shown}{more}",
            where="logs/stderr.log",
            fix="Read it; the run itself did not fail by it.",
        )
