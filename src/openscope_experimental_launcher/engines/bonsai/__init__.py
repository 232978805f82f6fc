"""The Bonsai engine: a workflow run without the editor, on a rig or by the simulated player."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import Finding
from .. import Ended, Launch, Source

if TYPE_CHECKING:
    from ...parameters.model import Parameters


class BonsaiEngine:
    """Runs the .bonsai workflow that `script_path` names.

    Its rooms are imported when they are needed, so that the simulated player, which is a module
    of this package, starts quickly.
    """

    name = "bonsai"

    def prepare(
        self, parameters: Parameters, source: Source, session_folder: str, *, rehearsal: bool
    ) -> Launch:
        """Describe the launch; see `Engine.prepare`."""
        from .launch import prepare_launch

        return prepare_launch(parameters, source, session_folder, rehearsal=rehearsal)

    def check(self, parameters: Parameters, source: Source, launch: Launch) -> list[Finding]:
        """Findings before the session; see `Engine.check`."""
        from .checks import check_launch

        return check_launch(parameters, source, launch)

    def environment(self, parameters: Parameters, source: Source) -> dict[str, Any]:
        """Bonsai and its packages as they are installed."""
        from .launch import exe_path
        from .packages import PACKAGES_FOLDER, installed_packages

        exe = exe_path(parameters, source)
        return {
            "bonsai_exe": str(exe),
            "packages": {
                name: ", ".join(versions)
                for name, versions in installed_packages(exe.parent / PACKAGES_FOLDER).items()
            },
        }

    def diagnose(self, ended: Ended) -> list[Finding]:
        """What the end means; see `Engine.diagnose`."""
        from .diagnosis import diagnose

        return diagnose(ended)
