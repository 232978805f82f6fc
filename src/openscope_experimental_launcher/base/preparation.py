"""What comes before a session: its parameters, and the plan that is made of them.

Nothing of it starts, holds or writes anything, and nothing that does is loaded for it: `check` and
`plan` need no more than this.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ..engines import Engine, FolderSource, Source, get_engine
from ..errors import Finding
from ..metadata.machine import platform_info
from ..parameters.layers import Loaded, given, load, offers
from ..parameters.paths import on_missing_drive
from ..parameters.prompts import complete, is_interactive
from ..parameters.rigfile import NO_RIG_FILE, find_rig_file
from ..plan import Plan, make_plan
from ..repository import GitSource, Resolved
from ..utils.config_loader import ConfigLoader
from ..utils.git_manager import GitManager
from .options import RunOptions

_log = logging.getLogger("openscope")


class Preparation:
    """The first stages of a session, which only look; `BaseExperiment` goes on from here.

    Args:
        options: what was asked for beside the parameter file; the defaults suit a script.
    """

    def __init__(self, options: RunOptions | None = None) -> None:
        self.options = options or RunOptions()
        self.params: dict[str, Any] = {}
        self.config: dict[str, dict[str, Any]] = {}
        self.subject_id: str | None = None
        self.user_id: str | None = None
        self.params_checksum: str | None = None
        self.script_checksum: str | None = None

        self.config_loader = ConfigLoader()
        self.git_manager = GitManager(
            allow_dirty=self.options.allow_dirty,
            offline=self.options.offline,
            on_progress=self._tell,
        )

        self._answers: dict[str, Any] = {}
        self._rig = NO_RIG_FILE
        self._loaded: Loaded | None = None
        self._plan: Plan | None = None

    def use(self, options: RunOptions) -> None:
        """Take other options; for subclasses whose constructor takes no arguments."""
        self.options = options
        for name in ("allow_dirty", "offline"):
            if hasattr(self.git_manager, name):
                setattr(self.git_manager, name, getattr(options, name))

    def _tell(self, line: str) -> None:
        if "%" not in line:  # progress is for the screen
            _log.info(line)
        if self.options.tell is not None:
            self.options.tell(line)

    @property
    def _interactive(self) -> bool:
        asked = self.options.interactive
        return is_interactive() if asked is None else asked

    # -- parameters ----------------------------------------------------------------------------

    def load_parameters(self, param_file: str | os.PathLike[str] | None) -> None:
        """Load and validate the parameters, and ask for what is missing.

        May be called again; answers are kept. Fills `params`, `params_checksum`, `subject_id`,
        `user_id` and `config`.

        Args:
            param_file: JSON parameter file; None means an empty one.

        Raises:
            FileNotFoundError: the file is not there.
            ValueError: the file or a value cannot be used; the error names every fault.
        """
        file = Path(param_file) if param_file else None
        asked = given(file, self.options.overrides)
        self._rig = find_rig_file(asked, rehearsal=self.options.rehearse)
        self.config = self._load_config({**self._rig.values, **asked})
        self._take(self._load(file))
        if answers := self.collect_runtime_information():
            self._answers |= answers
            self._take(self._load(file))

    def _load_config(self, named: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        config_path = named.get("config_path")
        if isinstance(config_path, str) and on_missing_drive(config_path):
            return {}  # a rehearsal goes without it, the checks of a run refuse it
        return self.config_loader.load_config(named)

    def _load(self, file: Path | None) -> Loaded:
        return load(
            file,
            overrides=self.options.overrides,
            config=self.config,
            rig=self._rig,
            answers=self._answers,
            rehearsal=self.options.rehearse,
        )

    def _take(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self.params = loaded.values
        self.params_checksum = loaded.checksum
        self.subject_id = loaded.parameters.subject_id
        self.user_id = loaded.parameters.user_id

    def collect_runtime_information(self) -> dict[str, Any]:
        """Ask for what is missing: subject and user.

        Override it to ask for more; what is returned lies over the parameter file.

        Returns:
            The answers, key → value; nothing for what is known already.

        Raises:
            ParameterError: something is missing and there is no terminal to ask on.
        """
        return complete(
            self._require_loaded(),
            interactive=self._interactive,
            defaults=self.options.defaults,
            offers=offers(self.config, self._rig.values),
        )

    @property
    def origins(self) -> dict[str, str]:
        """Where each parameter's value comes from."""
        return self._require_loaded().origins

    @property
    def parameter_warnings(self) -> tuple[Finding, ...]:
        """What is odd about the parameters and need not stop a session."""
        loaded = self._require_loaded()
        parameters = loaded.parameters
        if not (parameters.pre_acquisition_pipeline or parameters.post_acquisition_pipeline):
            return loaded.warnings
        from ..steps.pipeline import parameter_names

        # Keys that only a step knows are known after all.
        known = tuple(f'The key "{name}" ' for name in parameter_names(parameters))
        return tuple(w for w in loaded.warnings if not w.message.startswith(known))

    def _require_loaded(self) -> Loaded:
        if self._loaded is None:
            self._loaded = self._load(None)
        return self._loaded

    @cached_property
    def platform_info(self) -> dict[str, Any]:
        """The machine: `python`, `os`, `hardware`, `computer_name`, `rig_id`."""
        rig = self._loaded.parameters.rig_id if self._loaded else None
        return platform_info(rig)

    # -- the plan ---------------------------------------------------------------------------------

    def make_plan(self) -> Plan:
        """What `run` would do with the loaded parameters; changes nothing in any checkout.

        Raises:
            LauncherError: in plain words, what stands in the way of a plan.
        """
        loaded = self._require_loaded()
        engine = self._engine(loaded.parameters.launcher)
        resolve = getattr(self.git_manager, "resolve", None)
        code = resolve(self._repository_parameters()) if resolve else None
        return make_plan(
            loaded,
            engine=engine,
            source=self._source(code) if code is not None else self._folder_source(),
            code=code,
            rehearsal=self.options.rehearse,
            sync=self.options.sync or not self.options.rehearse,
        )

    def _engine(self, name: str) -> Engine:
        return get_engine(name)

    def _source(self, code: Resolved) -> Source:
        return GitSource(code)

    def _repository_parameters(self) -> dict[str, Any]:
        """The validated values of the keys that name the repository, placeholders filled."""
        parameters = self._require_loaded().parameters
        keys = ("repository_url", "repository_commit_hash", "local_repository_path")
        return {**self.params, **{key: getattr(parameters, key) for key in keys}}

    def _folder_source(self) -> Source:
        """Without git: the checkout as it lies there, else the parameter file's folder."""
        checkout = self.git_manager.get_repository_path(self._repository_parameters())
        if checkout:
            return FolderSource(Path(checkout).absolute())
        loaded = self._require_loaded()
        named = loaded.parameters.local_repository_path
        if named:
            return FolderSource(Path(named).absolute())
        return FolderSource(loaded.file.absolute().parent if loaded.file else Path.cwd())

    def _require_plan(self) -> Plan:
        """The plan of the run; after `load_parameters` alone, one that asks no git."""
        if self._plan is None:
            loaded = self._require_loaded()
            self._plan = make_plan(
                loaded,
                engine=get_engine(loaded.parameters.launcher),
                source=self._folder_source(),
                code=None,
                rehearsal=self.options.rehearse,
                sync=self.options.sync or not self.options.rehearse,
            )
            self.script_checksum = self._plan.script_checksum or None
        return self._plan
