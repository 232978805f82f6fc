"""The engine on real repositories: the launch it describes, what it finds, what really happens."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from openscope_experimental_launcher.engines import Ended, get_engine
from openscope_experimental_launcher.engines.bonsai import BonsaiEngine
from openscope_experimental_launcher.engines.bonsai.launch import PLAYER_MODULE, command_line
from openscope_experimental_launcher.errors import EngineError
from openscope_experimental_launcher.parameters.placeholders import SLOT_FOLDER, SLOT_UUID, bind

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX programs")
SESSION = "/data/614173_2025-01-31_13-45-00"


@pytest.fixture
def engine() -> BonsaiEngine:
    return BonsaiEngine()


@pytest.fixture
def checked(engine, source, parameters):
    """The findings about parameters, without the ok ones and the warning about stopping."""

    def check(*, rehearsal: bool = False, **given):
        session = parameters(**given)
        launch = engine.prepare(session, source, SLOT_FOLDER, rehearsal=rehearsal)
        findings = engine.check(session, source, launch)
        # Other tests run programs of this name meanwhile.
        not_meant = ("bonsai-cannot-be-asked", "bonsai-running")
        return [f for f in findings if f.level != "ok" and f.code not in not_meant]

    return check


def codes(findings) -> list[str]:
    return [finding.code for finding in findings]


def error_codes(error: EngineError) -> list[str]:
    return codes(error.findings)


def test_the_engine_is_found_by_its_name() -> None:
    assert get_engine("bonsai").name == "bonsai"


# prepare


def test_the_exact_command_line(engine, source, parameters, repository) -> None:
    session = parameters(
        bonsai_arguments=["--debug-scripts", "--no-editor", "--lib", "extra", "-p:TrialCount=7"],
        script_parameters={"Contrast": 0.1, "ShowCamera": False, "ServerAddress": "tcp://a:1=b c"},
    )
    launch = engine.prepare(session, source, SESSION, rehearsal=False)
    assert launch.arguments == (
        str(repository / "bonsai" / "Bonsai.exe"),
        str(repository / "src" / "oddball.bonsai"),
        "--no-editor",
        "--debug-scripts",
        "--lib:extra",
        f"-p:OutputFolder={SESSION}",
        "-p:TrialCount=7",
        "-p:Contrast=0.1",
        "-p:ShowCamera=False",
        "-p:ServerAddress=tcp://a:1=b c",
    )
    assert launch.folder == str(repository / "src")
    assert launch.script == repository / "src" / "oddball.bonsai"
    assert launch.environment == {}


def test_a_rehearsal_differs_in_the_program_alone(engine, source, parameters) -> None:
    session = parameters(script_parameters={"Contrast": 1e-7}, rehearsal_duration_s=2.5)
    real = engine.prepare(session, source, SLOT_FOLDER, rehearsal=False)
    rehearsal = engine.prepare(session, source, SLOT_FOLDER, rehearsal=True)
    assert rehearsal.arguments[:4] == (sys.executable, "-P", "-m", PLAYER_MODULE)
    assert rehearsal.arguments[4:] == real.arguments[1:]
    assert rehearsal.environment == {
        "OPENSCOPE_PLAYER_DURATION_S": "2.5",
        "OPENSCOPE_PLAYER_OUTPUT_ROOT": SLOT_FOLDER,
    }
    assert rehearsal.ask.how == "none"


def test_a_rehearsal_needs_no_program(engine, source, parameters) -> None:
    session = parameters(bonsai_exe_path=None)
    assert engine.prepare(session, source, SESSION, rehearsal=True).arguments
    with pytest.raises(EngineError) as caught:
        engine.prepare(session, source, SESSION, rehearsal=False)
    assert caught.value.code == "bonsai-exe-not-given"


@pytest.mark.parametrize(
    ("script", "given", "passed"),
    [
        ("oddball", {}, f"-p:OutputFolder={SLOT_FOLDER}"),
        ("oddball", {"OutputFolder": "D:/mine"}, "-p:OutputFolder=D:/mine"),
        ("minimal", {}, f"-p:RootFolder={SLOT_FOLDER}"),
        ("minimal", {"RootFolder": "D:/mine"}, "-p:RootFolder=D:/mine"),
    ],
)
def test_the_session_folder_is_passed_unless_set(
    engine, source, parameters, script, given, passed
) -> None:
    session = parameters(script_path=f"src/{script}.bonsai", script_parameters=given)
    arguments = engine.prepare(session, source, SLOT_FOLDER, rehearsal=False).arguments
    assert [text for text in arguments if text.startswith("-p:")] == [passed]


def test_a_workflow_without_such_a_property_gets_none(engine, source, parameters) -> None:
    session = parameters(script_path="src/Extensions/Logging.bonsai")
    arguments = engine.prepare(session, source, SLOT_FOLDER, rehearsal=False).arguments
    assert not [text for text in arguments if text.startswith("-p:")]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"),
        (False, "False"),
        (3, "3"),
        (2.5, "2.5"),
        (1e22, "1e+22"),
        ("", ""),
        ("ü", "ü"),
    ],
)
def test_values_as_text(value, text) -> None:
    assert command_line([], {"N": value}).properties == {"N": text}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"N": None}, "bonsai-value-unsupported"),
        ({"N": [1]}, "bonsai-value-unsupported"),
        ({"N": {"a": 1}}, "bonsai-value-unsupported"),
        ({"N": float("inf")}, "bonsai-value-unsupported"),
        ({"": 1}, "bonsai-property-name-invalid"),
        ({"A=B": 1}, "bonsai-property-name-invalid"),
        ({"N": 'say "hi"'}, "bonsai-value-not-carried"),
        ({"N": "C:\\my data\\"}, "bonsai-value-not-carried"),
        ({"my N": "C:\\data\\"}, "bonsai-value-not-carried"),
        ({"N": "a\tb"}, "bonsai-value-not-carried"),
        ({"N": f"{SLOT_FOLDER}\\"}, "bonsai-value-not-carried"),
    ],
)
def test_what_bonsai_cannot_carry_is_refused(values, code) -> None:
    with pytest.raises(EngineError) as caught:
        command_line([], values)
    assert error_codes(caught.value) == [code]
    assert caught.value.findings[0].fix
    assert "\0" not in caught.value.render()


@pytest.mark.parametrize("text", ["C:\\data\\", "C:\\my data", "a=b:c", "-p:x", "it's", "50%"])
def test_what_bonsai_carries_is_passed(text) -> None:
    assert command_line([], {"N": text}).arguments() == ("--no-editor", f"-p:N={text}")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--no-edtior"], "Did you mean '--no-editor'?"),
        (["--property=X=1"], "--property=X=1"),
        (["-pX=1"], "-pX=1"),
        (["other.bonsai"], "other.bonsai"),
        ([""], "no option ''"),
        (["--lib"], "needs a value"),
        (["-p"], "needs a value"),
        (["-p:X"], "given no value"),
        (["--start:now"], "takes no value"),
        (["--package-manager"], "opens a window"),
    ],
)
def test_options_that_bonsai_would_misunderstand(arguments, word) -> None:
    with pytest.raises(EngineError) as caught:
        command_line(arguments, {})
    assert error_codes(caught.value) == ["bonsai-option-invalid"]
    assert word in caught.value.render()


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(EngineError) as caught:
        command_line(["--huh", "-p:N=1"], {"N": 2, "L": [], "Q": '"'})
    assert error_codes(caught.value) == [
        "bonsai-option-invalid",
        "bonsai-value-unsupported",
        "bonsai-property-twice",
        "bonsai-value-not-carried",
    ]


def test_a_missing_workflow_names_those_that_are_there(engine, source, parameters) -> None:
    session = parameters(script_path="src/odball.bonsai")
    with pytest.raises(EngineError) as caught:
        engine.prepare(session, source, SESSION, rehearsal=False)
    assert caught.value.code == "bonsai-workflow-missing"
    assert "oddball.bonsai" in caught.value.message


def test_no_workflow_and_a_broken_one(engine, source, parameters, repository) -> None:
    (repository / "broken.bonsai").write_text("<WorkflowBuilder>")
    for path, code in ((None, "bonsai-workflow-not-given"), ("broken.bonsai", "bonsai-xml-broken")):
        with pytest.raises(EngineError) as caught:
            engine.prepare(parameters(script_path=path), source, SESSION, rehearsal=True)
        assert caught.value.code == code


def test_a_folder_stands_for_the_program_in_it(engine, source, parameters, repository) -> None:
    session = parameters(bonsai_exe_path="bonsai")
    launch = engine.prepare(session, source, SESSION, rehearsal=False)
    assert launch.arguments[0] == str(repository / "bonsai" / "Bonsai.exe")


@pytest.mark.parametrize(
    ("stop_file", "asked"),
    [
        ("stop.now", "{folder}/stop.now"),
        (f"{SLOT_UUID}.stop", f"{{folder}}/{SLOT_UUID}.stop"),
        (f"{SLOT_FOLDER}/stop", f"{SLOT_FOLDER}/stop"),
        ("C:\\stop", "C:\\stop"),
    ],
)
def test_a_stop_file_is_how_to_ask(
    engine, source, parameters, repository, stop_file, asked
) -> None:
    launch = engine.prepare(parameters(stop_file=stop_file), source, SLOT_FOLDER, rehearsal=False)
    expected = asked.format(folder=repository / "src")
    assert (launch.ask.how, launch.ask.stop_file) == ("stop_file", expected)
    assert launch.ask.loses == ""
    assert launch.environment["OPENSCOPE_STOP_FILE"] == expected


def test_without_a_stop_file_it_says_what_is_lost(engine, source, parameters) -> None:
    ask = engine.prepare(parameters(), source, SLOT_FOLDER, rehearsal=False).ask
    assert ask.how == ("window" if sys.platform == "win32" else "none")
    assert "stimuli.csv" in ask.loses
    assert "will be lost" in ask.loses


# Programs


def windows_program(path: Path, machine: int = 0x014C) -> None:
    path.write_bytes(
        b"MZ".ljust(60, b"\0")
        + struct.pack("<I", 128)
        + b"\0" * 64
        + b"PE\0\0"
        + struct.pack("<H", machine)
    )


@posix_only
def test_a_windows_program_is_started_through_mono(
    engine, source, parameters, repository, tmp_path, monkeypatch, checked
) -> None:
    exe = repository / "bonsai" / "Bonsai.exe"
    player = exe.rename(repository / "player")
    windows_program(exe)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert codes(checked()) == ["bonsai-exe-needs-mono"]

    mono = tmp_path / "bin" / "mono"
    mono.write_text(f'#!/bin/sh\nshift\nexec "{player}" "$@"\n')
    mono.chmod(0o755)
    assert checked() == []
    launch = engine.prepare(parameters(), source, str(tmp_path), rehearsal=False)
    assert launch.arguments[:2] == (str(mono), str(exe))
    environment = {**os.environ, "OPENSCOPE_PLAYER_DURATION_S": "0.05"}
    run = subprocess.run(launch.arguments, cwd=launch.folder, env=environment, timeout=30)
    assert run.returncode == 0


def make_missing(exe: Path) -> None:
    exe.unlink()


def make_folder(exe: Path) -> None:
    exe.unlink()
    exe.mkdir()


def make_plain(exe: Path) -> None:
    exe.chmod(0o644)


def make_text(exe: Path) -> None:
    exe.write_text("hello")


def make_other_machine(exe: Path) -> None:
    exe.write_bytes(b"\x7fELF\x02\x01".ljust(18, b"\0") + struct.pack("<H", 0x28))


def make_orphan_script(exe: Path) -> None:
    exe.write_text("#!/nowhere/interpreter\n")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux program formats")
@pytest.mark.parametrize(
    ("make", "code"),
    [
        (make_missing, "bonsai-exe-missing"),
        (make_folder, "bonsai-exe-is-folder"),
        (make_plain, "bonsai-exe-not-executable"),
        (make_text, "bonsai-exe-not-a-program"),
        (make_other_machine, "bonsai-exe-wrong-architecture"),
        (make_orphan_script, "bonsai-exe-no-interpreter"),
    ],
)
def test_programs_that_cannot_be_started(checked, repository, make, code) -> None:
    make(repository / "bonsai" / "Bonsai.exe")
    (finding,) = checked()
    assert (finding.level, finding.code) == ("error", code)
    assert finding.fix
    assert "Bonsai.exe" in finding.where


def test_a_real_program_of_this_computer_is_accepted(checked) -> None:
    assert checked(bonsai_exe_path=str(Path(sys.executable).resolve())) == []


def test_a_setup_script_may_bring_the_program(checked, repository) -> None:
    shutil.rmtree(repository / "bonsai")
    here, elsewhere = (".cmd", ".exe") if sys.platform == "win32" else (".sh", ".cmd")
    script = f"setup{here}"
    assert codes(checked(bonsai_setup_script=script)) == ["bonsai-setup-script-missing"]
    (repository / script).touch()
    (finding,) = checked(bonsai_setup_script=script)
    assert (finding.level, finding.code) == ("warning", "bonsai-not-installed")
    (repository / f"setup{elsewhere}").touch()
    (finding,) = checked(bonsai_setup_script=f"setup{elsewhere}")
    assert (finding.level, finding.code) == ("error", "bonsai-setup-script-not-runnable")


def test_without_a_path_the_program_is_in_its_usual_folder(checked, repository) -> None:
    (repository / "bonsai").rename(repository / ".bonsai")
    assert checked(bonsai_exe_path=None) == []
    (repository / ".bonsai").rename(repository / "src" / ".bonsai")
    assert checked(bonsai_exe_path=None) == [], "beside the workflow"
    (repository / "src" / ".bonsai" / "Bonsai.exe").unlink()
    with pytest.raises(EngineError) as caught:
        checked(bonsai_exe_path=None)
    assert caught.value.code == "bonsai-exe-not-given"
    (repository / "src" / ".bonsai" / "Setup.cmd").touch()
    with pytest.raises(EngineError, match=r"bonsai_setup_script: 'src/\.bonsai/Setup\.cmd'"):
        checked(bonsai_exe_path=None)
    found = checked(bonsai_exe_path=None, bonsai_setup_script="src/.bonsai/Setup.cmd")
    other = [] if sys.platform == "win32" else ["bonsai-setup-script-not-runnable"]
    assert codes(found) == (other or ["bonsai-not-installed"])


# Properties and values


def test_nothing_to_find(engine, source, parameters) -> None:
    session = parameters(script_parameters={"TrialInterval": "00:00:02"}, stop_file="stop")
    launch = engine.prepare(session, source, SLOT_FOLDER, rehearsal=False)
    (ready,) = (f for f in engine.check(session, source, launch) if f.code != "bonsai-running")
    assert (ready.level, ready.message) == ("ok", "The workflow oddball.bonsai: 1 property to set.")


def test_an_unknown_property_offers_the_nearest(checked) -> None:
    (typo,) = checked(script_parameters={"TrialIntervall": "00:00:01"})
    assert (typo.level, typo.code) == ("error", "bonsai-property-unknown")
    assert "'TrialInterval'" in typo.message
    (case,) = checked(script_parameters={"trialcount": 1})
    assert "Did you mean 'TrialCount'? Case matters." in case.message
    assert codes(checked(script_parameters={"Camera.Index": 1})) == []


def test_an_unconnected_property_is_an_error(checked) -> None:
    findings = checked(script_parameters={"Unconnected": 1})
    assert codes(findings) == ["bonsai-property-unconnected"]


def test_duplicate_names_in_the_workflow_are_an_error(checked, repository, build) -> None:
    nodes = (build.mapping("Value", "N"), build.typed("IntProperty", "1")) * 2
    data = build.workflow(*nodes, edges=((0, 1), (2, 3)))
    (repository / "twice.bonsai").write_bytes(data)
    assert codes(checked(script_path="twice.bonsai")) == ["bonsai-property-duplicated"]


@pytest.mark.parametrize("given", ["PT20S", "20", 20])
def test_a_time_span_shows_how_it_is_written(checked, given) -> None:
    (finding,) = checked(script_parameters={"TrialInterval": given})
    assert (finding.level, finding.code) == ("error", "bonsai-value-not-converted")
    assert '"00:00:20"' in finding.fix


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ({"TrialCount": 1.5}, "error"),
        ({"TrialCount": "many"}, "error"),
        ({"Contrast": "0,5"}, "error"),
        ({"ShowCamera": 1}, "error"),
        ({"CameraIndex": "left"}, "warning"),
        ({"CameraIndex": 0.5}, "warning"),
    ],
)
def test_values_that_will_not_convert(checked, values, level) -> None:
    assert [finding.level for finding in checked(script_parameters=values)] == [level]


@pytest.mark.parametrize(
    "values",
    [
        {"TrialCount": 3, "Contrast": 1, "ShowCamera": False, "CameraIndex": 2},
        {"OutputFolder": "anything", "ServerAddress": "12", "TrialInterval": "1.00:00:00"},
    ],
)
def test_values_that_convert(checked, values) -> None:
    assert checked(script_parameters=values) == []


# Includes, outputs, packages, stopping


def test_includes_are_looked_for_in_the_workflows_folder(checked, repository, build) -> None:
    logging = repository / "src" / "Extensions" / "Logging.bonsai"
    nested = '<Expression xsi:type="IncludeWorkflow" Path="Extensions\\Deep.bonsai" />'
    logging.write_bytes(build.workflow(nested))
    (finding,) = checked()
    assert finding.code == "bonsai-include-missing"
    assert "Deep.bonsai" in finding.message
    logging.write_text("<broken")
    assert codes(checked()) == ["bonsai-xml-broken"]
    logging.unlink()
    assert codes(checked()) == ["bonsai-include-missing"]


def test_an_output_file_in_the_way_is_an_error(checked, repository) -> None:
    (repository / "src" / "camera.avi").touch()
    assert checked() == [], "it is overwritten"
    (repository / "src" / "stimuli.csv").touch()
    assert codes(checked()) == ["bonsai-output-exists"]
    assert checked(script_parameters={"StimulusTable": "new.csv"}) == []
    assert checked(script_parameters={"StimulusTable": f"{SLOT_FOLDER}/stimuli.csv"}) == []
    assert checked(rehearsal=True) == [], "a rehearsal writes elsewhere"


def test_an_output_without_a_name_is_a_warning(checked) -> None:
    assert codes(checked(script_parameters={"StimulusTable": ""})) == ["bonsai-output-unnamed"]


def test_packages_are_verified_beside_the_program(checked, repository) -> None:
    shutil.copy(repository / "src" / "Bonsai.config", repository / "bonsai")
    (missing,) = checked()
    assert missing.code == "bonsai-package-missing"
    assert "Bonsai.Harp 3.5.0-build240401" in missing.message
    assert len(missing.message.split(",")) == 8
    for name in ("Bonsai.2.8.1", "Bonsai.Core.2.8.1.0", "Bonsai.System.2.8.0", "Bonsai.Vision.2.7"):
        folder = repository / "bonsai" / "Packages" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.nupkg").touch()
    script = "setup.cmd" if sys.platform == "win32" else "setup.sh"
    *_, absent = checked(bonsai_setup_script=script)
    assert (absent.level, absent.code) == ("error", "bonsai-setup-script-missing")
    (repository / script).touch()
    still, differs = checked(bonsai_setup_script=script)
    assert (still.code, differs.code) == ("bonsai-package-missing", "bonsai-package-differs")
    assert len(still.message.split(",")) == 4
    assert "Bonsai.Vision is installed at 2.7, not at 2.8.0" in differs.message
    assert "runs before the session" in differs.fix


def test_a_needed_assembly_that_no_package_brings(checked, repository) -> None:
    config = '<PackageConfiguration><Packages><Package id="{}" version="1.0"/></Packages>'
    text = config.format("Bonsai.Core") + "</PackageConfiguration>"
    (repository / "bonsai" / "Bonsai.config").write_text(text)
    found = [f.message for f in checked() if f.code == "bonsai-package-unlisted"]
    assert [message.split()[3].rstrip(",") for message in found] == [
        "Bonsai.System",
        "Bonsai.Vision",
        "BonVision",
    ]


def test_a_named_config_must_be_there_and_readable(checked, repository) -> None:
    assert codes(checked(bonsai_config_path="no.config")) == ["bonsai-config-missing"]
    (repository / "bad.config").write_text("<broken")
    assert codes(checked(bonsai_config_path="bad.config")) == ["bonsai-xml-broken"]


def test_a_stop_that_cannot_be_asked_is_a_warning(engine, source, parameters) -> None:
    session = parameters()
    launch = engine.prepare(session, source, SLOT_FOLDER, rehearsal=False)
    findings = engine.check(session, source, launch)
    (warning,) = [f for f in findings if f.level == "warning" and f.code != "bonsai-running"]
    assert warning.code == "bonsai-cannot-be-asked"
    assert launch.ask.loses in warning.message


def test_a_stop_file_that_is_there_already(checked, repository) -> None:
    (repository / "src" / "stop").touch()
    assert codes(checked(stop_file="stop")) == ["bonsai-stop-file-exists"]


# All together


@pytest.mark.parametrize("rehearsal", [False, True])
def test_the_launch_runs(engine, source, parameters, tmp_path, rehearsal) -> None:
    folder = tmp_path / "my session"
    folder.mkdir()
    session = parameters(rehearsal_duration_s=0.05, script_parameters={"TrialCount": 3})
    launch = engine.prepare(session, source, SLOT_FOLDER, rehearsal=rehearsal)
    bound = [bind(argument, str(folder), "x") for argument in launch.arguments]
    settings = {"OPENSCOPE_PLAYER_DURATION_S": "0.05", **launch.environment}
    environment = {key: bind(value, str(folder), "x") for key, value in settings.items()}
    stdout, stderr = folder / "stdout.log", folder / "stderr.log"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        run = subprocess.run(
            bound,
            cwd=launch.folder,
            env={**os.environ, **environment},
            stdout=out,
            stderr=err,
            timeout=30,
        )
    assert engine.diagnose(Ended(run.returncode, None, stdout, stderr)) == []
    assert run.returncode == 0
    written = folder if rehearsal else Path(launch.folder)
    assert (written / "stimuli.csv").stat().st_size
