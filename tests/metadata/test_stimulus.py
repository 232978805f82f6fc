"""Stimulus tables as labs write them, read into epochs."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from openscope_experimental_launcher.metadata.aind.stimulus import Epoch, find_table, read_epochs

START = datetime.fromisoformat("2026-03-14T10:30:00-07:00")
END = START + timedelta(seconds=100)


def epochs(tmp_path: Path, text: str | bytes) -> list[Epoch]:
    file = tmp_path / "stimulus_table.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_epochs(file, START, END, "oddball")


def seconds(moment: datetime) -> float:
    return round((moment - START).total_seconds(), 3)


@pytest.mark.parametrize(
    "table",
    [
        "start_time,stop_time,stim_name\n1,2,a\n2,3,a\n4,5,b\n",
        "\ufeffStart;End;Stimulus\n1;2;a\n2;3;a\n4;5;b\n",
        "onset\tduration\tname\n1\t1\ta\n2\t1\ta\n4\t1\tb\n",
        "Start Time,Stop Time,Stim Name\r\n1,2,a\r\n2,3,a\r\n4,5,b\r\n",
        "start,stop,stim_name\n"
        "2026-03-14T10:30:01,2026-03-14T10:30:02,a\n"
        "2026-03-14T17:30:02+00:00,2026-03-14T17:30:03Z,a\n"
        "2026-03-14T10:30:04-07:00,2026-03-14T10:30:05,b\n",
        "start,stop,stim_name\n{0}.0,{1}.0,a\n{1}.0,{2}.0,a\n{3}.0,{4}.0,b\n".format(
            *(int(START.timestamp()) + n for n in (1, 2, 3, 4, 5))
        ),
    ],
    ids=["commas", "semicolons", "tabulators", "blanks", "times", "unix"],
)
def test_columns_and_times_of_several_kinds(tmp_path: Path, table: str) -> None:
    first, second = epochs(tmp_path, table)
    assert (first.name, seconds(first.start), seconds(first.stop), first.rows) == ("a", 1, 3, 2)
    assert (second.name, seconds(second.start), seconds(second.stop)) == ("b", 4, 5)


def test_rows_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    (only,) = epochs(tmp_path, "start,stop,name\n,,a\nnan,2,a\n3,,a\n4,5,a\n6,7\n\n8,9,a,b\n")
    assert (seconds(only.start), seconds(only.stop), only.rows) == (3, 5, 2)


def test_without_names_the_session_gives_one(tmp_path: Path) -> None:
    (only,) = epochs(tmp_path, "start\n1\n2\n")
    assert only.name == "oddball"


def test_values_of_the_other_columns(tmp_path: Path) -> None:
    rows = "".join(f"{n},x,{n % 3},{n / 7},{'' if n % 2 else 'b'}\n" for n in range(90))
    (only,) = epochs(tmp_path, "start,Name,Orientation,phase,kind\n" + rows)
    assert only.values["Orientation"] == [0, 1, 2]
    assert only.values["phase"] == {"min": 0, "max": 89 / 7}
    assert only.values["kind"] == ["b", ""]


def test_stimuli_that_alternate_are_one_epoch_a_block(tmp_path: Path) -> None:
    rows = "".join(f"{n / 4},{'ab'[n % 2]},{n // 60}\n" for n in range(120))
    first, second = epochs(tmp_path, "start,name,block\n" + rows)
    assert (first.name, first.rows, second.rows) == ("a, b", 60, 60)
    whole = epochs(tmp_path, ("start,name\n" + rows).replace(",0\n", "\n").replace(",1\n", "\n"))
    assert [epoch.name for epoch in whole] == ["a, b"]


def test_many_names_are_counted(tmp_path: Path) -> None:
    (only,) = epochs(tmp_path, "start,name\n" + "".join(f"{n / 4},image {n}\n" for n in range(90)))
    assert only.name == "90 stimuli"


def test_an_epoch_ends_with_the_acquisition_at_the_latest(tmp_path: Path) -> None:
    (only,) = epochs(tmp_path, "start,stop,name\n-0.5,1,a\n99,101.5,a\n")
    assert (only.start, only.stop) == (START, END)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("trial,kind\n1,a\n", "no column with start times"),
        ("", "no column with start times"),
        ("start,stop\n", "no row with a start time"),
        ("start,stop\n5000,5001\n", "not within the acquisition"),
        ("start,stop\n1e300,2\n", "no row with a start time"),
        (b"\xff\xfe\x00\x00", "no column with start times"),
    ],
)
def test_a_table_that_cannot_be_understood_says_why(
    tmp_path: Path, table: str | bytes, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        epochs(tmp_path, table)


def test_a_table_is_found_by_its_name(tmp_path: Path) -> None:
    for name in ("attempt_1/stimulus_table.csv", "logs/stim_table.csv", "wheel.csv", "stim.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert find_table(tmp_path, None) is None
    (tmp_path / "stim").mkdir()
    (tmp_path / "stim" / "614173_Stim_Table.csv").write_text("")
    assert find_table(tmp_path, None) == tmp_path / "stim" / "614173_Stim_Table.csv"
    (tmp_path / "stimulus_table.csv").write_text("")
    assert find_table(tmp_path, None) == tmp_path / "stimulus_table.csv"
    assert find_table(tmp_path, "wheel.csv") == tmp_path / "wheel.csv"
    assert find_table(tmp_path, "gone.csv") is None
    (tmp_path.parent / "outside.csv").write_text("")
    assert find_table(tmp_path, "../outside.csv") is None
