"""Reading the experiment's files before they are checked out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from openscope_experimental_launcher.engines import Source
from openscope_experimental_launcher.errors import RepositoryError
from openscope_experimental_launcher.repository import GitSource, prepare

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def link(lab, name, target):
    (lab.remote / name).parent.mkdir(parents=True, exist_ok=True)
    (lab.remote / name).symlink_to(target)
    lab.server("add", name)
    return lab.commit({})


@pytest.fixture(params=["not here", "elsewhere", "there"])
def source_at(request, lab):
    """A way to the source of a commit: without a checkout, with one elsewhere, with it there."""

    def make(ref="main") -> GitSource:
        if request.param == "elsewhere":
            lab.run(lab.server("rev-list", "--max-parents=0", "HEAD"))
        if request.param == "there":
            lab.run(ref)
        return GitSource(lab.resolve(ref))

    return make


def test_files_are_read(lab, source_at):
    lab.commit({"flow.bonsai": b"\xef\xbb\xbf<two/>\r\n\0\xff", "a b/ü.py": "x", "empty": ""})
    source: Source = source_at()
    assert source.root == lab.path
    assert source.read(Path("flow.bonsai")) == b"\xef\xbb\xbf<two/>\r\n\0\xff"
    assert source.read(lab.path / "a b" / "ü.py") == b"x"
    assert source.read(Path("a b/../empty")) == b""
    assert source.exists(Path("src/größe.py")) and source.exists(lab.path / "flow.bonsai")
    for missing in ("nope", "src", "src/nope.py", "flow.bonsai/x", ".git", "a\nb"):
        assert not source.exists(Path(missing)), missing
        with pytest.raises(OSError):
            source.read(Path(missing))


def test_similar_names(lab, source_at):
    lab.commit({"workflows/oddball.bonsai": "x", "workflows/other.bonsai": "x", "x.py": ""})
    source = source_at()
    assert source.similar(Path("workflows/odball.bonsai"))[0] == "workflows/oddball.bonsai"
    assert source.similar(Path("oddball.bonsai"))[0] == "workflows/oddball.bonsai"
    assert source.similar(Path("zzz.txt")) == []
    assert source.similar(Path("/elsewhere/x.py")) == []


def test_files_outside_the_repository_are_read_from_the_disk(lab, source_at, tmp_path):
    source = source_at()
    outside = tmp_path / "outside.txt"
    outside.write_text("x")
    assert source.exists(outside) and source.read(outside) == b"x"
    assert not source.exists(tmp_path / "nope")
    assert source.read(Path(os.path.relpath(outside, lab.path))) == b"x"


@pytest.mark.parametrize("kind", ["absolute", "relative", "folder", "chain"])
def test_links_that_leave_the_repository_are_refused(lab, source_at, tmp_path, kind):
    """Fault 34."""
    secret = tmp_path / "secret"
    secret.write_text("x")
    name = Path("evil")
    if kind == "absolute":
        link(lab, "evil", secret)
    elif kind == "relative":
        link(lab, "evil", os.path.relpath(secret, lab.path))
    elif kind == "folder":
        link(lab, "evil", tmp_path)
        name = Path("evil/secret")
    else:
        link(lab, "step", "..")
        link(lab, "evil", "step/../../../secret")
    source = source_at()
    with pytest.raises((RepositoryError, FileNotFoundError)) as caught:
        source.read(name)
    if kind != "chain":
        assert caught.value.code == "repository-link-leaves"


def test_links_inside_the_repository_are_followed(lab, source_at):
    link(lab, "current.bonsai", "flow.bonsai")
    link(lab, "code", "src")
    link(lab, "dangling", "nowhere")
    source = source_at()
    assert source.read(Path("current.bonsai")) == b"<one/>\n"
    assert source.read(Path("code/größe.py")) == b"print(1)\n"
    assert source.exists(Path("code/größe.py"))
    assert not source.exists(Path("code/nope.py"))
    with pytest.raises(FileNotFoundError):
        source.read(Path("dangling"))


def test_lfs_pointers_are_no_data(lab, source_at):
    lab.commit({"movie.bonsai": POINTER})
    with pytest.raises(RepositoryError) as caught:
        source_at().read(Path("movie.bonsai"))
    assert caught.value.code == "repository-lfs-pointer"


def test_what_a_checkout_leaves_alone_is_read_from_the_disk(lab):
    first = lab.head
    second = lab.commit({"flow.bonsai": "<two/>", "only two": "x", ".gitignore": ".bonsai/\n"})
    lab.run(second)
    (lab.path / ".bonsai").mkdir()
    (lab.path / ".bonsai/Bonsai.exe").write_bytes(b"MZ")
    (lab.path / "tools").mkdir()
    (lab.path / "tools/x").write_text("untracked")
    source = GitSource(lab.resolve(first))
    assert source.read(Path(".bonsai/Bonsai.exe")) == b"MZ"
    assert source.exists(Path("tools/x")) and source.read(Path("tools/x")) == b"untracked"
    assert source.read(Path("flow.bonsai")) == b"<one/>\n"
    assert not source.exists(Path("only two")), "it goes away with the checkout"
    with pytest.raises(FileNotFoundError):
        source.read(Path("only two"))


def test_edits_that_will_run_are_what_is_read(lab):
    first = lab.head
    lab.run(lab.commit({"other": "x"}))
    (lab.path / "flow.bonsai").write_text("<mine/>")
    assert GitSource(lab.resolve(first)).read(Path("flow.bonsai")) == b"<mine/>"


def test_files_of_a_submodule(lab, tmp_path):
    lib = tmp_path / "lib"
    subprocess.run(["git", "clone", "--quiet", lab.url, str(lib)], check=True)
    lab.server("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib), "lib")
    lab.server("commit", "--quiet", "-m", "x")
    found = lab.resolve("main")
    source = GitSource(found)
    assert source.exists(Path("lib/flow.bonsai")), "it may well be there"
    with pytest.raises(RepositoryError) as caught:
        source.read(Path("lib/flow.bonsai"))
    assert caught.value.code == "repository-submodule-missing"
    prepare(found)
    source = GitSource(lab.resolve("main"))
    assert source.read(Path("lib/flow.bonsai")) == b"<one/>\n"
    assert not source.exists(Path("lib/nope"))


def test_many_files_cost_few_processes(lab, git_calls):
    found = lab.resolve("main")
    git_calls.reset()
    source = GitSource(found)
    for _ in range(3):
        assert source.exists(Path("flow.bonsai")) and not source.exists(Path("nope"))
        source.read(Path("flow.bonsai"))
        source.similar(Path("flo.bonsai"))
    assert len(git_calls.commands) == 1
