"""Which addresses and names may reach git."""

from __future__ import annotations

import pytest

from openscope_experimental_launcher.errors import RepositoryError
from openscope_experimental_launcher.repository import (
    RepositoryUrl,
    repository_path,
    validate_ref,
    validate_url,
)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/AllenNeuralDynamics/openscope-x.git", "openscope-x"),
        ("https://github.com/AllenNeuralDynamics/openscope-x/", "openscope-x"),
        ("https://user:secret@host:8443/team/größe", "größe"),
        ("ssh://git@host:2222/a/b.git", "b"),
        ("git@github.com:org/repo.git", "repo"),
        ("host:repo", "repo"),
        ("git://host/x", "x"),
        ("file:///srv/my%20repo.git", "my repo"),
        ("/srv/my repo/", "my repo"),
        ("/srv/x/.git", "x"),
    ],
)
def test_addresses_and_the_folders_named_after_them(url, name, tmp_path):
    assert RepositoryUrl.parse(url).name == name
    assert repository_path(url, tmp_path) == tmp_path / name


@pytest.mark.parametrize(
    "url",
    [
        "",
        " https://host/x",
        "https://host/x\n",
        "https://host/x\0y",
        "ext::sh -c touch% /tmp/owned",
        "fd::17",
        "--upload-pack=touch owned",
        "-oProxyCommand=x:repo",
        "-u:repo",
        "ssh://-oProxyCommand=touch/x",
        "ssh://-x@host/x",
        "host:-x",
        "ftp://host/x",
        "javascript://host/x",
        "https:///x",
        "https://host:port/x",
        "https://host/x?token=abc",
        "https://host/",
        "https://host/..",
        "https://host/a/../",
        "https://host/a/...git",
        "https://host/.git",
        "git@host:..",
        "/srv/..",
        "/srv/.",
        "/",
        "file:///srv/..",
        "file:///srv/%2e%2e",
        "file://srv",
        "relative/path",
        "repo",
        "C:\\repositories\\x",
        "https://host/CON",
        "https://host/aux.git",
        "https://host/x.",
        "https://host/a%5cb%3f*",
        "git@host:a\\..\\..\\b",
    ],
)
def test_addresses_that_are_refused(url, tmp_path):
    with pytest.raises(RepositoryError) as caught:
        validate_url(url)
    assert caught.value.code == "repository-url-refused"
    assert caught.value.fix
    with pytest.raises(RepositoryError):
        repository_path(url, tmp_path)


def test_a_refused_address_does_not_give_its_password_away():
    with pytest.raises(RepositoryError) as caught:
        validate_url("https://user:geheim@host/..")
    assert "geheim" not in caught.value.render()


def test_an_address_shows_no_credentials():
    url = RepositoryUrl.parse("https://user:se@cret@host:8443/a/b.git")
    assert url.public == "https://host:8443/a/b.git"
    assert "se@cret" not in repr(url) and "cret" not in repr(url)
    assert RepositoryUrl.parse("ssh://git:pw@host/b").public == "ssh://git@host/b"


def test_one_repository_by_several_addresses():
    keys = {
        RepositoryUrl.parse(url).key
        for url in (
            "https://github.com/Org/repo.git",
            "https://token@GitHub.com/org/repo/",
            "https://github.com:443/Org/repo",
            "ssh://git@github.com/Org/repo.git",
            "git@github.com:Org/repo.git",
        )
    }
    assert len(keys) == 1
    assert RepositoryUrl.parse("https://gitlab.com/Org/repo.git").key not in keys
    assert RepositoryUrl.parse("https://github.com:8443/Org/repo.git").key not in keys


def test_a_path_and_its_file_address_are_one(tmp_path):
    assert (
        RepositoryUrl.parse(f"file://{tmp_path}/a%20b").key
        == RepositoryUrl.parse(f"{tmp_path}/x/../a b/").key
    )


@pytest.mark.parametrize(
    "ref",
    ["main", "HEAD", "v1.0", "feature/größe", "refs/heads/x", "a" * 40, "b" * 64, "fix-#3", "a+b"],
)
def test_refs_that_are_names(ref):
    validate_ref(ref)


@pytest.mark.parametrize(
    "ref",
    [
        "", "-x", "--upload-pack=x", "@", "a b", "a\nb", "a\0", "a..b", "HEAD~1", "HEAD^", "v1^{}",
        "a:b", "a?", "a*", "a[b", "a\\b", "a@{1}", "/a", "a/", "a//b", ".a", "a/.b", "a.", "a.lock",
        "a.lock/b", "x" * 300,
    ],
)  # fmt: skip
def test_refs_that_are_refused(ref):
    with pytest.raises(RepositoryError) as caught:
        validate_ref(ref)
    assert caught.value.code == "repository-ref-refused"
