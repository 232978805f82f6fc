"""The configuration file that CamStim keeps on a rig, under its documented name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..parameters.camstim import DEFAULT_CONFIG_PATH, load_config

__all__ = ["DEFAULT_CONFIG_PATH", "ConfigLoader"]


class ConfigLoader:
    """Reads the rig's `stim.cfg`. Replace it on an experiment to read something else."""

    def load_config(self, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The sections of the rig's configuration file.

        Args:
            params: the experiment's parameters; `config_path` names another file than the one
                at `DEFAULT_CONFIG_PATH`.

        Returns:
            Section name to its keys and values, read as Python literals where they are some;
            `{}` when there is no file at the default place.

        Raises:
            ParameterFileNotFoundError: the file that `config_path` names is not there.
            ParameterError: the file cannot be read or is broken.
        """
        return load_config(params)
