"""The versions of this launcher that a parameter file is for."""

from __future__ import annotations

from ..errors import Finding
from .wording import shown

_DISTRIBUTION = "openscope-experimental-launcher"


def version_finding(wanted: str, source: str) -> Finding | None:
    """What is wrong when this launcher is none of the versions that are wanted.

    The rules are those of PEP 440: `>=1.2,<2`; a version alone means exactly that one. A
    pre-release satisfies what its version does.

    Args:
        wanted: the value of `launcher_version`.
        source: where it stands, for the words of an error.
    """
    # Only here: no other parameter needs them, and most files have none.
    from importlib.metadata import version

    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    text = wanted.strip()
    where = f"{source}, launcher_version: {shown(wanted)}"
    try:
        fits = SpecifierSet(f"=={text}" if text[:1].isdigit() else text)
    except InvalidSpecifier:
        return Finding(
            "error",
            "launcher-version-invalid",
            "launcher_version says nothing about versions.",
            where=where,
            fix='Write it as in ">=1.0" or ">=1.2,<2" (PEP 440).',
        )
    here = version(_DISTRIBUTION)
    if fits.contains(here, prereleases=True):
        return None
    return Finding(
        "error",
        "launcher-version",
        f"The file is for versions {fits} of the launcher, and this is {here}.",
        where=where,
        fix="Install a version that fits, or, when the file has been tried with this one, change "
        "launcher_version.",
    )
