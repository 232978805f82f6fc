"""A program for the experiment's own interpreter: can it compile a script and find its imports?

Reads one line of JSON from standard input, `{"folder": …, "names": […]}`, and after it the bytes
of the script; writes one line of JSON. Nothing is imported and nothing of the script is run.
Standard library only, and nothing that an older Python 3 does not know.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any


def syntax_problem(script: bytes) -> dict[str, Any] | None:
    """What this Python says against the script, or None."""
    try:
        compile(script, "script", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        words = getattr(error, "msg", None) or str(error)
        return {"message": words, "line": getattr(error, "lineno", None)}
    return None


def is_found(name: str) -> bool:
    """Whether a top-level module of this name can be imported; none is."""
    if name in sys.builtin_module_names or name in sys.modules:
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def packages() -> dict[str, str]:
    """Distribution name → version, from the names of the folders that installers leave."""
    found: dict[str, str] = {}
    for folder in filter(None, sys.path):
        try:
            entries = [entry.name for entry in Path(folder).iterdir()]
        except OSError:
            continue
        for name in entries:
            stem, _, kind = name.rpartition(".")
            if kind in ("dist-info", "egg-info") and "-" in stem:
                project, version = stem.split("-")[:2]
                found.setdefault(project.replace("_", "-").lower(), version)
    return found


def main() -> None:
    """Answer the question."""
    order = json.loads(sys.stdin.buffer.readline().decode("utf-8"))
    script = sys.stdin.buffer.read()
    if sys.path and sys.path[0] == str(Path(__file__).parent):
        sys.path[0] = order["folder"]  # as it is when the script itself is started
    answer = {
        "python": sys.version.split()[0],
        "syntax": syntax_problem(script),
        "missing": [name for name in order["names"] if not is_found(name)],
        "packages": packages(),
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
