"""What orchestration costs: jobs of Dagster beside the same functions called in one plain process.

Both work on copies of a pipeline that has finished (`make demo`), once with nothing to do and once
with ten tracks added, and both are started as a user would, imports included. What each step of the
job waits for before it begins is read from the run's log; what importing takes is measured alone.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import at_most, print_report
from ml.environment import Environment

ADDED = 10
ON_TOP_GOAL_SECONDS = 30
NOTHING, TRACKS = "nothing to do", "tracks added"
JOBS = {NOTHING: "refresh", TRACKS: "extend"}
COLUMNS = ("dagster, s", "in steps, s", "starting steps, s", "steps", "plain, s", "on top, s")
IMPORTS = ("orchestration.definitions", "orchestration.preload")
# Models and artifacts are found where they were, since their addresses are absolute.
LEFT_BEHIND = shutil.ignore_patterns("logs", "artifacts", "samples")


def main() -> None:
    """Time each way in each case; print a row for each, and for each import."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("var"), help="DATA_DIR of `make demo`")
    parser.add_argument("--catalog", default="", help="its manifest, if not the sample catalogue")
    parser.add_argument("--training", default="{}", help="its config of candidate_model, JSON")
    parser.add_argument("--added", type=int, default=ADDED, help="how many tracks are added")
    arguments = parser.parse_args()
    if not (arguments.data / "records" / "production_model.json").exists():
        raise SystemExit(f"Nothing is in production in {arguments.data}: run `make demo` first.")
    pipeline = Pipeline(
        arguments.data.resolve(), arguments.catalog, arguments.training, arguments.added
    )
    rows = [compare(case, pipeline) for case in JOBS]
    goals = [
        at_most(f"seconds on top, {row['case']}", ON_TOP_GOAL_SECONDS, row["on top, s"])
        for row in rows
    ]
    for module in IMPORTS:
        seconds = run([sys.executable, "-c", f"import {module}"], {})
        rows.append({"case": f"import {module}", **dict.fromkeys(COLUMNS, ""), COLUMNS[0]: seconds})
    print_report("orchestration", rows, goals)


@dataclass(frozen=True)
class Pipeline:
    """One that has finished: its state, its manifest if not the sample's, its training."""

    data: Path
    catalog: str
    training: str
    added: int

    def copy(self, case: str, folder: Path) -> dict[str, str]:
        """Copy its state and, if it is to grow, its catalogue; the environment of the copy."""
        copy = folder / "data"
        shutil.copytree(self.data, copy, ignore=LEFT_BEHIND)
        manifest = Path(Environment(data_dir=self.data, catalog=self.catalog).manifest)
        if case == TRACKS:
            manifest = add_tracks(manifest, folder / "catalogue", self.added)
        home = copy / "dagster"
        return {"DATA_DIR": str(copy), "CATALOG": str(manifest), "DAGSTER_HOME": str(home)}


def compare(case: str, pipeline: Pipeline) -> dict[str, Any]:
    """Time a case by Dagster and plainly, each on a copy of its own."""
    job = JOBS[case]
    with tempfile.TemporaryDirectory() as folder:
        variables = pipeline.copy(case, Path(folder))
        config = Path(folder) / "config.json"
        ops = {"candidate_model": {"config": json.loads(pipeline.training)}}
        config.write_text(json.dumps({"ops": ops if job == "refresh" else {}}))
        dagster = [str(Path(sys.executable).with_name("dagster")), "job", "execute"]
        by_dagster = run(
            [*dagster, "-m", "orchestration.definitions", "-j", job, "-c", str(config)], variables
        )
        steps = read_steps(Path(variables["DAGSTER_HOME"]))
    with tempfile.TemporaryDirectory() as folder:
        variables = pipeline.copy(case, Path(folder))
        plain = [sys.executable, "-m", "benchmarks.plain_pipeline", job]
        plainly = run([*plain, "--training", pipeline.training], variables)
    figures = (by_dagster, *steps, plainly, by_dagster - plainly)
    return {"case": case, **dict(zip(COLUMNS, figures, strict=True))}


def add_tracks(manifest: Path, root: Path, added: int) -> Path:
    """Write the manifest again with copies of its first tracks under other ids."""
    with manifest.open(newline="") as file:
        rows: list[dict[str, str]] = list(csv.DictReader(file))
    shutil.copytree(manifest.parent, root)  # with the files' times, by which they are known
    usable = [row for row in rows if (root / row["path"]).is_file()][:added]
    more = [row | {"track_id": f"added_{number}"} for number, row in enumerate(usable)]
    with (root / manifest.name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*rows, *more])
    return root / manifest.name


def run(command: Sequence[str], variables: dict[str, str]) -> float:
    """Time a command in seconds; what it prints is shown if it fails."""
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603 (our own commands)
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{json.dumps(list(command[:4]))} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started


def read_steps(home: Path) -> tuple[float, float, int]:
    """Read from an instance's last run the seconds within steps and until they began, and how many.

    A step begins when its process, which the run's has asked for, computes.
    """
    from dagster import DagsterEventType, DagsterInstance

    begin, end = DagsterEventType.STEP_START, DagsterEventType.STEP_SUCCESS
    times: dict[DagsterEventType, dict[str | None, float]] = {
        kind: {} for kind in (DagsterEventType.STEP_WORKER_STARTING, begin, end)
    }
    with DagsterInstance.from_config(str(home)) as instance:
        (last,) = instance.get_runs(limit=1)
        for entry in instance.all_logs(last.run_id):
            kind = entry.dagster_event.event_type if entry.dagster_event else None
            if kind in times:
                times[kind][entry.step_key] = entry.timestamp
    asked = times[DagsterEventType.STEP_WORKER_STARTING]
    within = sum(times[end][step] - begun for step, begun in times[begin].items())
    until = sum(begun - asked[step] for step, begun in times[begin].items())
    return within, until, len(asked)


if __name__ == "__main__":
    main()
