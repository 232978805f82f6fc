"""The log of one session: everything that is logged while it runs, secrets masked."""

from __future__ import annotations

import logging
from pathlib import Path

from ..masking import mask_text

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class _Masked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return mask_text(super().format(record))


class RunLog:
    """Handlers on the root logger, and the way to take them off again."""

    def __init__(self) -> None:
        self._handlers: list[logging.FileHandler] = []
        self._level_before = logging.NOTSET

    def open(self, file: Path, central_folder: Path | None) -> None:
        """Log to `file`, and to a file of the same name in `central_folder`.

        A central folder that cannot be written is said in the log and is no error: a share that
        is away must not stop a session.
        """
        self.close()
        root = logging.getLogger()
        self._level_before = root.level
        if root.getEffectiveLevel() > logging.INFO:
            root.setLevel(logging.INFO)
        self._add(file)
        if central_folder is not None:
            try:
                central_folder.mkdir(parents=True, exist_ok=True)
                self._add(central_folder / file.name)
            except OSError as error:
                logging.getLogger(__name__).warning("No central log: %s", error)

    def _add(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(_Masked(_FORMAT))
        handler.setLevel(logging.INFO)
        logging.getLogger().addHandler(handler)
        self._handlers.append(handler)

    def close(self) -> None:
        """Take the handlers off and close the files; does nothing when there are none."""
        if not self._handlers:
            return
        root = logging.getLogger()
        for handler in self._handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(self._level_before)
        self._handlers = []
