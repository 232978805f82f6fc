"""Checking a plan with a 60 KB workflow whose repository is present, against `--version`.

Both are the whole program, from its start to its end, as a person calls it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from common import OPENSCOPE, experiment, git, interleaved, report

LIMIT = 2.0
WORKFLOW_BYTES = 60_000

_XML = """\
<?xml version="1.0" encoding="utf-8"?>
<WorkflowBuilder Version="2.8.1"
                 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
                 xmlns:rx="clr-namespace:Bonsai.Reactive;assembly=Bonsai.Core"
                 xmlns:io="clr-namespace:Bonsai.IO;assembly=Bonsai.System"
                 xmlns="https://bonsai-rx.org/2018/workflow">
  <Workflow>
    <Nodes>
{nodes}
    </Nodes>
    <Edges>
{edges}
    </Edges>
  </Workflow>
</WorkflowBuilder>
"""
_PAIR = """\
      <Expression xsi:type="ExternalizedMapping">
        <Property Name="DueTime" DisplayName="Trial{n}Delay" />
      </Expression>
      <Expression xsi:type="Combinator">
        <Combinator xsi:type="rx:Timer">
          <rx:DueTime>PT{n}S</rx:DueTime>
          <rx:Period>PT0S</rx:Period>
        </Combinator>
      </Expression>"""
_EDGE = '      <Edge From="{}" To="{}" Label="Source1" />'


def workflow() -> str:
    """A workflow of the size of a real one: mappings, each with the timer that it sets."""
    pairs = WORKFLOW_BYTES // (len(_PAIR) + len(_EDGE))
    nodes = "\n".join(_PAIR.format(n=n) for n in range(pairs))
    edges = "\n".join(_EDGE.format(2 * n, 2 * n + 1) for n in range(pairs))
    return _XML.format(nodes=nodes, edges=edges)


def main(runs: int = 20) -> bool:
    with experiment([], launcher="bonsai", subject_id="bench") as file:
        repository = file.parent / "repository"
        (repository / "oddball.bonsai").write_text(workflow())
        exe = repository / "Bonsai.exe"
        exe.write_text("#!/bin/sh\n")
        exe.chmod(0o755)
        git(repository, "add", ".")
        git(repository, "commit", "-qm", "A workflow")
        values = json.loads(file.read_bytes())
        values |= {
            "repository_commit_hash": git(repository, "rev-parse", "HEAD"),
            "script_path": "oddball.bonsai",
            "script_parameters": {"Trial1Delay": "00:00:02", "Trial7Delay": "00:00:03"},
            "bonsai_exe_path": "Bonsai.exe",
            "stop_file": "{output_session_folder}/stop",
        }
        file.write_text(json.dumps(values))
        checkouts = Path(values["local_repository_path"])
        git(checkouts.parent, "clone", "-q", str(repository), str(checkouts / "repository"))

        def check(_: int) -> float:
            return timed("check", str(file))

        def version(_: int) -> float:
            return timed("--version")

        return report("check", *interleaved(runs, check, version), LIMIT)


def timed(*arguments: str) -> float:
    """Seconds that the command takes; it must succeed."""
    start = time.monotonic()
    subprocess.run([*OPENSCOPE, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


if __name__ == "__main__":
    sys.exit(not main())
