from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from openscope_experimental_launcher.engines.bonsai.packages import (
    compare_packages,
    installed_packages,
    read_config,
    same_version,
    split_folder_name,
    version_key,
)
from openscope_experimental_launcher.errors import EngineError

CONFIG = Path(__file__).parent / "workflows" / "Bonsai.config"


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.nupkg").touch()


def test_config_is_read() -> None:
    config = read_config(CONFIG.read_bytes())
    assert config.packages["Bonsai.Harp"] == "3.5.0-build240401"
    assert len(config.packages) == 8
    assert config.library_folders == ()


@pytest.mark.parametrize(
    ("assembly", "package"),
    [
        ("Bonsai.ZeroMQ", "ZeroMQ.Bundle"),
        ("Bonsai.Vision", "Bonsai.Vision"),
        ("bonvision", "BonVision"),
        ("Bonsai.Ephys", None),
    ],
)
def test_package_of_an_assembly(assembly: str, package: str | None) -> None:
    assert read_config(CONFIG.read_bytes()).package_of(assembly) == package


@pytest.mark.parametrize("data", [b"", b"<Packages/>", b"not xml"])
def test_broken_config_is_a_plain_error(data: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        read_config(data)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Bonsai.Core.2.8.1", ("Bonsai.Core", "2.8.1")),
        ("OpenTK.3.0.1.0", ("OpenTK", "3.0.1.0")),
        ("Bonsai.Harp.3.5.0-build240401", ("Bonsai.Harp", "3.5.0-build240401")),
        ("Aind.Pose.0.2.0-alpha2", ("Aind.Pose", "0.2.0-alpha2")),
        ("PylonSDK.1.0.1823.32", ("PylonSDK", "1.0.1823.32")),
        ("lib", None),
    ],
)
def test_folder_names(name: str, split: tuple[str, str] | None) -> None:
    assert split_folder_name(name) == split


def test_versions_compare_as_nuget_does() -> None:
    assert same_version("2.0.7", "2.0.7.0")
    assert same_version("2.0", "2.0.0.0")
    assert same_version("0.2.0-Alpha2", "0.2.0-alpha2")
    assert not same_version("2.0.7", "2.0.7.1")
    assert not same_version("2.0.7", "2.0.7-alpha2")
    ordered = ["0.2.0-alpha", "0.2.0-alpha2", "0.2.0-beta.2", "0.2.0-beta.11", "0.2.0", "0.10.0"]
    keys = [version_key(version) for version in ordered]
    assert all(lower < higher for lower, higher in pairwise(keys))
    assert version_key("odd") < version_key("0.1")


def test_only_whole_packages_count(tmp_path: Path) -> None:
    install(tmp_path, "Bonsai.Core.2.8.1", "Bonsai.Core.2.10.0", "Bonsai.Core.2.9.0")
    (tmp_path / "Bonsai.Vision.2.8.0" / "lib").mkdir(parents=True)
    assert installed_packages(tmp_path) == {"Bonsai.Core": ["2.8.1", "2.9.0", "2.10.0"]}
    assert installed_packages(tmp_path / "nowhere") == {}


def test_missing_and_differing_are_told_apart(tmp_path: Path) -> None:
    install(tmp_path, "bonsai.core.2.8.1.0", "Bonsai.Vision.2.7.0")
    wanted = {"Bonsai.Core": "2.8.1", "Bonsai.Vision": "2.8.0", "BonVision": "0.11.0"}
    findings = compare_packages(wanted, installed_packages(tmp_path))
    assert [(f.level, f.code) for f in findings] == [
        ("warning", "bonsai-package-missing"),
        ("warning", "bonsai-package-differs"),
    ]
    assert "BonVision 0.11.0" in findings[0].message
    assert "Bonsai.Vision is installed at 2.7.0, not at 2.8.0" in findings[1].message
