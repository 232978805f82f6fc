"""Bringing a checkout to its commit, and never losing anybody's work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from openscope_experimental_launcher.errors import RepositoryError
from openscope_experimental_launcher.repository import GitSource, prepare, repository_path, resolve


def refused(lab, code, ref="main", **options):
    before = lab.snapshot() if lab.path.is_dir() else None
    with pytest.raises(RepositoryError) as caught:
        lab.run(ref, **options)
    assert caught.value.code == code, caught.value.render()
    assert caught.value.findings[0].fix
    if before is not None:
        kept = {name: content for name, (_, content) in before.items() if ".git/" not in name}
        now = {name: content for name, (_, content) in lab.snapshot().items()}
        assert kept.items() <= now.items(), "something in the folder was changed"
    return caught.value


def test_a_new_checkout(lab):
    checkout = lab.run("main")
    assert checkout.commit == lab.head == lab.checked_out()
    assert (checkout.dirty, checkout.untracked, checkout.path) == (False, (), lab.path)
    assert (lab.path / "src/größe.py").read_text() == "print(1)\n"
    assert lab.local("status", "--porcelain") == ""
    assert lab.local("config", "remote.origin.url") == lab.url
    assert lab.local("rev-parse", "origin/main") == lab.head
    assert [entry.name for entry in lab.path.parent.iterdir() if entry != lab.path] == [
        ".openscope"
    ]
    assert not list((lab.path.parent / ".openscope").glob("*.tmp"))


def test_an_empty_folder_in_its_place_is_used(lab):
    lab.path.mkdir(parents=True)
    assert lab.run("main").commit == lab.head


def test_already_there_nothing_is_done(lab, git_calls):
    commit = lab.run("main").commit
    before = lab.snapshot()
    lab.unplug()
    git_calls.reset()
    lab.run(commit)
    assert len(git_calls.commands) == 3, git_calls.commands
    assert lab.snapshot() == before


@pytest.mark.parametrize("ref", ["main", "HEAD", "v1", "short"])
def test_already_there_by_another_name(lab, git_calls, ref):
    lab.server("tag", "v1")
    ref = lab.head[:8] if ref == "short" else ref
    lab.run(ref)
    before = lab.snapshot()
    git_calls.reset()
    lab.run(ref)
    assert len(git_calls.commands) <= 5, git_calls.commands
    assert lab.snapshot() == before


def test_there_but_another_commit_is_checked_out(lab, git_calls):
    first = lab.head
    lab.commit({"flow.bonsai": "<two/>"})
    lab.run("main")
    lab.unplug()
    git_calls.reset()
    found = lab.resolve(first)
    source = GitSource(found)
    assert source.read(Path("flow.bonsai")) == b"<one/>\n" and source.exists(Path("src/größe.py"))
    assert prepare(found).commit == first
    assert len(git_calls.commands) <= 5, git_calls.commands
    assert lab.checked_out() == first
    assert (lab.path / "flow.bonsai").read_text() == "<one/>\n"


def test_a_branch_that_moved_back_and_forth(lab):
    first = lab.head
    second = lab.commit({"flow.bonsai": "<two/>", "new/file": "x"})
    for ref, commit in (("main", second), (first, first), ("main", second), (first[:9], first)):
        assert lab.run(ref).commit == commit == lab.checked_out()
        assert (lab.path / "new").exists() == (commit == second)


def test_tracked_edits_are_refused_and_kept(lab):
    first = lab.head
    lab.run("main")
    lab.commit({"other": "x"})
    (lab.path / "flow.bonsai").write_text("<mine/>")
    for ref in (first, "main"):
        error = refused(lab, "repository-edited", ref)
        assert "flow.bonsai" in error.message
        assert "stash" in error.fix and "--allow-dirty" in error.fix
    assert lab.checked_out() == first


@pytest.mark.parametrize("edit", ["staged", "deleted", "added", "renamed", "mode", "conflict"])
def test_every_kind_of_edit_is_seen(lab, edit):
    lab.run("main")
    if edit == "staged":
        (lab.path / "flow.bonsai").write_text("<mine/>")
        lab.local("add", ".")
    elif edit == "deleted":
        (lab.path / "flow.bonsai").unlink()
    elif edit == "added":
        (lab.path / "new file").write_text("x")
        lab.local("add", ".")
    elif edit == "renamed":
        lab.local("mv", "flow.bonsai", "flöw 2.bonsai")
    elif edit == "mode":
        (lab.path / "flow.bonsai").chmod(0o755)
    else:
        lab.local("checkout", "--quiet", "-b", "a")
        (lab.path / "flow.bonsai").write_text("<a/>")
        lab.local("commit", "--quiet", "-am", "a")
        lab.local("checkout", "--quiet", "-b", "b", "HEAD~1")
        (lab.path / "flow.bonsai").write_text("<b/>")
        lab.local("commit", "--quiet", "-am", "b")
        subprocess.run(["git", "merge", "a"], cwd=lab.path, capture_output=True)
    refused(lab, "repository-edited")
    assert lab.resolve("main").check()[-1].code == "repository-edited"


@pytest.mark.parametrize("mark", ["--assume-unchanged", "--skip-worktree"])
@pytest.mark.parametrize("index_version", ["2", "4"])
def test_edits_that_git_was_told_not_to_see_are_seen(lab, mark, index_version):
    lab.run("main")
    lab.local("update-index", "--index-version", index_version)
    lab.local("update-index", mark, "src/größe.py")
    assert lab.run("main").edited == ()
    (lab.path / "src/größe.py").write_text("print(2)\n")
    assert lab.local("status", "--porcelain") == ""
    for allow_dirty in (False, True):
        error = refused(lab, "repository-edits-hidden", allow_dirty=allow_dirty)
        assert "src/größe.py" in error.message and mark.replace("--", "--no-") in error.fix
    lab.local("update-index", mark.replace("--", "--no-"), "src/größe.py")
    refused(lab, "repository-edited")


def test_a_sparse_checkout_is_warned_of(lab):
    lab.run("main")
    lab.local("sparse-checkout", "set", "--no-cone", "/flow.bonsai")
    assert not (lab.path / "src").exists()
    (warning,) = [f for f in lab.run("main").findings if f.level == "warning"]
    assert warning.code == "repository-sparse" and "src/größe.py" in warning.message


WORK = {
    "merge": ["merge", "--quiet", "--no-ff", "--no-commit", "-s", "ours", "theirs"],
    "cherry-pick": ["cherry-pick", "theirs"],
    "rebase": ["rebase", "--quiet", "--exec", "false", "HEAD~1"],
}


@pytest.mark.parametrize("what", WORK)
def test_work_that_is_under_way_in_a_clean_checkout_is_not_spoiled(lab, what):
    lab.run("main")
    lab.local("checkout", "--quiet", "-b", "theirs")
    lab.local("commit", "--quiet", "--allow-empty", "-m", "theirs")
    lab.local("checkout", "--quiet", "main")
    lab.local("commit", "--quiet", "--allow-empty", "-m", "mine")
    subprocess.run(["git", *WORK[what]], cwd=lab.path, capture_output=True)
    assert what in lab.local("status").replace("rebasing", "rebase")
    here = lab.checked_out()
    assert lab.local("status", "--porcelain") == ""
    first = lab.head
    lab.commit({"flow.bonsai": "<two/>"})
    for ref in (first, "main"):
        assert "repository-work-unfinished" in {f.code for f in lab.resolve(ref).check()}
        error = refused(lab, "repository-work-unfinished", ref)
        assert f"git {what} --abort" in error.fix
    assert lab.checked_out() == here
    lab.local(what, "--abort")
    assert lab.run("main").commit == lab.head


def test_with_allow_dirty_edits_run(lab):
    lab.run("main")
    (lab.path / "flow.bonsai").write_text("<mine/>")
    moved = lab.commit({"other": "x"})
    checkout = lab.run("main", allow_dirty=True)
    assert checkout.dirty and checkout.edited == ("flow.bonsai",)
    assert checkout.commit == moved == lab.checked_out()
    assert (lab.path / "flow.bonsai").read_text() == "<mine/>"
    assert [f.code for f in checkout.findings if f.level == "warning"] == ["repository-edited"]


def test_edits_in_the_way_are_refused_even_with_allow_dirty(lab):
    lab.run("main")
    (lab.path / "flow.bonsai").write_text("<mine/>")
    lab.commit({"flow.bonsai": "<theirs/>"})
    error = refused(lab, "repository-files-in-the-way", allow_dirty=True)
    assert "flow.bonsai" in error.message


def test_edits_made_after_the_check_are_found(lab):
    lab.run("main")
    lab.commit({"other": "x"})
    found = lab.resolve("main")
    (lab.path / "flow.bonsai").write_text("<mine/>")
    with pytest.raises(RepositoryError) as caught:
        prepare(found)
    assert caught.value.code == "repository-edited"
    assert (lab.path / "flow.bonsai").read_text() == "<mine/>"


def test_untracked_files_warn_are_listed_and_kept(lab):
    lab.run("main")
    (lab.path / "flow.bonsai.layout").write_text("mine")
    (lab.path / "Größen").mkdir()
    (lab.path / "Größen/a b").write_text("mine")
    moved = lab.commit({"other": "x"})
    checkout = lab.run("main")
    assert checkout.commit == moved and not checkout.dirty
    assert checkout.untracked == ("Größen/", "flow.bonsai.layout")
    (warning,) = [f for f in checkout.findings if f.level == "warning"]
    assert warning.code == "repository-untracked" and "Größen/" in warning.message
    assert (lab.path / "flow.bonsai.layout").read_text() == "mine"


@pytest.mark.parametrize("ignored", [False, True])
def test_untracked_files_in_the_way_are_refused(lab, ignored):
    lab.run("main")
    if ignored:
        (lab.path / ".git/info").mkdir(exist_ok=True)
        (lab.path / ".git/info/exclude").write_text("data.csv\n")
    (lab.path / "data.csv").write_text("mine")
    lab.commit({"data.csv": "theirs"})
    error = refused(lab, "repository-files-in-the-way")
    assert "data.csv" in error.message


def test_commits_on_a_local_branch_are_kept(lab):
    lab.run("main")
    lab.local("checkout", "--quiet", "main")
    lab.local("commit", "--quiet", "--allow-empty", "-m", "mine")
    mine = lab.checked_out()
    lab.run("main")
    assert lab.checked_out() == lab.head != mine
    assert lab.local("rev-parse", "main") == mine


def test_commits_on_no_branch_are_kept(lab):
    lab.run("main")
    lab.local("commit", "--quiet", "--allow-empty", "-m", "mine")
    mine = lab.checked_out()
    checkout = lab.run("main")
    (warning,) = [f for f in checkout.findings if f.code == "repository-commits-kept"]
    assert f"openscope-kept-{mine[:12]}" in warning.message
    assert lab.local("rev-parse", f"openscope-kept-{mine[:12]}") == mine
    lab.run(lab.head)
    assert not any(f.code == "repository-commits-kept" for f in lab.run("main").findings)


def test_a_folder_that_is_no_repository(lab):
    lab.path.mkdir(parents=True)
    (lab.path / "thesis.doc").write_text("years of work")
    refused(lab, "repository-folder-taken")
    assert (lab.path / "thesis.doc").read_text() == "years of work"


def test_a_folder_inside_somebodys_repository(lab):
    lab.path.mkdir(parents=True)
    (lab.path / "x").write_text("x")
    subprocess.run(["git", "init", "--quiet", str(lab.path.parent)], check=True)
    refused(lab, "repository-folder-taken")


@pytest.mark.parametrize("kind", ["file", "broken", "broken-file", "dangling"])
def test_other_things_in_its_place(lab, kind):
    lab.path.parent.mkdir(parents=True)
    if kind == "file":
        lab.path.write_text("x")
    elif kind == "dangling":
        lab.path.symlink_to("nowhere")
    else:
        lab.path.mkdir()
        broken = lab.path / ".git"
        broken.mkdir() if kind == "broken" else broken.write_text("gitdir: nowhere")
    with pytest.raises(RepositoryError) as caught:
        lab.run("main")
    assert caught.value.code == "repository-folder-taken", caught.value.render()
    assert os.path.lexists(lab.path)


def test_a_checkout_of_another_repository(lab, tmp_path):
    lab.run("main")
    lab.local("remote", "set-url", "origin", "https://user:secret@host/other.git")
    error = refused(lab, "repository-other-remote")
    assert "https://host/other.git" in error.message and "secret" not in error.render()
    lab.local("remote", "remove", "origin")
    refused(lab, "repository-other-remote")
    lab.local("remote", "add", "upstream", lab.url)
    moved = lab.commit({"other": "x"})
    assert lab.run("main").commit == moved
    assert lab.local("rev-parse", "refs/remotes/upstream/main") == moved


def test_a_repository_without_commits_in_its_place(lab):
    lab.path.mkdir(parents=True)
    lab.local("init", "--quiet")
    lab.local("remote", "add", "origin", lab.url)
    assert lab.run("main").commit == lab.head == lab.checked_out()


def test_the_local_root_may_be_the_checkout(lab):
    assert repository_path(lab.url, lab.path.parent) == lab.path
    lab.run("main")
    assert repository_path(lab.url, lab.path.parent) == lab.path
    assert repository_path(lab.url, lab.path) == lab.path
    assert repository_path("https://host/else", lab.path) == lab.path / "else"


def test_a_worktree_is_a_checkout_too(lab, tmp_path):
    lab.run("main")
    tree = tmp_path / "worktree"
    lab.local("worktree", "add", "--quiet", "--detach", str(tree))
    moved = lab.commit({"other": "x"})
    found = resolve(lab.url, "main", tree, cache_root=lab.cache)
    assert prepare(found).commit == moved
    assert (tree / "other").exists() and not (lab.path / "other").exists()


def test_credentials_are_not_written_into_the_checkout(lab, tmp_path, own_git_settings):
    (own_git_settings / ".gitconfig").open("a").write(
        f'[url "{lab.url}"]\ninsteadOf = https://user:geheim@host.invalid/oddball.git\n'
    )
    said = []
    url = "https://user:geheim@host.invalid/oddball.git"
    found = lab.resolve("main", url=url, on_progress=said.append)
    assert "geheim" not in repr(found)
    prepare(found, on_progress=said.append)
    for folder in (lab.path, lab.cache):
        for file in folder.rglob("*"):
            assert not file.is_file() or b"geheim" not in file.read_bytes(), file
    assert not any("geheim" in line for line in said)


LAUNCH = """
import sys
from pathlib import Path
from openscope_experimental_launcher.repository import prepare, resolve
url, path, cache = sys.argv[1:]
print("go", flush=True)
prepare(resolve(url, "main", Path(path), cache_root=Path(cache)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group of POSIX")
@pytest.mark.parametrize("stage", ["fetch", "clone"])
def test_an_interrupted_clone_leaves_nothing(lab, stage, tmp_path, monkeypatch):
    """Launcher and git are killed while git works; the next run finds no trace of it."""
    lab.commit({f"data/{n}": os.urandom(300_000) for n in range(40)})
    slow = tmp_path / "slow"
    slow.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True).stdout.strip()
    (slow / "git").write_text(
        f'#!/bin/sh\n"{real}" "$@" || exit\n[ "$1" = {stage} ] && touch "{slow}/now" && sleep 60\n'
        "exit 0\n"
    )
    (slow / "git").chmod(0o755)
    path = os.environ["PATH"]
    monkeypatch.setenv("PATH", f"{slow}{os.pathsep}{path}")
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, lab.url, str(lab.path), str(lab.cache)]
    )
    deadline = time.monotonic() + 60
    while not (slow / "now").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True
    )
    launcher.kill()
    launcher.wait()
    for pid in children.stdout.split():
        os.killpg(int(pid), signal.SIGKILL)
    assert not lab.path.exists()
    left = [*lab.cache.glob("*.tmp"), *lab.path.parent.glob(".openscope/*.tmp")]
    assert len(left) == 1, "the kill came too late to test anything"

    monkeypatch.setenv("PATH", path)
    assert lab.run("main").commit == lab.head
    assert lab.local("status", "--porcelain") == ""
    assert not [*lab.cache.glob("*.tmp"), *lab.path.parent.glob(".openscope/*.tmp")]


def test_a_failed_clone_leaves_nothing(lab):
    found = lab.resolve("main")
    (found.git_dir / "HEAD").unlink()
    with pytest.raises(RepositoryError):
        prepare(found)
    assert not lab.path.exists()
    assert not [*lab.path.parent.glob(".openscope/*.tmp")]


def test_two_launchers_at_once(lab):
    lab.commit({f"data/{n}": os.urandom(100_000) for n in range(20)})
    launchers = [
        subprocess.Popen([sys.executable, "-c", LAUNCH, lab.url, str(lab.path), str(lab.cache)])
        for _ in range(4)
    ]
    assert [launcher.wait(timeout=60) for launcher in launchers] == [0] * 4
    assert lab.checked_out() == lab.head


@pytest.mark.parametrize("present", [False, True])
def test_the_hash_of_an_annotated_tag_is_not_that_of_a_commit(lab, present):
    lab.server("tag", "-am", "x", "v1")
    if present:
        lab.run("v1")
        lab.local("fetch", "--quiet", "--tags", "origin")
    with pytest.raises(RepositoryError) as caught:
        lab.run(lab.server("rev-parse", "v1"))
    assert caught.value.code == "repository-not-a-commit"
    assert lab.path.exists() == present


def test_a_git_that_holds_the_checkout(lab):
    lab.run("main")
    lab.commit({"other": "x"})
    (lab.path / ".git/index.lock").touch()
    refused(lab, "repository-locked")


def test_progress_of_a_clone_is_told(lab):
    said = []
    prepare(lab.resolve("main", on_progress=said.append), on_progress=said.append)
    assert said[0] == f"Asking {lab.url}"
    assert any(line.startswith("Fetching") for line in said)
    assert any(line.startswith("Making the checkout") for line in said)


def make_submodule(lab, tmp_path):
    lib = tmp_path / "lib"
    subprocess.run(["git", "clone", "--quiet", lab.url, str(lib)], check=True)
    add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib), "libs/lib"]
    lab.server(*add)
    lab.server("commit", "--quiet", "-m", "with a submodule")
    return lib


def test_submodules_at_their_recorded_commits(lab, tmp_path):
    without = lab.head
    lib = make_submodule(lab, tmp_path)
    first = lab.head
    assert lab.run("main").untracked == ()
    assert (lab.path / "libs/lib/flow.bonsai").exists()
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "new"], cwd=lib, check=True)
    subprocess.run(["git", "pull", "-q"], cwd=lab.remote / "libs/lib", check=True)
    lab.server("commit", "--quiet", "-am", "newer submodule")
    for ref in ("main", first, "main"):
        checkout = lab.run(ref)
        assert not checkout.dirty
        recorded = lab.local("rev-parse", "HEAD:libs/lib")
        assert lab.local("-C", "libs/lib", "rev-parse", "HEAD") == recorded
    (lab.path / "libs/lib/flow.bonsai").write_text("<mine/>")
    refused(lab, "repository-submodule-edited", allow_dirty=True)
    lab.local("-C", "libs/lib", "checkout", "--quiet", ".")
    assert lab.run(without).commit == without


def test_submodules_that_were_never_fetched_are_fetched(lab, tmp_path):
    make_submodule(lab, tmp_path)
    lab.path.parent.mkdir(parents=True)
    subprocess.run(["git", "clone", "--quiet", lab.url, str(lab.path)], check=True)
    assert not (lab.path / "libs/lib/flow.bonsai").exists()
    lab.run(lab.head)
    assert (lab.path / "libs/lib/flow.bonsai").exists()


@pytest.mark.parametrize("trouble", ["gone", "in the way", "Ctrl-C"])
def test_a_submodule_that_cannot_follow_leaves_the_checkout_where_it_was(lab, tmp_path, trouble):
    lib = make_submodule(lab, tmp_path)
    first = lab.head
    lab.run(first)
    (lib / "new").write_text("theirs")
    subprocess.run(["git", "add", "."], cwd=lib, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "new"], cwd=lib, check=True)
    subprocess.run(["git", "pull", "-q"], cwd=lab.remote / "libs/lib", check=True)
    lab.server("commit", "--quiet", "-am", "newer submodule")
    if trouble == "gone":
        lib.rename(lib.with_name("elsewhere"))
        error = refused(lab, "repository-not-found")
        assert ".gitmodules" in error.fix
        lib.with_name("elsewhere").rename(lib)
    elif trouble == "Ctrl-C":

        def interrupt(said: str) -> None:
            if "submodules" in said:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(lab.resolve("main"), on_progress=interrupt)
    else:
        (lab.path / "libs/lib/new").write_text("mine")
        error = refused(lab, "repository-files-in-the-way")
        assert "new" in error.message
        (lab.path / "libs/lib/new").unlink()
    assert lab.checked_out() == first
    assert lab.local("status", "--porcelain") == ""
    assert lab.run("main").commit == lab.head


POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.mark.parametrize("place", ["a folder", "a submodule"])
@pytest.mark.parametrize("index_version", ["2", "4"])
def test_lfs_pointers_are_found_wherever_they_are(lab, tmp_path, place, index_version):
    files = {"films/.gitattributes": "*.bin filter=lfs -text\n", "films/movie.bin": POINTER}
    if place == "a folder":
        lab.commit(files)
    else:
        lib = make_submodule(lab, tmp_path)
        for name, content in files.items():
            (lib / name).parent.mkdir(exist_ok=True)
            (lib / name).write_text(content)
        subprocess.run(["git", "add", "."], cwd=lib, check=True)
        subprocess.run(["git", "commit", "-q", "-m", "films"], cwd=lib, check=True)
        subprocess.run(["git", "pull", "-q"], cwd=lab.remote / "libs/lib", check=True)
        lab.server("commit", "--quiet", "-am", "newer submodule")
    lab.path.parent.mkdir(parents=True, exist_ok=True)
    clone = ["git", "-c", "protocol.file.allow=always", "clone", "--quiet", "--recurse-submodules"]
    subprocess.run([*clone, lab.url, str(lab.path)], check=True)
    lab.local("update-index", "--index-version", index_version)
    for ref in (lab.head, "main"):
        error = refused(lab, "repository-lfs-pointer", ref)
        assert "films/movie.bin" in error.where


def test_lfs_pointers_are_no_data(lab):
    lab.commit({".gitattributes": "*.bin filter=lfs -text\n", "movie.bin": POINTER})
    with pytest.raises(RepositoryError) as caught:
        lab.run("main")
    assert caught.value.code == "repository-lfs-pointer"
    assert "movie.bin" in caught.value.where and "git-lfs" in caught.value.fix
    assert not lab.path.exists()
    lab.path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "--quiet", lab.url, str(lab.path)], check=True)
    refused(lab, "repository-lfs-pointer", lab.head)
