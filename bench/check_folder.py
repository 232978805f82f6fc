"""A folder of 100 parameter files checked in one table, against one of them checked alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from common import OPENSCOPE, experiment, interleaved, report

LIMIT = 5.0
FILES = 100
_WORKFLOWS = 10


def main(runs: int = 10) -> bool:
    with experiment(["true"]) as template:
        folder = template.parent / "lab"
        make_folder(folder, json.loads(template.read_text()))
        one = sorted(folder.iterdir())[0]

        def check(path: Path) -> float:
            start = time.monotonic()
            subprocess.run(
                [*OPENSCOPE, "check", str(path)],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            return time.monotonic() - start

        return report(
            f"check of {FILES} files",
            *interleaved(runs, lambda _: check(folder), lambda _: check(one)),
            LIMIT,
        )


def make_folder(folder: Path, template: dict[str, object]) -> None:
    """Files as a lab has them: one repository, several scripts, steps before and after."""
    repository = Path(str(template["repository_url"]))
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for number in range(_WORKFLOWS):
        (repository / f"task_{number}.py").write_text("print('a task')\n" * 200)
    for arguments in (["add", "."], ["commit", "-qm", "tasks"]):
        subprocess.run([*git, *arguments], cwd=repository, check=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, check=True, capture_output=True, text=True
    ).stdout.strip()
    folder.mkdir()
    for number in range(FILES):
        values = {
            **template,
            "launcher": "python",
            "repository_commit_hash": commit,
            "script_path": f"task_{number % _WORKFLOWS}.py",
            "script_parameters": {"trials": number, "folder": "{output_session_folder}\\data"},
            "pre_acquisition_pipeline": [
                {"module_path": "disk_space_check", "module_parameters": {"required_free_gb": 1}},
                "mouse_weight_pre_prompt",
                "metadata_subject_fetch",
            ],
            "post_acquisition_pipeline": ["mouse_weight_post_prompt", "experiment_notes_finalize"],
        }
        del values["command"]
        (folder / f"file_{number:03}.json").write_text(json.dumps(values))


if __name__ == "__main__":
    sys.exit(not main())
