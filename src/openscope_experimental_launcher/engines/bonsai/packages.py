"""`Bonsai.config` and the packages installed beside it.

A package counts as installed for Bonsai when `Packages/<Id>.<Version>/<Id>.<Version>.nupkg` is
there; a folder with only libraries in it is downloaded again. Ids do not depend on case (NuGet).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ...errors import EngineError, Finding
from .xmltree import Element, parse_xml

CONFIG_NAME = "Bonsai.config"
PACKAGES_FOLDER = "Packages"

_FOLDER = re.compile(r"(.+?)\.(\d+(?:\.\d+){1,3}(?:-[\w.-]+)?)")
_VERSION = re.compile(r"(\d+(?:\.\d+){0,3})(?:-([\w.-]+))?(?:\+.*)?")

VersionKey = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


class BonsaiConfig(NamedTuple):
    """What a `Bonsai.config` asks for.

    Attributes:
        packages: version of each package, by id as written.
        assembly_packages: id of the package that brings an assembly, by assembly name.
        assemblies: assemblies that are referenced or located.
        library_folders: other folders that Bonsai loads assemblies from.
    """

    packages: Mapping[str, str]
    assembly_packages: Mapping[str, str]
    assemblies: frozenset[str]
    library_folders: tuple[str, ...]

    def package_of(self, assembly: str) -> str | None:
        """Id of the package that brings `assembly`: by its location, else by the same name."""
        if assembly in self.assembly_packages:
            return self.assembly_packages[assembly]
        return next((name for name in self.packages if name.lower() == assembly.lower()), None)

    def provides(self, assembly: str) -> bool:
        """Whether Bonsai will find `assembly` through this file."""
        return assembly in self.assemblies or self.package_of(assembly) is not None


def read_config(data: bytes, name: str = CONFIG_NAME) -> BonsaiConfig:
    """Read the bytes of a `Bonsai.config`.

    Args:
        data: the bytes of the file.
        name: what to call it in an error.

    Raises:
        EngineError: it is not XML or not a package configuration.
    """
    root = parse_xml(data, name).root
    if root.name != "PackageConfiguration":
        raise EngineError(
            f"{name} is not a Bonsai package configuration: it starts with <{root.name}>.",
            code="bonsai-config-invalid",
            where=f"{name}:{root.line}",
            fix="Name the Bonsai.config that stands beside Bonsai.exe.",
        )
    locations = list(_attributes(root, "AssemblyLocations", "AssemblyLocation"))
    references = list(_attributes(root, "AssemblyReferences", "AssemblyReference"))
    return BonsaiConfig(
        packages={
            entry["id"]: entry.get("version", "")
            for entry in _attributes(root, "Packages", "Package")
            if entry.get("id")
        },
        assembly_packages=dict(_located(locations)),
        assemblies=frozenset(
            entry["assemblyName"] for entry in (*locations, *references) if "assemblyName" in entry
        ),
        library_folders=tuple(
            entry["path"]
            for entry in _attributes(root, "LibraryFolders", "LibraryFolder")
            if entry.get("path")
        ),
    )


def _attributes(root: Element, *names: str) -> Iterator[dict[str, str]]:
    return (element.attributes for element in root.every(*names))


def _located(locations: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for entry in locations:
        parts = entry.get("location", "").replace("\\", "/").split("/")
        if len(parts) > 1 and (split := split_folder_name(parts[1])):
            yield entry.get("assemblyName", ""), split[0]


def split_folder_name(name: str) -> tuple[str, str] | None:
    """(id, version) of a package folder such as `Bonsai.Core.2.8.1`; None for another folder."""
    match = _FOLDER.fullmatch(name)
    return (match[1], match[2]) if match else None


def installed_packages(folder: Path) -> dict[str, list[str]]:
    """Versions of each package that a `Packages` folder holds whole, lowest first.

    Returns:
        Versions by package id; empty when there is no such folder.
    """
    found: dict[str, list[str]] = {}
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    for entry in entries:
        split = split_folder_name(entry.name)
        if split and (entry / f"{entry.name}.nupkg").is_file():
            found.setdefault(split[0], []).append(split[1])
    return {name: sorted(versions, key=version_key) for name, versions in found.items()}


def version_key(version: str) -> VersionKey:
    """Sorts versions as NuGet does: four numbers, a prerelease before its release.

    >>> version_key("2.0.7") == version_key("2.0.7.0") > version_key("2.0.7-alpha2")
    True
    """
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        return ((), False, ((True, 0, version.strip().lower()),))
    numbers = tuple(int(part) for part in match[1].split("."))
    labels = tuple(
        (not label.isdecimal(), int(label) if label.isdecimal() else 0, label.lower())
        for label in (match[2] or "").split(".")
        if label
    )
    return (numbers + (0,) * (4 - len(numbers)), not labels, labels)


def same_version(one: str, other: str) -> bool:
    """Whether two spellings name one version: `2.0.7` and `2.0.7.0` do."""
    return version_key(one) == version_key(other)


def compare_packages(
    wanted: Mapping[str, str],
    installed: Mapping[str, Iterable[str]],
    fix: str = "Run the Bonsai setup script, or start Bonsai once with a network connection: it "
    "downloads what is missing.",
) -> list[Finding]:
    """What is missing or differs from the versions that a `Bonsai.config` asks for.

    Args:
        wanted: version by package id.
        installed: versions by package id, see `installed_packages`.

        fix: what to do about them.

    Returns:
        A warning that lists those that are missing and one that lists those that differ; only
        warnings, since Bonsai downloads what it lacks when it starts. Empty when all are there.
    """
    by_id = {name.lower(): list(versions) for name, versions in installed.items()}
    missing: list[str] = []
    differing: list[str] = []
    for name, version in wanted.items():
        there = by_id.get(name.lower(), [])
        if not there:
            missing.append(f"{name} {version}")
        elif not any(same_version(version, one) for one in there):
            differing.append(f"{name} is installed at {', '.join(there)}, not at {version}")
    return [
        *_listed("bonsai-package-missing", "Not installed of Bonsai's packages", missing, fix),
        *_listed("bonsai-package-differs", "Bonsai's packages differ", differing, fix),
    ]


def _listed(code: str, words: str, named: list[str], fix: str) -> list[Finding]:
    if not named:
        return []
    return [Finding("warning", code, f"{words}: {', '.join(named)}.", where=CONFIG_NAME, fix=fix)]
