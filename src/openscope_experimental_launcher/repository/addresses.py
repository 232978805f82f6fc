"""Addresses of repositories and names of commits: which of them may be given to git at all."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from ..errors import RepositoryError, did_you_mean
from ..masking import mask_arguments

TRANSPORTS = ("https", "http", "ssh", "git", "file")
_DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_DRIVE = re.compile(r"[A-Za-z]:")
_SCP = re.compile(r"(?:[^/:@\s]+@)?(?P<host>[^/:@\s]+):(?P<path>.+)")
_FULL_HASH = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})", re.IGNORECASE)
_SHORT_HASH = re.compile(r"[0-9a-f]{4,64}", re.IGNORECASE)
_FORBIDDEN_IN_NAME = re.compile(r'[<>:"|?*\\/]')
_DEVICE_NAMES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
# git-check-ref-format(1), and what would make an expression out of a name.
_FORBIDDEN_IN_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[/.]$|^[-/.]")
_LONGEST_REF = 250


class RepositoryUrl(NamedTuple):
    """An address that git may be given.

    Attributes:
        text: the address as it was given, credentials included; never shown.
        public: the same without credentials, for people, files and the checkout's own settings.
        name: last component without `.git`: the name of the checkout's folder.
        transport: one of `TRANSPORTS`; `file` for paths.
        key: equal for two addresses of one repository (`https` and `ssh` of one host are one).
    """

    text: str
    public: str
    name: str
    transport: str
    key: tuple[str, str]

    def __repr__(self) -> str:
        return f"RepositoryUrl({self.public!r})"

    @property
    def is_local(self) -> bool:
        """Whether the repository is on this machine's file systems."""
        return self.transport == "file"

    @classmethod
    def parse(cls, text: str) -> RepositoryUrl:
        """Read an address.

        Args:
            text: `https://`, `http://`, `ssh://`, `git://` or `file://`, the `user@host:path` form
                of ssh, or an absolute path.

        Raises:
            RepositoryError: git must not be given this, or no folder can be named after it.
        """
        if not text or text != text.strip() or _CONTROL.search(text):
            raise _refused(text, "is empty or has spaces or control characters around or in it")
        if text.startswith("-"):
            raise _refused(text, "would be read by git as an option")
        if _HELPER.match(text):
            raise _refused(text, "names a helper program instead of a server or a folder")
        if match := _SCHEME.match(text):
            return _parse_url(text, match[1].lower())
        if _is_absolute(text):
            return _local(text, text)
        if _DRIVE.match(text) and not _DRIVE.sub("", text, count=1).startswith(":"):
            raise _refused(text, "is a path of a Windows machine, and this is none")
        if match := _SCP.fullmatch(text):
            return _network(text, text, "ssh", match["host"].lower(), match["path"])
        raise _refused(text, "is a relative path, which means something else in every folder")


def _is_absolute(text: str) -> bool:
    return Path(text).is_absolute() or (sys.platform == "win32" and text.startswith("//"))


def _parse_url(text: str, scheme: str) -> RepositoryUrl:
    if scheme not in TRANSPORTS:
        known = did_you_mean(scheme, TRANSPORTS)
        raise _refused(text, f"uses the transport '{scheme}', which is not allowed.{known}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _refused(text, f"cannot be read ({error})") from error
    if scheme == "file":
        path = unquote(text[len("file://") :])
        path = path[1:] if sys.platform == "win32" and re.match(r"/[A-Za-z]:", path) else path
        if not _is_absolute(path):
            raise _refused(text, "has no absolute path after file://")
        return _local(text, path)
    if parts.query or parts.fragment:
        raise _refused(text, "has a '?' or '#' part, as addresses of web pages have")
    host = (parts.hostname or "") + (f":{port}" if port and port != _DEFAULT_PORTS[scheme] else "")
    if (parts.username or "").startswith("-"):
        raise _refused(text, "has a user name that would be read as an option")
    user = f"{parts.username}@" if scheme == "ssh" and parts.username else ""
    netloc = user + parts.netloc.rpartition("@")[2]
    return _network(text, f"{scheme}://{netloc}{parts.path}", scheme, host, unquote(parts.path))


def _network(text: str, public: str, scheme: str, host: str, path: str) -> RepositoryUrl:
    if not host or host.startswith("-"):
        raise _refused(text, "has no usable host name")
    if path.startswith("-"):
        raise _refused(text, "has a path that would be read as an option")
    inner = path.strip("/").removesuffix(".git").rstrip("/").casefold()
    return RepositoryUrl(text, public, _folder_name(text, path), scheme, (host, inner))


def _local(text: str, location: str) -> RepositoryUrl:
    slashed = location.replace("\\", "/") if sys.platform == "win32" else location
    name = _folder_name(text, slashed)
    path = Path(location)
    real = os.path.normcase(os.path.realpath(path.parent if path.name == ".git" else path))
    return RepositoryUrl(text, text, name, "file", ("", real))


def _folder_name(text: str, path: str) -> str:
    last = path.rstrip("/").removesuffix("/.git").rstrip("/").rpartition("/")[2]
    last = last.rpartition(":")[2].removesuffix(".git")
    if (
        last.strip(". ") == ""
        or last[-1] in ". "
        or _FORBIDDEN_IN_NAME.search(last)
        or _DEVICE_NAMES.fullmatch(last)
    ):
        raise _refused(text, f"ends in '{last}', which cannot be the name of a folder")
    return last


def _refused(text: str, why: str) -> RepositoryError:
    return RepositoryError(
        f"The repository address {why.removesuffix('.')}.",
        code="repository-url-refused",
        where=f"repository_url: {mask_arguments([text])[0]!r}",
        fix="Give an https:// or ssh address that ends in the repository's name, "
        "or the absolute path of a folder.",
    )


def same_repository(one: RepositoryUrl, other: str) -> bool:
    """Whether `other`, an address from a checkout's settings, is of the same repository."""
    try:
        return RepositoryUrl.parse(other).key == one.key
    except RepositoryError:
        return False


def validate_url(url: str) -> None:
    """Refuse an address that git must not be given.

    Raises:
        RepositoryError: with the reason and what to give instead.
    """
    RepositoryUrl.parse(url)


def validate_ref(ref: str) -> None:
    """Refuse what is not the plain name of a commit, branch or tag.

    Raises:
        RepositoryError: it looks like an option or an expression, or git knows no such names.
    """
    if ref and ref != "@" and len(ref) <= _LONGEST_REF and not _FORBIDDEN_IN_REF.search(ref):
        return
    raise RepositoryError(
        "The commit asked for is not the name of a branch, a tag or a commit.",
        code="repository-ref-refused",
        where=f"repository_commit_hash: {ref[:_LONGEST_REF]!r}",
        fix="Give a full commit hash (best), a tag, a branch or HEAD.",
    )


def is_full_hash(ref: str) -> bool:
    """Whether `ref` is a whole commit hash (40 digits of SHA-1 or 64 of SHA-256)."""
    return bool(_FULL_HASH.fullmatch(ref))


def may_be_hash(ref: str) -> bool:
    """Whether `ref` can be the beginning of a commit hash."""
    return bool(_SHORT_HASH.fullmatch(ref))
