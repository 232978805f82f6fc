"""What is written down is enough to have exactly the same code again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from openscope_experimental_launcher.errors import RepositoryError
from openscope_experimental_launcher.repository import checkout as checkout_module
from openscope_experimental_launcher.repository import save_state


def tree_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mode & 0o111)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and ".git" not in file.relative_to(folder).parts
    }


def rebuild(lab, folder: Path, target: Path) -> dict[str, tuple[bytes, int]]:
    """As a scientist would, with nothing but git and the saved files."""
    record = json.loads((folder / "repository.json").read_text(encoding="utf-8"))
    run = {"check": True, "capture_output": True}
    subprocess.run(["git", "clone", "--quiet", record["url"], str(target)], **run)
    subprocess.run(["git", "checkout", "--detach", record["commit"]], cwd=target, **run)
    if "patch" in record:
        patch = str(folder / record["patch"])
        subprocess.run(["git", "apply", "--index", patch], cwd=target, **run)
    saved = folder / "repository_untracked"
    if saved.exists():
        subprocess.run(["cp", "-a", f"{saved}/.", str(target)], **run)
    return tree_of(target)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "experiment_metadata"
    folder.mkdir()
    return folder


def test_a_clean_checkout(lab, folder):
    save_state(lab.run("main"), folder)
    record = json.loads((folder / "repository.json").read_text())
    assert record == {
        "url": lab.url,
        "ref": "main",
        "commit": lab.head,
        "branch": "main",
        "path": str(lab.path),
        "dirty": False,
        "edited": [],
        "untracked": [],
        "remote_asked": True,
    }
    assert [entry.name for entry in folder.iterdir()] == ["repository.json"]
    save_state(lab.run(lab.head), folder)
    assert json.loads((folder / "repository.json").read_text())["remote_asked"] is False


@pytest.mark.parametrize(
    "settings", ["", "[diff]\nnoprefix=true\nexternal=false\n[color]\nui=always\n"]
)
def test_the_exact_tree_can_be_rebuilt(lab, folder, tmp_path, own_git_settings, settings):
    """Fault 30."""
    (own_git_settings / ".gitconfig").open("a").write(settings)
    lab.commit(
        {"bin": bytes(range(256)), "gone": "x\n", "run.sh": "#!/bin/sh\n", "no newline": "x"}
    )
    lab.run("main")
    (lab.path / "flow.bonsai").write_bytes(b"<mine/>\r\n\0\xff")
    (lab.path / "bin").write_bytes(bytes(range(255, -1, -1)))
    (lab.path / "gone").unlink()
    (lab.path / "run.sh").chmod(0o755)
    (lab.path / "no newline").write_text("y")
    (lab.path / "staged ü").write_text("new")
    lab.local("add", "staged ü")
    lab.local("mv", "src/größe.py", "src/anders.py")
    (lab.path / "helper.py").write_text("untracked")
    (lab.path / "deep/er").mkdir(parents=True)
    (lab.path / "deep/er/a b.sh").write_text("x")
    (lab.path / "deep/er/a b.sh").chmod(0o755)
    before = tree_of(lab.path)
    status = lab.local("status", "--porcelain")

    checkout = lab.run("main", allow_dirty=True)
    save_state(checkout, folder)
    assert tree_of(lab.path) == before and lab.local("status", "--porcelain") == status
    assert rebuild(lab, folder, tmp_path / "rebuilt") == before


def test_untracked_files_alone_are_saved_when_they_were_meant(lab, folder, tmp_path):
    lab.run("main")
    (lab.path / "helper.py").write_text("untracked")
    save_state(lab.run("main"), folder)
    assert not (folder / "repository_untracked").exists()
    save_state(lab.run("main", allow_dirty=True), folder)
    assert rebuild(lab, folder, tmp_path / "rebuilt") == tree_of(lab.path)


def test_large_files_links_and_odd_names_are_listed(lab, folder, monkeypatch, caplog):
    monkeypatch.setattr(checkout_module, "KEPT_FILE_BYTES", 1000)
    monkeypatch.setattr(checkout_module, "KEPT_TOTAL_BYTES", 1500)
    lab.run("main")
    (lab.path / "a small").write_bytes(b"x" * 900)
    (lab.path / "b large").write_bytes(b"x" * 2000)
    (lab.path / "c too much").write_bytes(b"x" * 900)
    (lab.path / "d link").symlink_to("/etc/passwd")
    odd = b"e \xff\n name"
    (lab.path / os.fsdecode(odd)).write_bytes(b"x")
    subprocess.run(["git", "init", "--quiet", str(lab.path / "f inner")], check=True)
    save_state(lab.run("main", allow_dirty=True), folder)
    record = json.loads((folder / "repository.json").read_text(encoding="utf-8"))
    assert record["untracked_files"] == [
        {"path": "a small", "bytes": 900, "saved": True},
        {"path": "b large", "bytes": 2000, "saved": False},
        {"path": "c too much", "bytes": 900, "saved": False},
        {"path": "d link", "link_to": "/etc/passwd", "saved": False},
        {"path": "e \\xff\n name", "bytes": 1, "saved": True},
        {"path": "f inner/", "saved": False},
    ]
    assert "b large" in caplog.text and "a small" not in caplog.text
    kept = folder / "repository_untracked"
    assert sorted(bytes(entry) for entry in kept.iterdir()) == sorted(
        bytes(kept) + b"/" + name for name in (b"a small", odd)
    )


def test_no_credentials_are_saved(lab, folder, own_git_settings):
    url = "https://user:geheim@host.invalid/oddball.git"
    with (own_git_settings / ".gitconfig").open("a") as settings:
        settings.write(f'[url "{lab.url}"]\ninsteadOf = {url}\n')
    save_state(lab.run("main", url=url), folder)
    text = (folder / "repository.json").read_text()
    assert "geheim" not in text and "https://host.invalid/oddball.git" in text


def test_a_folder_that_cannot_be_written(lab, tmp_path):
    with pytest.raises(RepositoryError) as caught:
        save_state(lab.run("main"), tmp_path / "nowhere")
    assert caught.value.code == "repository-folder-unusable"
