"""From a ref to one commit, asking as little as possible and changing nothing."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest

from openscope_experimental_launcher.errors import RepositoryError


def refused(lab, ref, code, **options):
    with pytest.raises(RepositoryError) as caught:
        lab.resolve(ref, **options)
    assert caught.value.code == code, caught.value.render()
    assert caught.value.fix
    return caught.value


def test_a_repository_that_is_not_here_is_fetched_into_the_cache_only(lab):
    found = lab.resolve("main")
    assert (found.commit, found.branch, found.source) == (lab.head, "main", "fetched")
    assert found.remote_asked and found.working is None
    assert found.git_dir.is_relative_to(lab.cache)
    assert not lab.path.exists() and not lab.path.parent.exists()
    assert lab.resolve(lab.head).source == "cache"


@pytest.mark.parametrize("make", ["lightweight", "annotated"])
def test_every_kind_of_ref(lab, make):
    first = lab.head
    lab.server("tag", "v1") if make == "lightweight" else lab.server("tag", "-am", "x", "v1")
    lab.commit({"flow.bonsai": "<two/>"})
    lab.server("branch", "feature/größe", first)
    assert lab.resolve("v1").commit == first
    assert lab.resolve("refs/tags/v1").commit == first
    assert lab.resolve("feature/größe").commit == first
    assert lab.resolve("refs/heads/feature/größe").commit == first
    assert lab.resolve("HEAD").commit == lab.head
    assert lab.resolve("HEAD").branch == "main"
    assert lab.resolve(lab.head.upper()).commit == lab.head
    assert lab.resolve(first[:10]).commit == first
    assert lab.resolve(first[:10].upper()).commit == first


def test_what_is_pinned_and_here_needs_no_server(lab):
    commit = lab.head
    lab.server("tag", "v1")
    lab.run("main")
    lab.unplug()
    for ref in (commit, commit[:8], "v1", "refs/tags/v1"):
        found = lab.resolve(ref)
        assert (found.commit, found.source, found.remote_asked) == (commit, "checkout", False)
        assert "the server was not asked" in found.notes[0].message


def test_a_tag_on_a_commit_that_is_here_is_asked_for_once(lab):
    lab.run("main")
    lab.server("tag", "late")
    assert lab.resolve("late").remote_asked
    lab.unplug()
    assert lab.resolve("late").commit == lab.checked_out()


def test_a_branch_that_moved_is_followed(lab):
    lab.run("main")
    moved = lab.commit({"flow.bonsai": "<two/>"})
    before = lab.snapshot()
    found = lab.resolve("main")
    assert (found.commit, found.source) == (moved, "fetched")
    assert lab.snapshot() == before, "the checkout was written to"
    lab.server("commit", "--quiet", "--amend", "-m", "rewritten")
    assert lab.resolve("main").commit == lab.head != moved


def test_a_server_that_is_gone_stops_a_branch_but_not_with_offline(lab):
    commit = lab.head
    lab.run("main")
    lab.unplug()
    error = refused(lab, "main", "repository-not-found")
    assert lab.url in error.where
    found = lab.resolve("main", offline=True)
    assert (found.commit, found.remote_asked) == (commit, False)
    assert found.notes[0].level == "warning" and commit[:12] in found.notes[0].message
    assert lab.resolve("HEAD", offline=True).commit == commit


def test_offline_takes_what_a_check_fetched_later(lab):
    lab.run("main")
    moved = lab.commit({"flow.bonsai": "<two/>"})
    lab.resolve("main")
    lab.unplug()
    assert lab.resolve("main", offline=True).commit == moved
    # and the other way round: the checkout was moved on by hand
    lab.plug_in()
    newest = lab.commit({"flow.bonsai": "<three/>"})
    lab.local("fetch", "--quiet", "origin")
    assert lab.resolve("main", offline=True).commit == newest


def test_offline_without_anything_here(lab):
    for ref in ("main", "HEAD", "v1", lab.head, lab.head[:8]):
        refused(lab, ref, "repository-never-fetched", offline=True)
    assert not lab.cache.exists()


def test_an_unknown_ref_names_near_ones(lab):
    lab.server("branch", "oddball-v2")
    assert "oddball-v2" in refused(lab, "odball-v2", "repository-ref-unknown").message
    assert "main" in refused(lab, "master", "repository-ref-unknown").message
    assert "main" in refused(lab, "zzzz", "repository-ref-unknown").message
    refused(lab, "refs/tags/main", "repository-ref-unknown")
    lab.run("main")
    refused(lab, "abcdef12345", "repository-ref-unknown")


def test_a_commit_that_the_server_does_not_have(lab):
    refused(lab, "0123456789" * 4, "repository-commit-missing")
    lab.run("main")
    refused(lab, "0123456789" * 4, "repository-commit-missing")


def test_a_mistyped_hash_names_the_one_that_was_meant(lab):
    lab.run("main")
    other = {"0": "1"}.get(lab.head[4], "0")
    mistyped = lab.head[:4] + other + lab.head[5:]
    assert lab.head in refused(lab, mistyped, "repository-commit-missing").message
    assert lab.head in refused(lab, mistyped[:12], "repository-ref-unknown").message


def test_a_hash_that_is_no_commit(lab):
    lab.run("main")
    blob = lab.server("rev-parse", "HEAD:flow.bonsai")
    with pytest.raises(RepositoryError):
        lab.resolve(blob)
    tree = lab.server("rev-parse", "HEAD^{tree}")
    with pytest.raises(RepositoryError):
        lab.resolve(tree)


def test_a_pinned_commit_that_no_branch_leads_to(lab):
    dropped = lab.commit({"flow.bonsai": "<dropped/>"})
    lab.server("reset", "--quiet", "--hard", "HEAD~1")
    assert lab.run(dropped).commit == dropped
    assert (lab.path / "flow.bonsai").read_text() == "<dropped/>"


def test_a_name_that_is_a_tag_and_a_branch(lab):
    first = lab.head
    lab.server("tag", "both")
    second = lab.commit({"flow.bonsai": "<two/>"})
    lab.server("branch", "both")
    for _ in range(2):  # from the server, then from the cache
        message = refused(lab, "both", "repository-ref-ambiguous").render()
        assert first[:12] in message and second[:12] in message and "refs/heads/both" in message
        assert lab.resolve("refs/tags/both").commit == first
        assert lab.resolve("refs/heads/both").commit == second


def test_a_short_hash_that_several_commits_have(lab):
    stream = "".join(
        f"commit refs/heads/many\ncommitter T <t@example.org> {number} +0000\ndata 1\nx\n"
        for number in range(3000)
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=lab.remote, input=stream.encode())
    lab.run("main")
    starts = Counter(commit[:4] for commit in lab.server("rev-list", "--all").split())
    shared = [start for start, count in starts.items() if count > 1]
    error = refused(lab, shared[0], "repository-ref-ambiguous")
    assert error.message.count(shared[0]) >= 3


def test_a_branch_named_like_a_hash(lab):
    first = lab.head
    lab.commit({"flow.bonsai": "<two/>"})
    lab.server("branch", first[:4])
    lab.server("branch", first[:9])
    lab.run("main")
    assert lab.resolve(first[:4]).commit == lab.head
    refused(lab, first[:9], "repository-ref-ambiguous")


def test_an_empty_repository(lab, tmp_path):
    lab.remote = tmp_path / "empty"
    lab.remote.mkdir()
    lab.server("init", "--quiet")
    refused(lab, "main", "repository-empty")
    refused(lab, "HEAD", "repository-empty")


def test_a_sha256_repository(lab, tmp_path):
    lab.remote = tmp_path / "sha256"
    lab.remote.mkdir()
    lab.server("init", "--quiet", "--object-format=sha256")
    commit = lab.commit({"a": "a"})
    assert len(commit) == 64
    assert lab.run(commit).commit == commit
    assert lab.checked_out() == commit


def test_a_bare_remote_by_file_address(lab, tmp_path):
    bare = tmp_path / "bare repo.git"
    lab.server("clone", "--quiet", "--bare", lab.url, str(bare))
    url = "file://" + str(bare).replace(" ", "%20")
    assert lab.run("main", url=url).commit == lab.head


@pytest.mark.parametrize("spoil", ["lock", "objects", "nothing-left"])
def test_a_cache_spoiled_by_a_power_cut_is_made_anew(lab, spoil):
    folder = lab.resolve("main").git_dir
    lab.commit({"flow.bonsai": "<two/>"})
    if spoil == "lock":
        (folder / "refs/heads").mkdir(parents=True, exist_ok=True)
        (folder / "refs/heads/main.lock").touch()
        (folder / "packed-refs.lock").touch()
    elif spoil == "objects":
        for file in (folder / "objects").rglob("*"):
            if file.is_file():
                file.chmod(0o600)
                file.write_bytes(b"")
    else:
        (folder / "HEAD").unlink()
    assert lab.resolve("main").commit == lab.head
    assert lab.run("main").commit == lab.head


def test_a_folder_that_cannot_be_written_is_a_plain_word(lab, tmp_path):
    (tmp_path / "file").write_text("")
    lab.cache = tmp_path / "file" / "below"
    refused(lab, "main", "repository-folder-unusable")


def test_looking_changes_nothing_in_the_checkout(lab):
    lab.run("main")
    (lab.path / "flow.bonsai").touch()  # its time in git's index is stale now
    (lab.path / "untracked").write_text("x")
    before = lab.snapshot()
    for ref in ("main", lab.head, "HEAD"):
        lab.resolve(ref).check()
    assert lab.snapshot() == before
