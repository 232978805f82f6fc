"""Reading a repository's objects: names to commits, and the files of a commit. Writes nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..errors import RepositoryError
from .git import Git
from .index import read_index

SYMLINK, SUBMODULE = "120000", "160000"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\n"
_LONGEST_POINTER = 1024  # the git-lfs specification's limit, in bytes

Tree = Mapping[str, str]
"""The files of a commit: path with `/` -> git's mode of it."""


class Named(NamedTuple):
    """What a name means in one repository; each a full hash, or empty.

    Attributes:
        tag: the commit of the tag of that name.
        branch: the commit of the branch of that name, as it was last fetched.
        commit: the commit whose hash begins so.
        ambiguous: several commits begin so.
    """

    tag: str = ""
    branch: str = ""
    commit: str = ""
    ambiguous: bool = False


def look_up(git: Git, name: str, *, branches: str) -> Named:
    """What `name` means in a repository.

    Args:
        git: the repository.
        name: a tag, a branch or the beginning of a hash.
        branches: where it keeps what it fetched of branches (`refs/remotes/origin/`).
    """
    asked = [f"refs/tags/{name}^{{commit}}", f"{branches}{name}^{{commit}}"]
    asked += [f"{name}^{{commit}}", name]
    answers = git.run(
        "cat-file", "--batch-check", input_text="\n".join(asked) + "\n", expected=(0, 128)
    )
    if answers.code:
        return Named()  # a spoiled repository knows nothing
    tag, branch, commit, plain = (_commit_in(line) for line in answers.text.splitlines())
    if not commit.startswith(name.lower()):
        commit = ""  # git took it for the name of a branch
    return Named(tag, branch, commit, ambiguous=plain == "ambiguous" and not commit)


def _commit_in(answer: str) -> str:
    words = answer.split(" ")
    if words[-1] == "ambiguous":
        return "ambiguous"
    return words[0] if len(words) == 3 and words[1] == "commit" else ""


def commits_beginning(git: Git, short: str) -> list[str]:
    """Full hashes of the objects whose hash begins with `short`."""
    return git.run("rev-parse", f"--disambiguate={short}").text.splitlines()


def list_tree(git: Git, commit: str) -> Tree | None:
    """The files of a commit; None when the repository does not hold that commit.

    Args:
        git: the repository.
        commit: a full hash.
    """
    listed = git.run(
        "ls-tree", "-r", "-z", "--full-tree", f"{commit}^{{commit}}", expected=(0, 128)
    )
    if listed.code:
        return None
    tree = {}
    for entry in os.fsdecode(listed.stdout).split("\0"):
        about, _, path = entry.partition("\t")
        if path:
            tree[path] = about[:6]
    return tree


def read_file(git: Git, commit: str, path: str) -> bytes:
    """The bytes of a file of a commit, following symbolic links inside the commit.

    Args:
        git: the repository.
        commit: a full hash.
        path: relative, with `/`.

    Raises:
        FileNotFoundError: the commit has no such file.
        RepositoryError: a symbolic link leads out of the repository, or the content is not there.
    """
    if "\n" in path:
        raise FileNotFoundError(path)
    answer = git.run(
        "cat-file", "--batch", "--follow-symlinks", input_text=f"{commit}:{path}\n"
    ).stdout
    heading, _, content = answer.partition(b"\n")
    words = heading.split(b" ")
    if len(words) == 3 and words[1] == b"blob":
        data = content[: int(words[2])]
        refuse_lfs_pointer(data, path)
        return data
    if words[0] == b"symlink":
        raise link_leaves(path)
    raise FileNotFoundError(path)


def link_leaves(path: str) -> RepositoryError:
    """The error for a symbolic link that leads out of the repository."""
    return RepositoryError(
        "A file of the repository is a symbolic link that leads out of it.",
        code="repository-link-leaves",
        where=path,
        fix="Put the file itself into the repository.",
    )


def is_lfs_pointer(data: bytes) -> bool:
    """Whether this content only stands for a file that git-lfs did not fetch."""
    return len(data) < _LONGEST_POINTER and data.startswith(_LFS_POINTER)


def refuse_lfs_pointer(data: bytes, path: str) -> None:
    """Take a pointer for no data.

    Raises:
        RepositoryError: `data` only stands for a file that git-lfs did not fetch.
    """
    if is_lfs_pointer(data):
        raise lfs_missing([path])


def lfs_missing(paths: list[str]) -> RepositoryError:
    """The error for files of which only git-lfs's pointers are here."""
    named = ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")
    return RepositoryError(
        "Large files of the repository (git-lfs) are not here, only the pointers to them.",
        code="repository-lfs-pointer",
        where=named,
        fix="Install git-lfs, run `git lfs install` once, and in the checkout `git lfs pull`.",
    )


def may_hold_lfs(checkout: Path, head: str) -> bool:
    """Whether a checkout may have files of git-lfs. False is certain, and costs no process."""
    if (checkout / ".gitmodules").is_file():
        return True
    index = read_index(checkout, head)
    if index is None:
        return True
    return any(_names_lfs(checkout / name) for name in index.attributes)


def _names_lfs(attributes: Path) -> bool:
    return attributes.is_file() and b"filter=lfs" in attributes.read_bytes()


def find_lfs_pointers(git: Git, folder: Path) -> list[str]:
    """The files in a checkout, its submodules included, that are still pointers of git-lfs."""
    listed = git.run("ls-files", "-z", "--recurse-submodules", "--", ":(attr:filter=lfs)")
    names = [name for name in os.fsdecode(listed.stdout).split("\0") if name]
    return [name for name in names if _is_pointer_file(folder / name)]


def _is_pointer_file(path: Path) -> bool:
    if not path.is_file() or path.stat().st_size >= _LONGEST_POINTER:
        return False
    return is_lfs_pointer(path.read_bytes())
