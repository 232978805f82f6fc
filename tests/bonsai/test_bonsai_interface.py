from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from openscope_experimental_launcher.base.bonsai_interface import BonsaiInterface
from openscope_experimental_launcher.errors import EngineError

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")


@pytest.fixture
def interface(caplog) -> BonsaiInterface:
    caplog.set_level(logging.INFO)
    return BonsaiInterface()


def test_path_and_installation(interface, repository, caplog) -> None:
    assert not interface.check_installation()
    interface.set_bonsai_path(repository / "bonsai")
    assert interface.bonsai_exe_path == str(repository / "bonsai" / "Bonsai.exe")
    assert interface.check_installation()
    interface.set_bonsai_path(str(repository / "nowhere.exe"))
    assert not interface.check_installation()
    assert "does not exist" in caplog.text


def test_arguments_in_both_spellings(interface) -> None:
    for key in ("script_parameters", "bonsai_parameters"):
        params = {key: {"N": 1, "On": True}, "bonsai_arguments": ["--debug-scripts"]}
        assert interface.create_bonsai_property_arguments(params) == ["-p:N=1", "-p:On=True"]
        assert interface.construct_workflow_arguments(params) == [
            "--no-editor",
            "--debug-scripts",
            "-p:N=1",
            "-p:On=True",
        ]
    assert interface.construct_workflow_arguments({}) == ["--no-editor"]
    with pytest.raises(EngineError):
        interface.construct_workflow_arguments({"bonsai_arguments": ["--oops"]})


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.nupkg").touch()


def test_packages(interface, repository, tmp_path, caplog) -> None:
    wanted = interface.parse_bonsai_config(repository / "src" / "Bonsai.config")
    assert wanted["OpenCV.Net"] == "3.4.2"
    packages = tmp_path / "Packages"
    assert interface.get_installed_packages(packages) == {}
    install(packages, "Bonsai.Core.2.9.0", "Bonsai.Core.2.10.0", "BonVision.0.11.0")
    installed = {"BonVision": "0.11.0", "Bonsai.Core": "2.10.0"}
    assert interface.get_installed_packages(str(packages)) == installed
    assert interface.verify_packages({"BonVision": "0.11.0.0"}, packages)
    assert not interface.verify_packages(repository / "src" / "Bonsai.config", packages)
    assert "Bonsai.Core is installed at 2.9.0, 2.10.0, not at 2.8.1" in caplog.text
    with pytest.raises(EngineError):
        interface.parse_bonsai_config(tmp_path / "nowhere.config")


@posix_only
def test_setup_runs_the_script_when_bonsai_is_missing(interface, repository, caplog) -> None:
    exe = repository / "bonsai" / "Bonsai.exe"
    exe.rename(repository / "prepared")
    script = repository / "setup.sh"
    script.write_text("echo installing\ncp prepared bonsai/Bonsai.exe\n: > ran\n")
    params = {"bonsai_exe_path": "bonsai/Bonsai.exe", "bonsai_setup_script": "setup.sh"}
    assert interface.setup_bonsai_environment(params, repository)
    assert interface.bonsai_exe_path == str(exe)
    assert "installing" in caplog.text

    (repository / "ran").unlink()
    assert interface.setup_bonsai_environment(params, repository)
    assert not (repository / "ran").exists(), "nothing was missing"


@posix_only
def test_setup_runs_the_script_when_a_package_is_missing(interface, repository, caplog) -> None:
    shutil.copy(repository / "src" / "Bonsai.config", repository / "bonsai")
    (repository / "setup.sh").write_text(": > ran\n")
    params = {"bonsai_exe_path": "bonsai/Bonsai.exe", "bonsai_setup_script": "setup.sh"}
    assert interface.setup_bonsai_environment(params, repository), "Bonsai downloads them itself"
    assert (repository / "ran").exists()
    assert "Bonsai.Vision 2.8.0" in caplog.text
    assert [found.code for found in interface.findings] == ["bonsai-package-missing"]


@posix_only
@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("fails.sh", "echo no network >&2; exit 3", "no network"),
        ("useless.sh", "true", "Bonsai.exe does not exist"),
        ("setup.cmd", "rem", "needs Windows"),
        ("setup.exe", "", "its kind is not"),
    ],
)
def test_setup_that_does_not_work(interface, repository, caplog, name, body, said) -> None:
    shutil.rmtree(repository / "bonsai")
    (repository / name).write_text(body)
    params = {"bonsai_exe_path": "bonsai/Bonsai.exe", "bonsai_setup_script": name}
    assert not interface.setup_bonsai_environment(params, repository)
    assert said in caplog.text
    assert interface.error is not None
    assert said in interface.error.message


def test_setup_without_what_it_needs(interface, repository, caplog) -> None:
    assert not interface.setup_bonsai_environment({})
    params = {"bonsai_exe_path": "no/Bonsai.exe", "bonsai_setup_script": "no.sh"}
    assert not interface.setup_bonsai_environment(params, repository)
    assert "no.sh does not exist" in caplog.text


@posix_only
def test_a_setup_script_that_hangs_is_stopped(interface, repository, caplog) -> None:
    (repository / "setup.sh").write_text(
        "printf 'Accept the licence? [y/n] '; read answer || echo nobody answers; sleep 60\n"
    )
    assert not interface.install_bonsai(repository / "setup.sh", timeout_s=1)
    assert interface.error.code == "bonsai-setup-failed"
    assert "was stopped after 1 s" in interface.error.message
    assert "Accept the licence? [y/n] nobody answers" in interface.error.message


@posix_only
def test_starting_a_workflow(interface, repository, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OPENSCOPE_PLAYER_DURATION_S", "0.3")
    with pytest.raises(EngineError, match="No Bonsai program"):
        interface.start_workflow("x.bonsai")
    interface.set_bonsai_path(repository / "bonsai" / "Bonsai.exe")
    arguments = interface.construct_workflow_arguments({"script_parameters": {"Count": "x"}})
    workflow = repository / "src" / "minimal.bonsai"
    process = interface.start_workflow(workflow, arguments, tmp_path)
    assert Path(psutil.Process(process.pid).cwd()) == workflow.parent
    assert os.getpgid(process.pid) == process.pid
    assert process.wait(timeout=60) == 1
    assert "x is not a valid value" in (tmp_path / "stderr.log").read_text()
    assert interface.start_workflow(workflow).wait(timeout=20) == 0


@posix_only
def test_a_program_that_cannot_start_is_a_plain_error(interface, repository) -> None:
    exe = repository / "bonsai" / "Bonsai.exe"
    exe.chmod(0o644)
    interface.set_bonsai_path(exe)
    with pytest.raises(EngineError) as caught:
        interface.start_workflow(repository / "src" / "minimal.bonsai")
    assert caught.value.code == "bonsai-exe-not-executable"
