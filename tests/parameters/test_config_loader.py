"""The configuration file of CamStim: literals are read, nothing is evaluated, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.errors import ParameterError, ParameterFileNotFoundError
from openscope_experimental_launcher.parameters import camstim
from openscope_experimental_launcher.utils.config_loader import DEFAULT_CONFIG_PATH, ConfigLoader

Read = Callable[[str | bytes], dict[str, dict[str, Any]]]


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(content: str | bytes) -> Path:
        path = tmp_path / "stim.cfg"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def read(config_file: Callable[[str | bytes], Path]) -> Read:
    def read_content(content: str | bytes) -> dict[str, dict[str, Any]]:
        path = config_file(content)
        before = path.read_bytes()
        config = ConfigLoader().load_config({"config_path": str(path)})
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]
        return config

    return read_content


def test_python_literals(read: Read) -> None:
    config = read(
        "[Behavior]\n"
        "mouse_id = 'M614173'\n"
        "volume_limit = 1.5\n"
        "ports = [1, (2, 'x')]\n"
        "nested = {'a': None,\n"
        "    'b': True}\n"
        "rig_id = box-1\n"
        "OutputFolder : D:/data\n"
        "[Sync]\n"
        "[Empty Section]\n"
        "path = C:\\data\\%(x)s\n"
        "escape = 'C:\\data'\n"
        "blank =\n"
    )
    assert config == {
        "Behavior": {
            "mouse_id": "M614173",
            "volume_limit": 1.5,
            "ports": [1, (2, "x")],
            "nested": {"a": None, "b": True},
            "rig_id": "box-1",
            "OutputFolder": "D:/data",
        },
        "Sync": {},
        "Empty Section": {"path": "C:\\data\\%(x)s", "escape": "C:\\data", "blank": ""},
    }


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('pathlib').Path('{marker}').touch()",
        "open('{marker}', 'w').close()",
        "[open('{marker}', 'w') for _ in (1,)]",
        "().__class__.__base__.__subclasses__()",
        "exec('import os')",
        "f\"{open('{marker}', 'w')}\"",
        "1 if 1 else 2",
        "007",
        "-" * 100_000 + "1",
        "(" * 100_000,
        "9" * 100_000,
    ],
)
def test_nothing_is_evaluated(read: Read, tmp_path: Path, expression: str) -> None:
    marker = tmp_path.parent / f"{tmp_path.name}-marker"
    text = expression.replace("{marker}", str(marker))
    assert read(f"[A]\nx = {text}\n") == {"A": {"x": text}}
    assert not marker.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbf[A]\r\nname = 'M\xc3\xbcller'\r\n",
        b"[A]\nname = 'M\xfcller'\n",
        "[A]\nname = Müller\n".encode(),
    ],
)
def test_encodings(read: Read, raw: bytes) -> None:
    assert read(raw) == {"A": {"name": "Müller"}}


@pytest.mark.parametrize(
    ("content", "line", "word"),
    [
        ("x = 1\n[A]\n", 1, "before the first"),
        ("[A]\nx = 1\nnonsense\n", 3, "neither"),
        ("[A]\nx = 1\n\n[A]\n", 4, "twice"),
        ("[A]\nx = 1\nx = 2\n", 3, "twice"),
        ("[A\nx = 1\n", 1, "before the first"),
    ],
)
def test_a_broken_file(read: Read, content: str, line: int, word: str) -> None:
    with pytest.raises(ParameterError) as caught:
        read(content)
    error = caught.value
    assert error.code == "config-file-broken"
    assert error.where.endswith(f"stim.cfg, line {line}")
    assert word in error.message


def test_a_missing_file_that_was_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterFileNotFoundError) as caught:
        ConfigLoader().load_config({"config_path": str(tmp_path / "none.cfg")})
    assert "configuration" in caught.value.message
    assert "none.cfg" in caught.value.where


@pytest.mark.parametrize("params", [{}, {"config_path": None}, {"config_path": ""}])
def test_the_default_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any]
) -> None:
    assert DEFAULT_CONFIG_PATH == "C:/ProgramData/AIBS_MPE/camstim/config/stim.cfg"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(camstim, "DEFAULT_CONFIG_PATH", "camstim/stim.cfg")
    assert ConfigLoader().load_config(params) == {}
    (tmp_path / "camstim").mkdir()
    assert ConfigLoader().load_config(params) == {}
    (tmp_path / "camstim" / "stim.cfg").write_text("[A]\nx = 1\n")
    assert ConfigLoader().load_config(params) == {"A": {"x": 1}}


@pytest.mark.parametrize("value", [3, ["a"], True])
def test_a_path_that_is_no_text(value: Any) -> None:
    with pytest.raises(ParameterError, match="config_path"):
        ConfigLoader().load_config({"config_path": value})


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="folder"):
        ConfigLoader().load_config({"config_path": str(tmp_path)})
