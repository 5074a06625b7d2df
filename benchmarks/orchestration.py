"""What orchestration costs: the jobs of Dagster beside the same functions in one plain process.

A pipeline is made on a sample catalogue in a temporary folder. Then, by turns, Dagster and the
plain process do the whole graph with nothing to do; ten tracks are added before each of them takes
them up by the model that serves (`extend`), and ten more before each trains a new one (`refresh`).
Training is kept short, since it is the same for both. With `--mixed` the catalogue is of short
tracks that are made quickly, for sizes at which nobody would wait for songs:

    python -m benchmarks.orchestration --tracks 40000 --mixed --cases nothing \
        --config '{"clips": {"clips_per_track": 2}}'

Both are started as a user would, imports
included. How long a step waits until its process computes is read from the log of the run; what
importing takes is measured by `-X importtime`, which makes it slower than it is.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster import DagsterEventType, DagsterInstance

from benchmarks.music import write_mixes
from benchmarks.report import Goal, at_most, print_report
from ml.environment import Environment
from ml.samples import SampleSettings, write_samples
from orchestration.launch import prepare_instance
from search.database import open_database

NOTHING, EXTENDED, REFRESHED = "nothing to do", "tracks added", "tracks added, new model"
CASES = {"nothing": NOTHING, "extend": EXTENDED, "refresh": REFRESHED}
JOBS = {NOTHING: "refresh", EXTENDED: "extend", REFRESHED: "refresh"}
ADDED = 10
ON_TOP_GOAL_SECONDS, NOTHING_GOAL_SECONDS = 30, 60
GATE = "evaluation_map_gate"
START, TOTAL = "(start and finish)", "total"
IMPORTED = ("orchestration.definitions", "orchestration.preload")
PACKAGES = 12  # the slowest are shown
TIMED = "import time:"
SHORT_TRAINING = {"epochs": 2, "steps_per_epoch": 10}
REASON = "made for a benchmark"


@dataclass(frozen=True)
class Taken:
    """Seconds that a job took in all and in each step, and that steps waited for their process."""

    wall: float
    steps: dict[str, float]
    starting: dict[str, float] = field(default_factory=dict)
    refused: bool = False


def main() -> None:
    """Time each way in each case; print a row for each step, and for each package imported."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        workshop = Workshop(Path(folder).resolve(), arguments.config, arguments.added)
        os.environ |= workshop.variables
        count = arguments.tracks + 4 * arguments.added
        if arguments.mixed:
            write_mixes(workshop.manifest.parent, count)
        else:
            write_songs(workshop.manifest.parent, count, arguments.seconds)
        workshop.write_manifest(arguments.tracks)
        prepare_instance(Environment())
        with open_database(None, workshop.root):
            workshop.publish()
            rows, goals = live(workshop, arguments.tracks, arguments.cases)
    for module in IMPORTED:
        rows += time_imports(module)
    print_report("orchestration", rows, goals)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    samples = SampleSettings()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__)
    parser.add_argument("--tracks", type=int, default=samples.n_tracks)
    parser.add_argument("--seconds", type=float, help="of each track; 20 to 40 as in the demo")
    parser.add_argument("--added", type=int, default=ADDED, help="tracks, each time")
    parser.add_argument("--mixed", action="store_true", help="short tracks, quickly made")
    parser.add_argument(
        "--cases",
        type=lambda names: [CASES[name] for name in names.split(",")],
        default=list(JOBS),
        help="of nothing, extend, refresh; comma between",
    )
    parser.add_argument("--config", type=json.loads, default={}, help="of assets, JSON")
    parser.add_argument("--folder", help="where the disk has room; the default is for temporaries")
    return parser.parse_args()


@dataclass(frozen=True)
class Workshop:
    """A folder with a catalogue that grows and all state of its pipeline."""

    folder: Path
    config: dict[str, dict[str, Any]]
    added: int

    @property
    def root(self) -> Path:
        """All state."""
        return self.folder / "data"

    @property
    def manifest(self) -> Path:
        """What of the music is in the catalogue so far."""
        return self.folder / "catalogue" / "grown.csv"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its processes."""
        own = {"DATA_DIR": self.root, "CATALOG": self.manifest, "DAGSTER_HOME": ""}
        settings = self.folder / "settings.json"
        config = {"candidate_model": SHORT_TRAINING, **self.config}
        ops = {asset: {"config": own} for asset, own in config.items()}
        settings.write_text(json.dumps({"ops": ops}))
        others = {"DATABASE_URL": "", "MLFLOW_TRACKING_URI": "", "REFRESH_CONFIG": settings}
        return {name: str(value) for name, value in {**own, **others}.items()}

    def write_manifest(self, tracks: int) -> None:
        """Let the catalogue have so many."""
        with (self.manifest.parent / "tracks.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        with self.manifest.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows[:tracks]])

    def publish(self) -> None:
        """Have a model in production, whatever the gate says of one so shortly trained."""
        if self.time_dagster("refresh").refused:
            forced = {"ops": {"production_model": {"config": {"force_reason": REASON}}}}
            told = self.folder / "forced.json"
            told.write_text(json.dumps(forced))
            self.time_dagster("promote", "-c", str(told))

    def time_dagster(self, job: str, *options: str) -> Taken:
        """Time a job of Dagster in a process of its own, from its start to its end."""
        program = str(Path(sys.executable).with_name("dagster"))
        command = [program, "job", "execute", "-m", "orchestration.definitions", "-j", job]
        started = time.perf_counter()
        done = run([*command, *options])
        wall = time.perf_counter() - started
        steps, starting, failed = read_steps(self.root / "dagster")
        if failed - {GATE} or (done.returncode and not failed):
            raise SystemExit(f"{job} failed:\n{done.stdout}{done.stderr}")
        return Taken(wall, steps, starting, bool(failed))

    def time_plainly(self, job: str) -> Taken:
        """Time what a job does, without Dagster."""
        command = [sys.executable, "-m", "benchmarks.plain_pipeline", job]
        started = time.perf_counter()
        done = run(command)
        wall = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{job} failed without Dagster:\n{done.stdout}{done.stderr}")
        steps = json.loads(done.stdout.splitlines()[-1])
        return Taken(wall, steps, refused=job == "refresh" and "production_model" not in steps)


def write_songs(folder: Path, count: int, seconds: float | None) -> None:
    """Make the tracks, and those that are to be added: each way adds some in two cases."""
    demo = SampleSettings()
    shortest, longest = seconds or demo.min_seconds, seconds or demo.max_seconds
    write_samples(folder, SampleSettings(count, demo.seed, shortest, longest, bad_rows=False))


def run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command of ours to its end."""
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603


def read_steps(home: Path) -> tuple[dict[str, float], dict[str, float], set[str]]:
    """Read an instance's last run: seconds within each step and until it began, and what failed.

    A step begins when its process, which the run's has asked for, computes.
    """
    asked: dict[str, float] = {}
    begun: dict[str, float] = {}
    ended: dict[str, float] = {}
    failed: set[str] = set()
    with DagsterInstance.from_config(str(home)) as instance:
        (last,) = instance.get_runs(limit=1)
        for entry in instance.all_logs(last.run_id):
            kind = entry.dagster_event.event_type if entry.dagster_event else None
            step, when = str(entry.step_key), entry.timestamp
            if kind == DagsterEventType.STEP_WORKER_STARTING:
                asked[step] = when
            elif kind == DagsterEventType.STEP_START:
                begun[step] = when
            elif kind in (DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_FAILURE):
                ended[step] = when
            if kind == DagsterEventType.STEP_FAILURE:
                failed.add(step)
    within = {step: ended[step] - begun[step] for step in begun}
    return within, {step: begun[step] - asked[step] for step in begun}, failed


def live(
    workshop: Workshop, tracks: int, cases: Sequence[str]
) -> tuple[list[dict[str, Any]], list[Goal]]:
    """Go through the cases by turns; their rows and what is aimed at."""
    rows: list[dict[str, Any]] = []
    goals: list[Goal] = []
    for case in cases:
        taken: list[Taken] = []
        for way in (workshop.time_dagster, workshop.time_plainly):
            if case != NOTHING:
                tracks += workshop.added
                workshop.write_manifest(tracks)
            taken.append(way(JOBS[case]))
        by_dagster, plainly = taken
        rows += tabulate(case, by_dagster, plainly)
        if case == NOTHING:
            goals.append(at_most(f"seconds, {case}", NOTHING_GOAL_SECONDS, by_dagster.wall))
        if by_dagster.refused == plainly.refused:  # else the one went further than the other
            on_top = by_dagster.wall - plainly.wall
            goals.append(at_most(f"seconds on top, {case}", ON_TOP_GOAL_SECONDS, on_top))
    return rows, goals


def tabulate(case: str, by_dagster: Taken, plainly: Taken) -> list[dict[str, Any]]:
    """Make a row of each step of the job, in their order, of what lies around them, and of all."""

    def make_row(step: str, *figures: float | str) -> dict[str, Any]:
        columns = ("starting, s", "dagster, s", "plain, s")
        return {"case": case, "step": step, **dict(zip(columns, figures, strict=True))}

    rows = [
        make_row(step, by_dagster.starting[step], seconds, plainly.steps.get(step, ""))
        for step, seconds in by_dagster.steps.items()
    ]
    waited = sum(by_dagster.starting.values())
    around = by_dagster.wall - waited - sum(by_dagster.steps.values())
    rows.append(make_row(START, "", around, plainly.wall - sum(plainly.steps.values())))
    ends = [", refused" * taken.refused for taken in (by_dagster, plainly)]
    total = TOTAL + (ends[0] if ends[0] == ends[1] else ", one refused")
    return [*rows, make_row(total, waited, by_dagster.wall, plainly.wall)]


def time_imports(module: str) -> list[dict[str, Any]]:
    """Make a row of each of the packages that importing a module spends most seconds in."""
    done = run([sys.executable, "-X", "importtime", "-c", f"import {module}"])
    seconds: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        own, _, name = line.removeprefix(TIMED).split("|") if line.startswith(TIMED) else [""] * 3
        if own.strip().isdigit():  # not the header
            seconds[name.strip().partition(".")[0]] += int(own)  # microseconds
    figures = {**dict(seconds.most_common(PACKAGES)), TOTAL: seconds.total()}
    return [
        {"case": f"import {module}", "step": package, "starting, s": taken / 1e6}
        | {"dagster, s": "", "plain, s": ""}
        for package, taken in figures.items()
    ]


if __name__ == "__main__":
    main()
