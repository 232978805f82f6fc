"""A place that files are copied to: a folder on a disk or a share, which may go away."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..errors import TransferError
from .paths import extended, shown
from .trust import Trust

_LEFT_OVER = re.compile(
    r"^\.([0-9a-f]{16}\.partial|(journal\.jsonl|transfer_receipt\.json)\.\d+\.tmp)$"
)
"""Names of files on their way, here and in `files.write_atomic`."""

_LINKS = tuple(
    getattr(stat, name)
    for name in ("IO_REPARSE_TAG_SYMLINK", "IO_REPARSE_TAG_MOUNT_POINT")
    if hasattr(stat, name)
)


class Place:
    """Where the copies of a session's files go: a folder of the session's own below another.

    Args:
        root: the folder that a person named.
        name: the session's name.
        wants: tells which files go here, by their names.
        trust: what arrived here before.
        make_root: whether the named folder is made when it is not there. Without that, a share
            that is not mounted is noticed.
        skip_there: whether files that are there already, alike, are passed over.
        claim: called each time that the place has been opened; what it raises closes it again.
    """

    def __init__(
        self,
        root: Path | str,
        name: str,
        *,
        wants: Callable[[str], bool] = lambda _: True,
        trust: Trust | None = None,
        make_root: bool = False,
        skip_there: bool = True,
        claim: Callable[[Path], object] = lambda _: None,
    ) -> None:
        self.root = extended(root)
        self.folder = self.root / name
        self.wants = wants
        self.trust = trust or Trust(None, "")
        self.skip_there = skip_there
        self.failure: OSError | None = None
        """Why nothing more can be copied here now."""
        self.went_on = False
        """Whether something of a large file was written before that."""
        self.was_open = False
        """Whether the place was there at any time of this transfer."""
        self._make_root = make_root
        self._claim = claim
        self._device: int | None = None
        self._made: set[str] = set()
        self._new: set[str] = set()
        self._making = threading.Lock()

    def __str__(self) -> str:
        return shown(self.folder)

    def open(self) -> None:
        """See that the place is there.

        Raises:
            OSError: it is away.
            TransferError: its folder cannot be used.
        """
        self._made.clear()
        self._new.clear()
        if self._make_root:
            self.root.mkdir(parents=True, exist_ok=True)
        self.check()
        self.make_folder("")
        self._claim(self.folder)
        self.was_open = True

    def check(self) -> None:
        """See that the place is still what it was.

        A share that is lost leaves the folder that it was mounted on, on another disk, which must
        not be filled.

        Raises:
            OSError: it is away.
        """
        device = self.root.stat().st_dev
        if self._device is None:
            self._device = device
        if device != self._device:
            raise OSError(errno.ENODEV, "another disk is in its place", shown(self.root))

    def free_bytes(self) -> int:
        """How much room there is."""
        return shutil.disk_usage(self.root).free

    def target(self, name: str) -> Path:
        """Where a file goes."""
        return self.folder / PurePosixPath(name)

    def make_folder(self, relative: str) -> bool:
        """Make a folder of the copy, and those above it.

        Args:
            relative: its path with `/`; empty for the copy itself.

        Returns:
            Whether it is new, so that only this transfer can have put something there.

        Raises:
            TransferError: a link is in the way, through which files would go elsewhere.
        """
        if relative in self._made:
            return relative in self._new
        if relative:
            self.make_folder(relative.rpartition("/")[0])
        folder = self.folder / PurePosixPath(relative)
        with self._making:
            if relative in self._made:  # by another thread meanwhile
                return relative in self._new
            try:
                folder.mkdir()
                self._new.add(relative)
            except FileExistsError:
                if is_link(folder.lstat()) or not folder.is_dir():
                    raise _in_the_way(folder) from None
            self._made.add(relative)
            return relative in self._new

    def remove_partials(self) -> None:
        """Remove what earlier copies left that were cut off."""
        for root, _, names in os.walk(self.folder):
            for name in names:
                if _LEFT_OVER.match(name):
                    (Path(root) / name).unlink(missing_ok=True)


def is_link(status: os.stat_result) -> bool:
    """Whether a file is a symbolic link, or a junction of Windows."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) in _LINKS


def _in_the_way(folder: Path) -> TransferError:
    return TransferError(
        "A link or a file is where a folder of the copy must be.",
        code="copy-folder-blocked",
        where=shown(folder),
        fix="Move it away, or name another destination.",
    )
