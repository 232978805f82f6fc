"""Fixtures for the tests of parameters: real files in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openscope_experimental_launcher.errors import ParameterError
from openscope_experimental_launcher.parameters.layers import Loaded, load


@pytest.fixture
def params_file(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes `params.json`: bytes as they are, anything else as JSON."""

    def write(content: Any) -> Path:
        path = tmp_path / "params.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return path

    return write


@pytest.fixture
def load_params(params_file: Callable[[Any], Path]) -> Callable[..., Loaded]:
    """Loads a parameter file with this content."""

    def load_content(content: Any, **layers: Any) -> Loaded:
        return load(params_file(content), **layers)

    return load_content


@pytest.fixture
def refused(load_params: Callable[..., Loaded]) -> Callable[..., ParameterError]:
    """The error that loading a parameter file with this content raises."""

    def load_content(content: Any, **layers: Any) -> ParameterError:
        with pytest.raises(ParameterError) as caught:
            load_params(content, **layers)
        return caught.value

    return load_content
