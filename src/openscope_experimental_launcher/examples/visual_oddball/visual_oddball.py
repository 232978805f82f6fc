"""A visual oddball task: a standard grating again and again, and now and then a deviant one.

It stands in for a real stimulus program. It draws nothing; it steps through the trials in real
time and writes what such a program writes: a table of the stimuli that were shown and the running
wheel. Python's standard library is all it needs.

    python visual_oddball.py --number_of_trials 20 --deviant_probability 0.15 --seed 7
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

STANDARD_ORIENTATION = 45.0
DEVIANT_ORIENTATIONS = (0.0, 90.0, 135.0)
CONTRAST = 0.8
SPATIAL_FREQUENCY = 0.04  # cycles per degree
TEMPORAL_FREQUENCY = 2.0  # cycles per second
GRATING_PART = 0.75  # of a trial; the rest is a grey screen
TRIALS_PER_BLOCK = 10

WHEEL_RATE_HZ = 60.0
WHEEL_RADIUS_CM = 5.5


@dataclass(frozen=True)
class Trial:
    """What one trial shows."""

    index: int
    block: int
    kind: str
    orientation: float


@dataclass(frozen=True)
class StimulusRow:
    """One row of the stimulus table. Times are seconds since the start of the stimulus."""

    start_time: float
    stop_time: float
    stim_name: str
    stim_type: str
    stim_block: int
    stim_index: int
    trial_type: str
    Orientation: float
    Contrast: float
    Spatial_Freq: float
    Temporal_Freq: float


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The parameters of the task, as the launcher passes `script_parameters` on."""
    parser = argparse.ArgumentParser(description="A simulated visual oddball task.")
    parser.add_argument("--number_of_trials", type=int, default=20)
    parser.add_argument("--trial_duration_s", type=float, default=0.4)
    parser.add_argument("--deviant_probability", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=7, help="the same seed, the same trials")
    chosen = parser.parse_args(arguments)
    if chosen.number_of_trials < 1:
        parser.error("--number_of_trials must be at least 1")
    if not 0 < chosen.trial_duration_s < math.inf:
        parser.error("--trial_duration_s must be a time above 0")
    if not 0 <= chosen.deviant_probability <= 1:
        parser.error("--deviant_probability must be between 0 and 1")
    return chosen


def make_trials(number: int, deviant_probability: float, seed: int) -> list[Trial]:
    """The sequence of trials. It begins with a standard, and no two deviants follow each other."""
    chance = random.Random(seed)
    trials: list[Trial] = []
    for index in range(number):
        may_deviate = bool(trials) and trials[-1].kind == "standard"
        deviates = chance.random() < deviant_probability and may_deviate
        orientation = chance.choice(DEVIANT_ORIENTATIONS) if deviates else STANDARD_ORIENTATION
        kind = "deviant" if deviates else "standard"
        trials.append(Trial(index, index // TRIALS_PER_BLOCK, kind, orientation))
    return trials


def wheel_speeds(seed: int) -> Iterator[float]:
    """A mouse that runs and rests: its speed in cm/s, 60 times a second, without end."""
    chance = random.Random(f"wheel {seed}")
    speed = goal = 0.0
    while True:
        if chance.random() < 0.5 / WHEEL_RATE_HZ:  # a change of mind every two seconds or so
            goal = chance.choice((0.0, 0.0, 15.0, 30.0))
        speed += (goal - speed) * 0.05 + chance.gauss(0.0, 0.2)
        speed = max(speed, 0.0)
        yield speed


class RunningWheel:
    """Writes what a running wheel's encoder would have measured up to now."""

    columns = ("time", "angle_deg", "speed_cm_s")

    def __init__(self, path: Path, seed: int) -> None:
        self._file = path.open("x", newline="", encoding="utf-8")
        self._table = csv.writer(self._file)
        self._table.writerow(self.columns)
        self._speeds = wheel_speeds(seed)
        self._samples = 0
        self._angle = 0.0

    def sample_until(self, seconds: float) -> None:
        """Write the samples up to a time and hand them to the system."""
        while self._samples / WHEEL_RATE_HZ <= seconds:
            speed = next(self._speeds)
            degrees = math.degrees(speed / WHEEL_RATE_HZ / WHEEL_RADIUS_CM)
            self._angle = (self._angle + degrees) % 360.0
            now = self._samples / WHEEL_RATE_HZ
            self._table.writerow((f"{now:.4f}", f"{self._angle:.3f}", f"{speed:.3f}"))
            self._samples += 1
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class StimulusTable:
    """Writes one row for each stimulus that was shown."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", newline="", encoding="utf-8")
        self._table = csv.DictWriter(self._file, [field.name for field in fields(StimulusRow)])
        self._table.writeheader()
        self._file.flush()

    def add(self, trial: Trial, start: float, stop: float) -> None:
        """Write a row and hand it to the system, so that it outlives this program."""
        row = StimulusRow(
            start_time=round(start, 6),
            stop_time=round(stop, 6),
            stim_name="visual_oddball",
            stim_type="DriftingGrating",
            stim_block=trial.block,
            stim_index=trial.index,
            trial_type=trial.kind,
            Orientation=trial.orientation,
            Contrast=CONTRAST,
            Spatial_Freq=SPATIAL_FREQUENCY,
            Temporal_Freq=TEMPORAL_FREQUENCY,
        )
        self._table.writerow(asdict(row))
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def show(
    trials: list[Trial],
    trial_duration_s: float,
    table: StimulusTable,
    wheel: RunningWheel,
    stop: threading.Event,
) -> int:
    """Step through the trials in real time; a trial that has begun is always finished.

    Returns:
        How many trials were shown and saved.
    """
    began = time.perf_counter()

    def sleep_until(seconds: float) -> None:
        while (left := seconds - (time.perf_counter() - began)) > 0:
            time.sleep(min(left, 0.1))
            wheel.sample_until(time.perf_counter() - began)

    for trial in trials:
        # Every trial has its place in time, so that small delays do not add up.
        sleep_until(trial.index * trial_duration_s)
        if stop.is_set():
            return trial.index
        start = time.perf_counter() - began
        print(
            f"trial {trial.index + 1:>3} of {len(trials)}: "
            f"{trial.kind}, {trial.orientation:.0f} degrees",
            flush=True,
        )
        sleep_until((trial.index + GRATING_PART) * trial_duration_s)
        table.add(trial, start, time.perf_counter() - began)
    sleep_until(len(trials) * trial_duration_s)
    return len(trials)


def stop_when_asked() -> threading.Event:
    """An event that is set when the launcher asks this program to end."""
    stop = threading.Event()
    asked = signal.SIGBREAK if sys.platform == "win32" else signal.SIGTERM
    for number in (asked, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def main() -> int:
    """Run the task. Returns 0, also when it was asked to end early: its data are whole."""
    chosen = parse_arguments()
    stop = stop_when_asked()
    folder = Path(os.environ.get("OPENSCOPE_SESSION_DIRECTORY") or ".")
    trials = make_trials(chosen.number_of_trials, chosen.deviant_probability, chosen.seed)
    deviants = sum(trial.kind == "deviant" for trial in trials)
    print(f"visual oddball: {len(trials)} trials, {deviants} deviants, seed {chosen.seed}")
    table = StimulusTable(folder / "stimulus_table.csv")
    wheel = RunningWheel(folder / "running_wheel.csv", chosen.seed)
    try:
        saved = show(trials, chosen.trial_duration_s, table, wheel, stop)
    finally:
        table.close()
        wheel.close()
    early = " (asked to end early)" if saved < len(trials) else ""
    print(f"{saved} of {len(trials)} trials saved{early}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
