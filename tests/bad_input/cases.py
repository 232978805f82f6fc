"""Bad input without end: whatever comes in, plain words come out, and never a traceback.

Each property gives one kind of input to the real command line, in this process. `PROPERTIES` is
run with some hundred cases by the tests and with ten thousand by `bench/fuzz.py`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from openscope_experimental_launcher.base.experiment import BaseExperiment
from openscope_experimental_launcher.base.options import RunOptions
from openscope_experimental_launcher.cli.app import run_command_line
from openscope_experimental_launcher.display.view import SessionView
from openscope_experimental_launcher.engines.bonsai import player
from openscope_experimental_launcher.parameters.model import (
    FIELDS,
    PASSED_ON,
    SPELLINGS,
)
from openscope_experimental_launcher.session.folder import SessionFolder

WORKFLOWS = Path(__file__).parents[1] / "bonsai" / "workflows"
SEPARATOR = re.compile(rb"(<[^>]*>)")

# Texts, from harmless to hostile

odd_texts = st.sampled_from(
    [
        "", " ", "\0", "\ud800", "\n", "\t", "..", "../x", "CON", "/", "\\", "C:\\a b\\", "~",
        "{subject_id}", "{output_session_folder}", "{session_uuid}/x", "{{", "}", "{nothing}",
        "{rig_param:rig_id}", "a" * 300, "🐁", "é", "-p:x=1", "--start", '"', "%s", "$HOME",
        "PT20S", "1e400", "NaN", "COM3", "/dev/ttyUSB0", "file:///etc", "ext::sh", "-x", "no/such",
    ]
)  # fmt: skip
texts = odd_texts | st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder of one's own as the current one, with a state of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve() / "fuzz ü"
        folder.mkdir()
        variables = {
            "OPENSCOPE_STATE_DIRECTORY": str(folder / "state"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_DATA_HOME": str(folder / "share"),
            "OPENSCOPE_PLAYER_DURATION_S": "0",
            "OPENSCOPE_PLAYER_OUTPUT_ROOT": str(folder / "written"),
        }
        before = Path.cwd()
        with mock.patch.dict(os.environ, variables):
            os.chdir(folder)
            try:
                yield folder
            finally:
                os.chdir(before)


def command(*arguments: str) -> str:
    """What `openscope …` says. It must end as the command line promises, without a bug."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["openscope", *arguments]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = run_command_line()
    said = out.getvalue() + err.getvalue()
    log = Path(os.environ["OPENSCOPE_STATE_DIRECTORY"]) / "launcher-bug.log"
    assert code in (0, 1), log.read_text() if log.is_file() else said
    assert "Traceback" not in said
    assert "launcher-bug" not in said
    return said


def damaged(content: bytes, data: st.DataObject, pieces: st.SearchStrategy[bytes]) -> bytes:
    """`content` with some of its bytes replaced, lost or doubled."""
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(len(content), start + 30)))
        content = content[:start] + data.draw(pieces) + content[end:]
    return content


# Parameter files

_NETWORK = ("repository_url", "local_repository_path", "metadata_service_base_url")
_KEYS = sorted({*FIELDS, *PASSED_ON, *SPELLINGS} - {*_NETWORK})
_LAUNCHERS = ["python", "command", "bonsai", "base", "nothing"]
parameter_files = st.fixed_dictionaries(
    {"launcher": st.sampled_from(_LAUNCHERS)},
    optional={
        "command": st.just([sys.executable, "-V"]) | values,
        "script_path": st.sampled_from(["task.py", "w.bonsai", "no.py", "../x", ""]) | texts,
        "bonsai_exe_path": st.just(sys.executable) | texts,
        "repository_url": st.sampled_from(["ext::sh", "--x", "/no/such", "x", "a:b", "C:\\x"]),
        "python_exe_path": st.just("/no/python") | st.none(),
    },
).flatmap(
    lambda known: st.dictionaries(st.sampled_from(_KEYS) | texts, values, max_size=6).map(
        lambda others: {**others, **known}
    )
)
json_pieces = st.sampled_from(
    [b"{", b"}", b"[", b",", b":", b'"', b"\\", b"\\ud800", b"\xff", b"\0", b"NaN", b"1e999", b"//"]
) | st.binary(max_size=8)


QUICK = {
    "rehearsal_duration_s": 0.05,
    "stop_grace_s": 1,
    "step_timeout_s": 20,
    "bonsai_max_retries": 0,
    "disk_reserve_gb": 0,
    "session_report": "false",
    "session_metadata": "false",
}
"""What keeps a rehearsal short, whatever the file says."""


@given(parameter_files, st.data())
def parameters(content: dict[str, Any], data: st.DataObject) -> None:
    """Parameter files: any values, and damage to the file's bytes. Some are rehearsed as well."""
    raw = json.dumps(content).encode()
    if data.draw(st.integers(0, 3)) == 0:
        raw = damaged(raw, data, json_pieces)
    with workplace() as folder:
        (folder / "task.py").write_text("import json, no_such\n")
        shutil.copy(WORKFLOWS / "minimal.bonsai", folder / "w.bonsai")
        (folder / "p.json").write_bytes(raw)
        command("check", "p.json")
        command("plan", "p.json", "--json")
        assert not (folder / "data").exists()
        if data.draw(st.integers(0, 4)) == 0:
            quick = [f"--set={key}={value}" for key, value in QUICK.items()]
            command("run", "p.json", "--rehearse", "--yes", *quick)
            beside = {"task.py", "w.bonsai", "p.json", "state", "cache", "share", "written"}
            assert {path.name for path in folder.iterdir()} <= {*beside, "rehearsal"}


# Workflows

_ATTRIBUTE = re.compile(r'([\w:]+)="([^"]*)"')
xml_pieces = st.sampled_from(
    [
        b"<a>", b"</a>", b"<", b">", b"&", b"&amp;", b"]]>", b"<!DOCTYPE x>", b"<!--", b'"', b"\0",
        b'<Expression xsi:type="GroupWorkflow">', b'xsi:type="', b"xmlns:q=", b"<Workflow>",
        b'<Edge From="0" To="99" Label="x" />', b'<Property Name="" />', b"<?xml?>", b"\xff\xfe",
        b'<Expression xsi:type="IncludeWorkflow" Path="w.bonsai" />', b'Path="a:b:c"',
        b'<Expression xsi:type="ExternalizedMapping"><Property Name="Value" /></Expression>',
    ]
) | st.binary(max_size=8)  # fmt: skip


@cache
def tags(name: str) -> tuple[bytes, ...]:
    """A workflow as its tags and what is between them."""
    return tuple(SEPARATOR.split((WORKFLOWS / name).read_bytes()))


def changed_tags(name: str, data: st.DataObject) -> bytes:
    """A workflow with tags lost, doubled, swapped, or with other values."""
    pieces = list(tags(name))
    for _ in range(data.draw(st.integers(1, 6))):
        at, to = (data.draw(st.integers(0, len(pieces) - 1)) for _ in "12")
        how = data.draw(st.sampled_from(["lose", "double", "swap", "value", "text"]))
        if how == "lose":
            pieces[at] = b""
        elif how == "double":
            pieces[at] += pieces[at]
        elif how == "swap":
            pieces[at], pieces[to] = pieces[to], pieces[at]
        elif how == "text":
            pieces[at] = data.draw(texts).encode("utf-8", "replace").replace(b"<", b"")
        else:
            pieces[at] = _with_other_values(pieces[at], data)
    return b"".join(pieces)


def _with_other_values(tag: bytes, data: st.DataObject) -> bytes:
    def other(match: re.Match[str]) -> str:
        text = data.draw(texts).encode("utf-8", "replace").decode()
        return f'{match[1]}="{text.replace(chr(34), "").replace("<", "")}"'

    return _ATTRIBUTE.sub(other, tag.decode("utf-8", "replace")).encode()


@given(st.sampled_from(["oddball.bonsai", "minimal.bonsai"]), st.data())
def workflows(name: str, data: st.DataObject) -> None:
    """Workflows: tags lost, doubled, swapped, other values, and damage to the file's bytes."""
    if data.draw(st.booleans()):
        raw = changed_tags(name, data)
    else:
        raw = damaged((WORKFLOWS / name).read_bytes(), data, xml_pieces)
    properties = {"TrialCount": 3, "TrialInterval": "00:00:01", "Camera.Index": "0"}
    with workplace() as folder:
        (folder / "w.bonsai").write_bytes(raw)
        given_parameters = {
            "script_path": "w.bonsai",
            "bonsai_exe_path": sys.executable,
            "script_parameters": data.draw(st.just(properties) | st.dictionaries(texts, scalars)),
        }
        (folder / "p.json").write_text(json.dumps(given_parameters))
        command("check", "p.json")
        command("check", "p.json", "--rehearse")
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            code = player.main(["--no-boot", "--no-editor", "w.bonsai", "-p:TrialCount=3"])
        assert code in (0, 1, 2, 255)


# Bonsai.config, and the folders of packages

config_pieces = st.sampled_from(
    [
        b"<Packages>", b"</Packages>", b'<Package id="x" />', b'<Package version="1" />', b"<",
        b'<AssemblyLocation assemblyName="x" location="" />', b'version="2.8.1.0-a.b"', b"&", b"\0",
        b'<LibraryFolder path="" platform="x64" />', b'id=""', b"\xef\xbb\xbf", b'="',
    ]
) | st.binary(max_size=8)  # fmt: skip
versions = st.sampled_from(
    ["1", "2.8.1", "2.8.1.0", "1.0.1823.32", "0.2.0-build240401", "9" * 400, "1.2.3-", "1..2", "a"]
) | st.text("0123456789.-abz", max_size=12)
folder_names = st.builds(
    "{}.{}".format, st.sampled_from(["Bonsai", "Bonsai.Core", "BonVision", "", "."]), versions
).filter(lambda name: name.strip(". ") and len(name) < 200)


@given(st.data(), st.lists(folder_names, max_size=4))
def configurations(data: st.DataObject, packages: list[str]) -> None:
    """`Bonsai.config`: damaged bytes; and packages with odd names beside it."""
    raw = (WORKFLOWS / "Bonsai.config").read_bytes()
    if data.draw(st.booleans()):
        version = data.draw(versions).encode()
        raw = re.sub(rb'version="[^"]*"', lambda _: b'version="' + version + b'"', raw)
    if data.draw(st.integers(0, 3)):
        raw = damaged(raw, data, config_pieces)
    with workplace() as folder:
        shutil.copy(WORKFLOWS / "minimal.bonsai", folder / "w.bonsai")
        (folder / "Bonsai.config").write_bytes(raw)
        for name in packages:
            (folder / "Packages" / name).mkdir(parents=True, exist_ok=True)
            (folder / "Packages" / name / f"{name}.nupkg").touch()
        (folder / "Bonsai.exe").write_text("#!/bin/sh\n")
        (folder / "Bonsai.exe").chmod(0o755)
        given_parameters = {"script_path": "w.bonsai", "bonsai_exe_path": "Bonsai.exe"}
        (folder / "p.json").write_text(json.dumps(given_parameters))
        command("check", "p.json")
        command("check", "p.json", "--set", "bonsai_config_path=Bonsai.config")


# Journals and the other records of a session


@cache
def real_session() -> dict[str, bytes]:
    """The files of a real session, by their names in its folder."""
    with workplace() as folder:
        (folder / "task.py").write_text("print('hello')\n")
        values = {"launcher": "python", "script_path": "task.py", "OutputFolder": "data"}
        (folder / "p.json").write_text(json.dumps(values))
        experiment = BaseExperiment(RunOptions(defaults=True, interactive=False))
        assert experiment.run("p.json"), experiment.outcome
        session = Path(str(experiment.session_directory))
        found = session.rglob("*")
        return {str(f.relative_to(session)): f.read_bytes() for f in found if f.is_file()}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


def changed_json(value: Any, data: st.DataObject) -> Any:
    """A JSON value with something in it replaced by something else."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        key = data.draw(st.sampled_from(sorted(value)))
        changed = dict(value)
        if data.draw(st.integers(0, 3)) == 0:
            del changed[key]
        else:
            changed[key] = changed_json(value[key], data)
        return changed
    if isinstance(value, list) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], changed_json(value[at], data), *value[at + 1 :]]
    return data.draw(json_values)


def changed_journal(raw: bytes, data: st.DataObject) -> bytes:
    """A journal with events lost, doubled, moved, changed, or with its bytes damaged."""
    lines = raw.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(lines) - 1))
        how = data.draw(st.sampled_from(["lose", "double", "move", "change", "cut"]))
        if how == "lose" and len(lines) > 1:
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "move":
            lines.insert(data.draw(st.integers(0, len(lines) - 1)), lines.pop(at))
        elif how == "cut":
            lines = lines[: at + 1]
        else:
            try:
                event = json.loads(lines[at])
            except ValueError:
                continue
            lines[at] = json.dumps(changed_json(event, data)).encode() + b"\n"
    raw = b"".join(lines)
    return damaged(raw, data, json_pieces) if data.draw(st.integers(0, 2)) == 0 else raw


@given(st.data())
def journals(data: st.DataObject) -> None:
    """Journals and metadata that are cut, changed or damaged."""
    files = dict(real_session())
    files["journal.jsonl"] = changed_journal(files["journal.jsonl"], data)
    for name in data.draw(st.sets(st.sampled_from(sorted(files)), max_size=2)):
        if name.endswith(".json"):
            record = changed_json(json.loads(files[name]), data)
            files[name] = json.dumps(record).encode()
            if data.draw(st.integers(0, 3)) == 0:
                files[name] = damaged(files[name], data, json_pieces)
    with workplace() as folder:
        for place, content in (("sound", real_session()), ("spoiled", files)):
            for name, raw in content.items():
                (folder / "data" / place / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "data" / place / name).write_bytes(raw)
        SessionView(SessionFolder(folder / "data" / "spoiled")).look(final=True)
        command("diff", "data/sound", "data/spoiled")
        command("diff", "data/spoiled", "data/sound", "--json", "--patch")
        command("rerun", "data/spoiled", "--set", "launcher=nothing", "--yes")
        command("recover", "data", "--list")
        command("recover", "data")
        command("recover", "data")


PROPERTIES: dict[str, Callable[[], None]] = {
    "parameter files": parameters,
    "workflows": workflows,
    "Bonsai.config": configurations,
    "journals": journals,
}
"""What is given, and the property that must hold for all of it."""
