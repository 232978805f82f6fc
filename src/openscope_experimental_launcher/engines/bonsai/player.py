"""A simulated Bonsai: reads the real workflow and behaves like Bonsai, but acquires nothing.

Rehearsals and tests run it in the place of Bonsai, with the same arguments:

    python -P -m openscope_experimental_launcher.engines.bonsai.player WORKFLOW --no-editor -p:N=V

It takes and refuses what Bonsai takes and refuses, ends as Bonsai ends (exit code 0 with an
exception on standard error when a node fails, 1 on a crash), and starts itself again as a child
with `--no-boot` in the workflow's folder, with Bonsai's careless quoting. Nodes that write files
do so, buffered: what is not flushed is lost when it is killed. Behaviour was taken from runs of
Bonsai 2.8.2 and 2.9 under mono.

Variables that direct it:

- `OPENSCOPE_PLAYER_DURATION_S`: seconds until the workflow completes; 1 when not set.
- `OPENSCOPE_PLAYER_EXCEPTION`: exception with which a node fails at that time, such as
  `System.DivideByZeroException: Attempted to divide by zero.`
- `OPENSCOPE_PLAYER_VERSION`: whose wording of errors to use, `2.9` (when not set) or `2.8.2`.
- `OPENSCOPE_PLAYER_MISSING_ASSEMBLIES`: comma-separated assemblies that are not installed.
- `OPENSCOPE_PLAYER_RESTORE_FAILS`: package whose download fails, such as `Bonsai.Vision 2.8.0`.
- `OPENSCOPE_PLAYER_SCRIPT_ERROR`: a compiler's message about the workflow's own scripts.
- `OPENSCOPE_PLAYER_OUTPUT_ROOT`: folder below which all files are written, wherever the workflow
  puts them.
- `OPENSCOPE_STOP_FILE`: the workflow completes when this file appears. A property whose name ends
  in `StopFile` does the same.
"""

from __future__ import annotations

import glob
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

from .values import accepts
from .workflow import Property, Sink, Workflow, read_workflow
from .xmltree import XmlError

MODULE = "openscope_experimental_launcher.engines.bonsai.player"

_SWITCHES = ("--start", "--start-no-debug", "--debug-scripts", "--no-boot", "--no-editor")
_WITH_VALUE = ("--lib", "--visualizer-layout")
_PROPERTY = ("-p", "--property")
_TICK_S = 0.02
_BUFFER_BYTES = 1 << 20
_RESTORE_FAILED = 255
_NO_EDITOR_HERE = 2


class _DotNetError(Exception):
    """An exception of .NET: its type and message."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")


@dataclass(repr=False, eq=False)
class _Options:
    workflow: str | None = None
    switches: set[str] = field(default_factory=set)
    properties: dict[str, str] = field(default_factory=dict)


def main(arguments: Sequence[str]) -> int:
    """Run the player.

    Args:
        arguments: the command line without the program.

    Returns:
        The exit code.
    """
    try:
        options = _parse(arguments)
        if "--no-editor" not in options.switches:
            sys.stderr.write("The simulated player has no editor; pass --no-editor.\n")
            return _NO_EDITOR_HERE
        if "--no-boot" not in options.switches:
            return _boot(options, arguments)
        if options.workflow is None:
            return 0
        workflow = _load(options.workflow)
        _set_properties(workflow, options.properties)
        _build(workflow)
    except _DotNetError as error:
        sys.stderr.write(
            f"Unhandled Exception: {error}\n  at Bonsai.Program.Main (String[] args)\n"
        )
        return 1
    try:
        _run(workflow, options.properties)
    except _DotNetError as error:
        sys.stderr.write(f"{error}\n  at System.Reactive.ObserverBase`1.OnNext (T value)\n")
    return 0


def _parse(arguments: Sequence[str]) -> _Options:
    options = _Options()
    pending = list(arguments)
    while pending:
        argument = pending.pop(0)
        name, colon, value = argument.partition(":")
        if name in _SWITCHES:
            options.switches.add(name)
        elif name in (*_WITH_VALUE, *_PROPERTY):
            if not colon and not pending:
                message = "Index was outside the bounds of the array."
                raise _DotNetError("System.IndexOutOfRangeException", message)
            value = value if colon else pending.pop(0)
            if name in _PROPERTY:
                _add_property(options.properties, value)
        elif not argument:
            raise _DotNetError("System.ArgumentException", "The path is not of a legal form.")
        else:
            options.workflow = argument
    return options


def _add_property(properties: dict[str, str], assignment: str) -> None:
    name, equals, text = assignment.partition("=")
    if not equals:
        message = "Index was outside the bounds of the array."
        raise _DotNetError("System.IndexOutOfRangeException", message)
    if name in properties:
        message = "An item with the same key has already been added."
        raise _DotNetError("System.ArgumentException", message)
    properties[name] = text


def _boot(options: _Options, arguments: Sequence[str]) -> int:
    """Restore the packages and start the child that plays."""
    failing = os.environ.get("OPENSCOPE_PLAYER_RESTORE_FAILS")
    if failing:
        sys.stdout.write(f"Restoring dependency '{failing}'.\n")
        sys.stderr.write(f"The package '{failing}' could not be found.\n")
        return _RESTORE_FAILED
    folder = Path(options.workflow).parent if options.workflow else None
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", MODULE, "--no-boot", *requoted(arguments)],
        cwd=folder if folder and folder.is_dir() else None,
    )
    return child.wait()


def requoted(arguments: Sequence[str]) -> list[str]:
    r"""The arguments as they arrive after Bonsai's restart, which quotes but escapes nothing.

    >>> requoted(["-p:Dir=C:\\a b\\", "-p:N=1"])
    ['-p:Dir=C:\\a b" -p:N=1']
    """
    line = " ".join(f'"{text}"' if " " in text else text for text in arguments)
    return list(_split_as_windows_does(line))


def _split_as_windows_does(line: str) -> Iterator[str]:
    """Split a command line by the rules of CommandLineToArgvW: backslashes escape quotes only."""
    word: str | None = None
    quoted = False
    for backslashes, character in re.findall(r"(\\*)([^\\]|$)", line):
        if character == '"':
            word = (word or "") + "\\" * (len(backslashes) // 2)
            if len(backslashes) % 2:
                word += '"'
            else:
                quoted = not quoted
            continue
        if backslashes:
            word = (word or "") + backslashes
        if character in (" ", "\t") and not quoted:
            if word is not None:
                yield word
            word = None
        elif character:
            word = (word or "") + character
    if word is not None:
        yield word


def _load(name: str) -> Workflow:
    try:
        data = Path(name).read_bytes()
    except OSError as error:
        message = "Specified workflow file does not exist."
        raise _DotNetError("System.ArgumentException", message) from error
    try:
        return read_workflow(data)
    except XmlError as error:
        message = (
            f"There is an error in XML document ({error.line}, {error.column}). ---> "
            f"System.Xml.XmlException: {error.reason}"
        )
        raise _DotNetError("System.InvalidOperationException", message) from error


def _is_older() -> bool:
    return os.environ.get("OPENSCOPE_PLAYER_VERSION", "2.9").startswith("2.8")


def _set_properties(workflow: Workflow, values: Mapping[str, str]) -> None:
    for name, text in values.items():
        found = workflow.by_name.get(name)
        if found is None:
            raise _unknown_property(name)
        if not found.targets:
            message = f"The externalized property '{name}' has no target."
            raise _DotNetError("System.InvalidOperationException", message)
        _convert(found, text)


def _unknown_property(name: str) -> _DotNetError:
    if _is_older():
        message = f"The specified property '{name}' was not found in the workflow."
        return _DotNetError("System.ArgumentException", message)
    message = f"No property or named element '{name}' was found in the workflow."
    return _DotNetError("System.Collections.Generic.KeyNotFoundException", message)


def _convert(found: Property, text: str) -> None:
    if accepts(found.hint, text):
        return
    message = f"{text} is not a valid value for {found.hint.value}."
    if _is_older():
        raise _DotNetError("System.FormatException", message)
    message = f"Property value is not valid. ---> System.FormatException: {message}"
    raise _DotNetError("System.FormatException", message)


def _build(workflow: Workflow) -> None:
    for name in workflow.duplicate_names:
        raise _build_error(f"A property with the name '{name}' was already externalized.")
    missing = os.environ.get("OPENSCOPE_PLAYER_MISSING_ASSEMBLIES", "").split(",")
    for used in workflow.types:
        if used.assembly in missing:
            raise _build_error(
                f"This is a proxy for the unknown type '{used.name}'. Please install any missing "
                "packages or replace this element with a working equivalent."
            )
    for include in workflow.includes:
        path = Path(include.path.replace("\\", os.sep))
        is_there = include.assembly not in missing if include.assembly else path.is_file()
        if not is_there:
            raise _build_error(f"The specified workflow '{include.path}' could not be found.")
    if workflow.undeclared_subjects and not workflow.includes:
        name = workflow.undeclared_subjects[0]
        raise _build_error(f"The subject '{name}' is not declared in the current scope.")


def _build_error(message: str) -> _DotNetError:
    return _DotNetError("Bonsai.WorkflowBuildException", message)


def _run(workflow: Workflow, values: Mapping[str, str]) -> None:
    script_error = os.environ.get("OPENSCOPE_PLAYER_SCRIPT_ERROR")
    if script_error:
        sys.stderr.write(f"--- Error building script extensions ---\n{script_error}\n")
    assigned = workflow.assign(values)
    sinks = [sink.with_values(assigned) for sink in workflow.sinks if not sink.computed]
    with ExitStack() as stack:
        outputs = [stack.enter_context(_open(sink)) for sink in sinks]
        _play(outputs, list(_stop_files(workflow, values)))
    exception = os.environ.get("OPENSCOPE_PLAYER_EXCEPTION")
    if exception:
        raise _DotNetError(*exception.split(": ", 1))


def _play(outputs: Sequence[IO[str]], stop_files: Sequence[Path]) -> None:
    duration = float(os.environ.get("OPENSCOPE_PLAYER_DURATION_S", "1"))
    start = time.monotonic()
    count = 0
    while (elapsed := time.monotonic() - start) < duration:
        if any(path.exists() for path in stop_files):
            return
        for output in outputs:
            output.write(f"{elapsed:.3f},{count}\n")
        count += 1
        time.sleep(min(_TICK_S, duration - elapsed))


def _stop_files(workflow: Workflow, values: Mapping[str, str]) -> Iterator[Path]:
    named = [os.environ.get("OPENSCOPE_STOP_FILE")]
    for found in workflow.properties:
        if found.name.lower().replace("_", "").endswith("stopfile"):
            named.append(values.get(found.name, found.value))
    return (Path(name) for name in named if name)


def _open(sink: Sink) -> IO[str]:
    if not sink.path:
        message = "A valid file path must be specified."
        raise _DotNetError("System.InvalidOperationException", message)
    path = _with_suffix(_placed(sink.path), sink.suffix)
    mode = "a" if sink.append else "w" if sink.overwrite else "x"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open(mode, buffering=_BUFFER_BYTES, encoding="utf-8")
    except FileExistsError as error:
        message = f"The file '{sink.path}' already exists."
        raise _DotNetError("System.IO.IOException", message) from error
    except OSError as error:
        message = f"{error.strerror} '{sink.path}'."
        raise _DotNetError("System.IO.IOException", message) from error


def _placed(name: str) -> Path:
    """Where a file is written: below the output root when there is one; drives become folders."""
    path = Path(name if os.sep == "\\" else name.replace("\\", "/"))
    root = os.environ.get("OPENSCOPE_PLAYER_OUTPUT_ROOT")
    parts = [part.replace(":", "") for part in re.split(r"[\\/]+", name)]
    harmless = Path(*(part for part in parts if part not in ("", ".", "..")))
    if root:
        inside = Path(os.path.normpath(path)).is_relative_to(os.path.normpath(root))
        return path if inside else root / harmless
    has_foreign_drive = os.sep == "/" and re.match(r"[A-Za-z]:", name)
    return harmless if has_foreign_drive else path


def _with_suffix(path: Path, suffix: str) -> Path:
    if suffix == "FileCount":
        count = sum(1 for _ in path.parent.glob(f"{glob.escape(path.stem)}*{path.suffix}"))
        return path.with_name(f"{path.stem}{count}{path.suffix}")
    if suffix == "Timestamp":
        now = datetime.now().astimezone().isoformat().replace(":", "_")
        return path.with_name(f"{path.stem}{now}{path.suffix}")
    return path


if __name__ == "__main__":
    # Ctrl-C ends it as it ends Bonsai: at once, without a Python traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
