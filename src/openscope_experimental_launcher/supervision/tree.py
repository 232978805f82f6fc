"""The process tree of this operating system: the one place that chooses."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from openscope_experimental_launcher.supervision.tree_windows import (
        Tree,
        system_memory_percent,
    )
elif sys.platform == "linux":
    from openscope_experimental_launcher.supervision.tree_linux import Tree, system_memory_percent
else:
    from openscope_experimental_launcher.supervision.tree_posix import Tree, system_memory_percent

__all__ = ["Tree", "system_memory_percent"]
