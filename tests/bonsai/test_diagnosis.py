from __future__ import annotations

import time
from pathlib import Path

import pytest

from openscope_experimental_launcher.engines import Ended
from openscope_experimental_launcher.engines.bonsai.diagnosis import diagnose


@pytest.fixture
def diagnosed(tmp_path: Path):
    def run(code: int | None, stderr: str | bytes = "", stdout: str = "", signal=None):
        data = stderr if isinstance(stderr, bytes) else stderr.encode()
        (tmp_path / "err").write_bytes(data)
        (tmp_path / "out").write_text(stdout)
        return diagnose(Ended(code, signal, tmp_path / "out", tmp_path / "err"))

    return run


def test_silence_means_nothing_wrong(diagnosed) -> None:
    assert diagnosed(0) == []
    assert diagnosed(None, signal=15) == []


def test_missing_files_mean_nothing(tmp_path) -> None:
    assert diagnose(Ended(0, None, tmp_path / "a", tmp_path / "b")) == []


def test_exit_code_0_with_an_exception_is_an_error(diagnosed) -> None:
    (finding,) = diagnosed(
        0,
        "System.IO.IOException: The file 'out.csv' already exists.\n"
        "  at Bonsai.IO.FileSink`2.<Process>b__0 ()\n",
    )
    assert (finding.level, finding.code) == ("error", "bonsai-output-exists")
    assert finding.message.startswith(
        "The workflow stopped with System.IO.IOException: The file 'out.csv' already exists."
    )
    assert "Overwrite" in finding.fix


@pytest.mark.parametrize("code", [1, 3762504530, -532462766])
@pytest.mark.parametrize(
    "start", ["Unhandled Exception: ", "\nUnhandled Exception:\n", "\ufeffUnhandled Exception: "]
)
def test_a_crash(diagnosed, code, start) -> None:
    said = f"{start}System.ArgumentException: Specified workflow file does not exist.\n  at X\n"
    (finding,) = diagnosed(code, said)
    assert finding.code == "bonsai-workflow-missing"
    assert finding.message.startswith("Bonsai crashed with System.ArgumentException: Specified")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("System.DivideByZeroException: Attempted to divide by zero.", "bonsai-exception"),
        (
            "System.InvalidOperationException: There is an error in XML document (2, 3). ---> "
            "System.Xml.XmlException: oh",
            "bonsai-workflow-broken",
        ),
        (
            "System.Collections.Generic.KeyNotFoundException: No property or named element 'X' "
            "was found in the workflow.",
            "bonsai-property-unknown",
        ),
        (
            "System.ArgumentException: The specified property 'X' was not found in the workflow.",
            "bonsai-property-unknown",
        ),
        (
            "System.FormatException: Property value is not valid. ---> System.Exception: abc is "
            "not a valid value for Int32.",
            "bonsai-value-not-converted",
        ),
        (
            "Bonsai.WorkflowBuildException: This is a proxy for the unknown type "
            "'Bonsai.Vision.CameraCapture'. Please install any missing packages or replace it.",
            "bonsai-package-missing",
        ),
        ("Bonsai.WorkflowBuildException: Something else.", "bonsai-workflow-not-built"),
        (
            "System.InvalidOperationException: A valid file path must be specified.",
            "bonsai-output-unnamed",
        ),
        (
            "System.IO.FileNotFoundException: Could not find file 'C:\\a.png'.",
            "bonsai-file-missing",
        ),
        (
            "System.UnauthorizedAccessException: Access to the port 'COM3' is denied.",
            "bonsai-access-refused",
        ),
        (
            "System.IO.IOException: There is not enough space on the disk.",
            "bonsai-disk-full",
        ),
        ("System.IO.IOException: The port 'COM9' does not exist.", "bonsai-port-missing"),
        ("System.DllNotFoundException: PvAPI.dll", "bonsai-library-missing"),
        ("Lab.Wheel`1+SensorError: lost", "bonsai-exception"),
    ],
)
def test_likely_causes(diagnosed, line, code) -> None:
    (finding,) = diagnosed(0, f"{line}\n  at Some.Method ()\n")
    assert (finding.level, finding.code) == ("error", code)
    assert finding.fix
    assert line.rstrip(".") in finding.message


def test_inner_exceptions_on_their_own_lines_count(diagnosed) -> None:
    (finding,) = diagnosed(
        0,
        "System.Exception: Node failed.\n"
        " ---> System.IO.IOException: The file 'a.csv' already exists.\n   at X\n",
    )
    assert finding.code == "bonsai-output-exists"
    assert "a.csv" in finding.message


@pytest.mark.parametrize("code", [255, -1, 4294967295])
def test_packages_that_cannot_be_restored(diagnosed, code) -> None:
    (finding,) = diagnosed(
        code,
        "The package 'Bonsai.Vision 2.8.0' could not be found.\n",
        "Restoring dependency 'Bonsai.Vision 2.8.0'.\n",
    )
    assert finding.code == "bonsai-restore-failed"
    assert "Bonsai.Vision 2.8.0" in finding.message


def test_a_crash_that_says_nothing(diagnosed) -> None:
    assert [f.code for f in diagnosed(3762504530)] == ["bonsai-crash"]


def test_script_errors_are_a_warning(diagnosed) -> None:
    (finding,) = diagnosed(
        0, "--- Error building script extensions ---\nWheel.cs(3,1): error CS1002: ; expected\n"
    )
    assert (finding.level, finding.code) == ("warning", "bonsai-script-extensions")
    assert "CS1002" in finding.message


def test_script_errors_do_not_hide_the_exception_they_caused(diagnosed) -> None:
    findings = diagnosed(
        1,
        "--- Error building script extensions ---\nWheel.cs(3,1): error CS1002: ; expected\n"
        "Unhandled Exception: Bonsai.WorkflowBuildException: This is a proxy for the unknown type "
        "'Wheel'. Please install any missing packages\n",
    )
    assert [f.code for f in findings] == ["bonsai-package-missing", "bonsai-script-extensions"]


def test_other_error_output_is_one_warning(diagnosed) -> None:
    lines = "\n".join(f"ALSA lib: line {n}" for n in range(9))
    (finding,) = diagnosed(0, f"{lines}\nError: not an exception of .NET\n")
    assert (finding.level, finding.code) == ("warning", "bonsai-error-output")
    assert "ALSA lib: line 0" in finding.message
    assert "5 more lines" in finding.message


def test_secrets_and_control_characters_are_not_shown(diagnosed) -> None:
    (finding,) = diagnosed(0, b"\x1b[31mfetch https://me:hunter2@host/x \x00\xff\n")
    assert "hunter2" not in finding.message
    assert finding.message.isprintable()


def test_a_flood_is_read_at_its_edges(diagnosed) -> None:
    said = b"System.TimeoutException: The operation has timed out.\n"
    noise = b"noise\n" * 1_000_000
    assert diagnosed(0, noise + said)[0].code == "bonsai-exception"
    assert diagnosed(0, said + noise)[0].code == "bonsai-exception"
    assert diagnosed(0, noise + said + noise)[0].level == "warning", "the middle is not read"


@pytest.mark.parametrize("piece", [b"a", b"Exception.", b"Exception:", b"--->", b"\0", b"'"])
def test_a_line_without_end_costs_no_time(diagnosed, piece) -> None:
    start = time.monotonic()
    diagnosed(0, piece * (3 * 1024 * 1024 // len(piece)))
    assert time.monotonic() - start < 2


def test_what_the_player_really_says(play, repository, tmp_path) -> None:
    workflow = repository / "src" / "oddball.bonsai"
    for settings, arguments, code in (
        ({"EXCEPTION": "System.DivideByZeroException: by zero"}, [], "bonsai-exception"),
        ({"RESTORE_FAILS": "Bonsai.Vision 2.8.0"}, [], "bonsai-restore-failed"),
        ({"MISSING_ASSEMBLIES": "BonVision"}, [], "bonsai-workflow-not-built"),
        ({}, ["-p:Nope=1"], "bonsai-property-unknown"),
        ({"VERSION": "2.8.2"}, ["-p:Nope=1"], "bonsai-property-unknown"),
        ({}, ["-p:TrialCount=x"], "bonsai-value-not-converted"),
        ({"VERSION": "2.8.2"}, ["-p:TrialCount=x"], "bonsai-value-not-converted"),
        ({}, ["-p:StimulusTable="], "bonsai-output-unnamed"),
        ({}, ["nowhere.bonsai"], "bonsai-workflow-missing"),
    ):
        result = play(workflow, *arguments, OUTPUT_ROOT=str(tmp_path / code), **settings)
        (tmp_path / "err").write_text(result.stderr)
        (tmp_path / "out").write_text(result.stdout)
        ended = Ended(result.returncode, None, tmp_path / "out", tmp_path / "err")
        assert [finding.code for finding in diagnose(ended)] == [code]
