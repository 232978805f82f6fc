"""The bundle: what a rig engineer needs of a session, in one file. Records and logs, no data."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..display.words import size as size_in_words
from ..errors import SessionError
from ..files import write_atomic
from ..masking import mask_log, mask_values
from ..session.folder import SessionFolder
from . import make_report
from .contents import REPORT_NAME, is_record

_MOST_BYTES = 4_000_000
"""Of a longer file only so much of its end is packed; what went wrong stands there."""


class Bundle(NamedTuple):
    """A bundle that was written.

    Attributes:
        file: the zip file.
        names: what is in it.
        left_out: the session's files that are not, with why.
    """

    file: Path
    names: list[str]
    left_out: dict[str, str]


def write_bundle(folder: SessionFolder, file: Path, *, others: Sequence[Path] = ()) -> Bundle:
    """Pack the records and logs of a session, and a new report of it. Whatever looks like a secret
    is masked.

    Args:
        folder: the session, in any state.
        file: where to write the zip file.
        others: more records about it that lie elsewhere, such as its guard's.

    Raises:
        SessionError: the folder is no session, or the file cannot be written.
    """
    left_out: dict[str, str] = {}
    packed = {f"elsewhere/{path.name}": _masked(path) for path in others if path.is_file()}
    for name, path in _files(folder):
        if not is_record(name):
            left_out[name] = f"{size_in_words(path.stat().st_size)}, data"
            continue
        try:
            packed[name] = _masked(path)
        except OSError as error:
            left_out[name] = f"cannot be read: {error.strerror or error}"
    packed[REPORT_NAME] = _report(folder)
    packed["LEFT_OUT.txt"] = "".join(f"{name}: {why}\n" for name, why in left_out.items())
    try:
        write_atomic(file, _zipped(folder.name, packed))
    except OSError as error:
        raise SessionError(
            f"The bundle cannot be written: {error.strerror or error}.",
            code="bundle-unwritable",
            where=str(file),
            fix="Name another place: openscope bundle SESSION --output FILE.",
        ) from error
    return Bundle(file, list(packed), left_out)


def _files(folder: SessionFolder) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.path.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.suffix != ".times":
            yield path.relative_to(folder.path).as_posix(), path


def _masked(path: Path) -> str:
    with path.open("rb") as stream:
        length = stream.seek(0, 2)
        stream.seek(max(length - _MOST_BYTES, 0))
        text = stream.read(_MOST_BYTES).decode("utf-8", "replace")
    if length > _MOST_BYTES:
        first = f"[the first {size_in_words(length - _MOST_BYTES)} are left out]\n"
        return first + mask_log(text.partition("\n")[2])
    if path.suffix == ".jsonl":
        return "".join(_masked_json(line) + "\n" for line in text.splitlines())
    return _masked_json(text, indent=2) if path.suffix == ".json" else mask_log(text)


def _masked_json(text: str, indent: int | None = None) -> str:
    try:
        return json.dumps(mask_values(json.loads(text)), indent=indent, ensure_ascii=False)
    except (ValueError, RecursionError):
        return mask_log(text)


def _report(folder: SessionFolder) -> str:
    with tempfile.TemporaryDirectory() as place:
        return make_report(folder.path, Path(place) / REPORT_NAME).read_text("utf-8")


def _zipped(name: str, texts: Mapping[str, str]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in texts.items():
            archive.writestr(f"{name}/{path}", text.encode("utf-8", "replace"))
    return whole.getvalue()
