"""The pages of the documentation, taken apart."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import textwrap
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parents[2]
SOURCE = PROJECT / "src" / "openscope_experimental_launcher"

_FENCE = re.compile(
    r"(?:^ *<!-- ([^\n]+) -->\n)?^( *)```(\w*)\n(.*?)^\2```$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"# file: (\S+)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    number: int
    language: str
    text: str
    remark: str = ""
    """The HTML comment right above it, which says what is special about it."""

    @property
    def file(self) -> str:
        """The name on its first line, `# file: NAME`; empty when there is none."""
        named = _FILE.match(self.text)
        return named[1] if named else ""

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def pages() -> list[Path]:
    """All pages that people read."""
    return [
        PROJECT / "README.md",
        PROJECT / "CONTRIBUTING.md",
        *sorted((PROJECT / "docs").rglob("*.md")),
    ]


def page_name(page: Path) -> str:
    """A page as people name it: `README.md`, `operators/before.md`."""
    return page.relative_to(PROJECT).as_posix().removeprefix("docs/")


def blocks(*languages: str) -> list[Block]:
    """All fenced blocks in these languages; in any when none is given."""
    found = []
    for page in pages():
        fenced = _FENCE.findall(page.read_text(encoding="utf-8"))
        for number, (remark, _, kind, text) in enumerate(fenced, 1):
            if kind in languages or not languages:
                plain = textwrap.dedent(text)
                found.append(Block(page_name(page), number, kind, plain, remark))
    return found


def script(name: str) -> ModuleType:
    """A module of `scripts/`, which is no package."""
    spec = importlib.util.spec_from_file_location(name, PROJECT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(*arguments: str, folder: Path) -> str:
    """What git says."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, encoding="utf-8"
    )
    return done.stdout.strip()


def run_python(
    *arguments: str, folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run this interpreter and wait for it."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )


def install(package: dict[str, str], site: Path) -> None:
    """Put a package of a page on a path as an installer does: its modules, and the metadata with
    its entry points.

    Args:
        package: file name → text, `pyproject.toml` among them.
        site: the folder to install into.
    """
    project = tomllib.loads(package["pyproject.toml"])["project"]
    metadata = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (metadata / "METADATA").write_text(about, encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    for name, text in package.items():
        if name.endswith(".py"):
            (site / name).write_text(text, encoding="utf-8")
