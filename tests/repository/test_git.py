"""Git as it is run here: silent, patient for a limited time, and deaf to what a checkout says."""

from __future__ import annotations

import os
import socket
import time

import pytest

from openscope_experimental_launcher.errors import RepositoryError
from openscope_experimental_launcher.repository import Git, Limits
from openscope_experimental_launcher.repository.git import ssh_environment
from repository.moody_server import moody_server

QUICK = Limits(answer_s=2, transfer_s=4)


def refused(lab, code, **options):
    with pytest.raises(RepositoryError) as caught:
        lab.resolve("main", **options)
    error = caught.value
    assert error.code == code, error.render()
    assert error.fix and error.where
    assert not lab.path.exists()
    return error


@pytest.fixture
def address(lab):
    """A server of the lab's repository, before its mood."""
    with moody_server(lab.remote.parent) as address:
        yield address


@pytest.fixture
def silent_server():
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


REPOSITORY = "oddball%20task.git/.git"


@pytest.mark.parametrize(
    ("mood", "code"),
    [
        ("401", "repository-no-access"),
        ("403", "repository-no-access"),
        ("404", "repository-not-found"),
        ("429", "repository-unreachable"),
        ("503", "repository-unreachable"),
        ("login-page", "repository-empty"),
        ("in-a-circle", "repository-unreachable"),
        ("to-a-file", "repository-transport-refused"),
        ("to-a-program", "repository-transport-refused"),
        ("cut-short", "repository-unreachable"),
        ("bent", "repository-transfer-damaged"),
    ],
)
def test_what_a_server_may_answer(lab, address, mood, code):
    began = time.monotonic()
    url = f"{address}/{mood}/{REPOSITORY}"
    error = refused(lab, code, url=url)
    assert time.monotonic() - began < 20
    assert url in error.where
    assert not list(lab.cache.glob("*.git")) and not list(lab.cache.glob("*.tmp"))


def test_a_server_that_answers_well(lab, address):
    assert lab.run("main", url=f"{address}/well/{REPOSITORY}").commit == lab.head


@pytest.mark.parametrize("mood", ["cut-short", "bent", "login-page"])
def test_what_was_fetched_before_outlives_a_server_gone_bad(lab, address, mood, own_git_settings):
    commit = lab.resolve("main", url=f"{address}/well/{REPOSITORY}").commit
    lab.commit({"flow.bonsai": "<two/>"})
    (own_git_settings / ".gitconfig").open("a").write(
        f'[url "{address}/{mood}/"]\ninsteadOf = {address}/well/\n'
    )
    with pytest.raises(RepositoryError):
        lab.resolve("main", url=f"{address}/well/{REPOSITORY}")
    found = lab.resolve("main", url=f"{address}/well/{REPOSITORY}", offline=True)
    assert found.commit == commit


def test_wrong_credentials_are_never_shown_and_never_asked_for(lab, address):
    host = address.removeprefix("http://")
    url = f"http://operator:ge%40heim@{host}/401/{REPOSITORY}"
    error = refused(lab, "repository-no-access", url=url)
    shown = error.render()
    cause = error.__cause__
    while cause is not None:
        shown += str(cause)
        cause = cause.__cause__
    assert "heim" not in shown


@pytest.mark.parametrize("scheme", ["http", "git"])
def test_a_server_that_never_answers(lab, silent_server, scheme):
    began = time.monotonic()
    refused(lab, "git-timeout", url=f"{scheme}://{silent_server}/repo.git", limits=QUICK)
    assert time.monotonic() - began < 10


def test_a_server_that_is_not_there(lab):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for scheme in ("http", "git"):
        refused(lab, "repository-unreachable", url=f"{scheme}://127.0.0.1:{port}/repo.git")


def test_a_name_that_nobody_knows(lab):
    refused(lab, "repository-unreachable", url="https://nobody.invalid/repo.git")


def test_a_path_where_nothing_is(lab, tmp_path):
    error = refused(lab, "repository-not-found", url=str(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in error.where


def test_an_unreachable_server_names_the_way_out(lab, own_git_settings):
    """Fault 29: what was fetched before can be run."""
    commit = lab.run("main").commit
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"http://127.0.0.1:{server.getsockname()[1]}/oddball%20task.git"
    lab.local("remote", "set-url", "origin", gone)
    with pytest.raises(RepositoryError) as caught:
        lab.resolve("main", url=gone)
    assert caught.value.code == "repository-unreachable"
    assert "--offline" in caught.value.fix and commit[:12] in caught.value.fix
    assert lab.run("main", url=gone, offline=True).commit == commit
    assert not lab.run(commit, url=gone).remote_asked


def fake_git(tmp_path, monkeypatch, script):
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "git").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_no_git(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RepositoryError) as caught:
        lab.resolve("main")
    assert caught.value.code == "git-missing" and "git-scm.com" in caught.value.fix


@pytest.mark.parametrize("checkout", [False, True])
def test_a_git_that_is_too_old(lab, tmp_path, monkeypatch, checkout):
    if checkout:
        lab.run("main")
    fake_git(
        tmp_path,
        monkeypatch,
        'case "$1" in version) echo git version 2.30.9;; config) exit 0;; *) exit 129;; esac',
    )
    with pytest.raises(RepositoryError) as caught:
        lab.resolve("main")
    assert caught.value.code == "git-too-old"
    assert "2.30.9" in caught.value.message and "2.31" in caught.value.fix


def test_a_git_that_cannot_be_started(lab, tmp_path, monkeypatch):
    fake_git(tmp_path, monkeypatch, "")
    (tmp_path / "fake/git").write_bytes(b"MZ not for this machine")
    with pytest.raises(RepositoryError) as caught:
        lab.resolve("main")
    assert caught.value.code == "git-not-started"


def test_a_repository_of_another_user(lab):
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    lab.run("main")
    for folder in (lab.path, lab.path / ".git"):
        os.chown(folder, 12345, 12345)
    with pytest.raises(RepositoryError) as caught:
        lab.resolve("main")
    assert caught.value.code == "repository-ownership"
    assert f"safe.directory '{lab.path}'" in caught.value.fix


def test_git_is_not_led_astray_by_the_environment(lab, tmp_path, monkeypatch):
    """The launcher may itself have been started by git: from a hook or an alias."""
    lab.run("main")
    for name, value in {
        "GIT_DIR": "/nowhere",
        "GIT_WORK_TREE": "/",
        "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GIT_NAMESPACE": "x",
        "GIT_CONFIG_PARAMETERS": "'core.bare'='true'",
        "GIT_CONFIG_COUNT": "not a number",
        "GIT_TRACE": "2",
        "GIT_ASKPASS": str(tmp_path / "ask"),
        "LANGUAGE": "de",
        "LC_ALL": "de_DE.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    found = lab.resolve(lab.path.joinpath(".git/HEAD").read_text().strip())
    assert found.at_commit and not found.working.edited


def test_no_question_is_ever_asked(lab, address, tmp_path, monkeypatch, own_git_settings):
    asked = tmp_path / "asked"
    asking = tmp_path / "ask"
    asking.write_text(f'#!/bin/sh\ntouch "{asked}"\necho secret\n')
    asking.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(asking))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    with (own_git_settings / ".gitconfig").open("a") as settings:
        settings.write(f"[core]\naskPass = {asking}\n")
    refused(lab, "repository-no-access", url=f"{address}/401/{REPOSITORY}")
    assert not asked.exists()


def test_ssh_asks_nothing_and_keeps_the_owners_choice(tmp_path, monkeypatch, own_git_settings):
    assert ssh_environment(tmp_path)["GIT_SSH_COMMAND"].startswith("ssh -oBatchMode=yes")
    with (own_git_settings / ".gitconfig").open("a") as settings:
        settings.write("[core]\nsshCommand = ssh -i rig_key\n")
    assert ssh_environment(tmp_path)["GIT_SSH_COMMAND"].startswith("ssh -i rig_key -oBatchMode")
    monkeypatch.setenv("GIT_SSH", "C:/putty/plink.exe")
    assert ssh_environment(tmp_path) == {}
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -F lab")
    assert ssh_environment(tmp_path)["GIT_SSH_COMMAND"].startswith("ssh -F lab -oBatchMode")


def test_ssh_that_fails_is_explained(lab, tmp_path, monkeypatch):
    for words, code in {
        "ssh: connect to host h port 22: Connection refused": "repository-unreachable",
        "ssh: Could not resolve hostname h: Name or service not known": "repository-unreachable",
        "git@h: Permission denied (publickey).": "repository-no-access",
        "Host key verification failed.": "repository-no-access",
        "ERROR: Repository not found.": "repository-not-found",
    }.items():
        ssh = tmp_path / "ssh"
        ssh.write_text(f'#!/bin/sh\necho "{words}" >&2\nexit 255\n')
        ssh.chmod(0o755)
        monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
        refused(lab, code, url="git@h:org/repo.git")


def test_other_transports_are_not_reached_by_a_detour(lab, tmp_path, own_git_settings):
    """Fault 32: settings may rewrite an address, but not into a command."""
    owned = tmp_path / "owned"
    with (own_git_settings / ".gitconfig").open("a") as settings:
        settings.write(f'[url "ext::touch {owned} "]\ninsteadOf = https://host.invalid/\n')
        settings.write("[protocol]\nallow = always\n")
    refused(lab, "repository-transport-refused", url="https://host.invalid/repo.git")
    assert not owned.exists()


@pytest.fixture
def trap(tmp_path):
    """A program that a hostile checkout would like to have run."""
    program, sprung = tmp_path / "trap", tmp_path / "sprung"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> "{sprung}"\ncat\n')
    program.chmod(0o755)
    return program, sprung


def test_hooks_fsmonitor_and_filters_of_a_checkout_never_run(lab, trap):
    """Fault 33."""
    program, sprung = trap
    lab.commit({".gitattributes": "* filter=evil diff=evil\n"})
    first = lab.head
    lab.run("main")
    hooks = lab.path / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        "post-checkout", "pre-auto-gc", "reference-transaction", "post-index-change",
        "fsmonitor-watchman", "post-rewrite", "post-merge", "query-watchman",
    ):  # fmt: skip
        (hooks / name).write_text(program.read_text())
        (hooks / name).chmod(0o755)
    for setting in (
        "core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process",
        "diff.evil.textconv", "diff.evil.command", "diff.external", "core.sshCommand",
        "credential.helper", "core.askPass", "core.pager", "uploadpack.packObjectsHook",
    ):  # fmt: skip
        lab.local("config", setting, str(program))
    lab.local("config", "core.hooksPath", str(hooks))
    lab.local("config", "filter.evil.required", "true")
    moved = lab.commit({"flow.bonsai": "<two/>", "new": "x"})
    for ref in ("main", first, "main"):
        lab.run(ref)
        (lab.path / "flow.bonsai").touch()
    assert lab.run(moved).commit == moved
    (lab.path / "flow.bonsai").write_text("<edited/>")
    lab.run(moved, allow_dirty=True)
    assert not sprung.exists(), sprung.read_text()


def test_hooks_of_templates_and_submodules_never_run(lab, trap, tmp_path, own_git_settings):
    program, sprung = trap
    template = tmp_path / "template/hooks"
    template.mkdir(parents=True)
    (template / "post-checkout").write_text(program.read_text())
    (template / "post-checkout").chmod(0o755)
    lib = tmp_path / "lib"
    lab.server("clone", "--quiet", lab.url, str(lib))
    lab.server("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(lib), "lib")
    lab.server("commit", "--quiet", "-m", "x")
    with (own_git_settings / ".gitconfig").open("a") as settings:
        settings.write(f"[init]\ntemplateDir = {template.parent}\n")
    lab.run("main")
    assert (lab.path / "lib/flow.bonsai").exists()
    assert not sprung.exists(), sprung.read_text()


def test_git_lfs_installed_for_one_checkout_is_kept(lab):
    lab.run("main")
    lab.local("config", "filter.lfs.clean", "git-lfs clean -- %f")
    lab.local("config", "filter.lfs.process", "git-lfs filter-process")
    lab.local("config", "filter.other.clean", "git-lfs clean -- %f; touch owned")
    options = lab.resolve("main").working.git.options
    assert options == {"filter.other.clean": "", "filter.other.required": "false"}


def test_a_path_that_looks_like_an_option(lab):
    lab.commit({"-rf": "x", "--upload-pack=touch owned": "x"})
    lab.run("main")
    (lab.path / "-rf").write_text("edited")
    assert lab.resolve("main").working.edited == ("-rf",)


def test_git_finds_no_repository_above(lab, tmp_path):
    lab.server("init", "--quiet", str(tmp_path))
    inner = tmp_path / "inner"
    inner.mkdir()
    with pytest.raises(RepositoryError):
        Git(inner).run("rev-parse", "--git-dir")
