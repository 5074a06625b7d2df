"""What orchestration costs: jobs of Dagster beside the same functions called in one plain process.

Both work on copies of a pipeline that has finished (`make demo`), once with nothing to do and once
with ten tracks added, and both are started as a user would, imports included. What a step has to
import before it can begin is measured by itself.
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
NOTHING, TRACKS = "nothing to do", f"{ADDED} tracks added"
JOBS = {NOTHING: "refresh", TRACKS: "extend"}
IMPORTS = ("orchestration.definitions", "orchestration.preload")

# What `refresh` and `extend` call, without an orchestrator.
PLAIN = """
import json
import sys
from ml.candidacy import evaluate_candidates
from ml.catalog import read_catalog
from ml.clips import extract_clips
from ml.collection import Collection
from ml.development import develop_baseline, develop_convnet
from ml.environment import Environment
from ml.promotion import judge_candidate, promote_candidate
from ml.registry import Registry
from ml.splits import split_tracks
from ml.workspace import Workspace
from orchestration.assets.modelling import ConvNetConfig, configure_training
from search.database import open_database
from search.publication import activate_production, index_production, publish_windows
from search.takedown import denied_tracks

environment = Environment()
workspace = Workspace(environment.root)
registry = Registry(environment.tracking_uri, environment.root / "mlflow")
with open_database(environment.database_url, environment.root) as database:
    database.migrate()
    tracks = split_tracks(read_catalog(environment.manifest, denied_tracks(database)).tracks)
    workspace.save_table("tracks", tracks)
    extract_clips(tracks, workspace.store, range(100))
    if sys.argv[1] == "refresh":
        collection = Collection.load(workspace.store, tracks)
        develop_baseline(collection, workspace, registry)
        settings = configure_training(ConvNetConfig(**json.loads(sys.argv[2])))
        develop_convnet(collection, settings, workspace, registry)
        evaluate_candidates(workspace, registry)
        judge_candidate(workspace, registry)
        promote_candidate(workspace, registry)
    publish_windows(database, registry, workspace, range(100))
    index_production(database, workspace)
    activate_production(database, workspace)
"""


def main() -> None:
    """Time each way in each case; print a row for each, and for each import."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("var"), help="DATA_DIR of `make demo`")
    parser.add_argument("--catalog", default="", help="its manifest, if not the sample catalogue")
    parser.add_argument("--training", default="{}", help="its config of convnet_model, JSON")
    arguments = parser.parse_args()
    if not (arguments.data / "records" / "production_model.json").exists():
        raise SystemExit(f"Nothing is in production in {arguments.data}: run `make demo` first.")
    pipeline = Pipeline(arguments.data.resolve(), arguments.catalog, arguments.training)
    rows = [compare(case, pipeline) for case in JOBS]
    on_top = rows[0]["dagster, s"] - rows[0]["plain, s"]
    goals = [at_most(f"seconds on top, {NOTHING}", ON_TOP_GOAL_SECONDS, on_top)]
    for module in IMPORTS:
        seconds = run([sys.executable, "-c", f"import {module}"], {})
        rows.append({"case": f"import {module}", "dagster, s": seconds} | dict.fromkeys(BLANK, ""))
    print_report("orchestration", rows, goals)


BLANK = ("of which in steps, s", "plain, s", "on top, s")


@dataclass(frozen=True)
class Pipeline:
    """One that has finished: its state, its manifest if not the sample's, its training."""

    data: Path
    catalog: str
    training: str

    def copy(self, case: str, folder: Path) -> dict[str, str]:
        """Copy its state, and name the manifest; the environment of what works on the copy."""
        copy = folder / "data"
        # Models and artifacts are found where they were: their addresses are absolute.
        ignored = shutil.ignore_patterns("logs", "artifacts")
        shutil.copytree(self.data, copy, ignore=ignored)
        manifest = Path(Environment(data_dir=self.data, catalog=self.catalog).manifest)
        if case == TRACKS:
            manifest = add_tracks(manifest, folder / "catalogue")
        home = copy / "dagster"
        return {"DATA_DIR": str(copy), "CATALOG": str(manifest), "DAGSTER_HOME": str(home)}


def compare(case: str, pipeline: Pipeline) -> dict[str, Any]:
    """Time a case by Dagster and plainly, each on a copy of its own."""
    job = JOBS[case]
    dagster = [str(Path(sys.executable).with_name("dagster")), "job", "execute"]
    dagster += ["-m", "orchestration.definitions", "-j", job]
    with tempfile.TemporaryDirectory() as folder:
        variables = pipeline.copy(case, Path(folder))
        config = Path(folder) / "config.json"
        ops = {"convnet_model": {"config": json.loads(pipeline.training)}}
        config.write_text(json.dumps({"ops": ops if job == "refresh" else {}}))
        by_dagster = run([*dagster, "-c", str(config)], variables)
        in_steps = sum_steps(Path(variables["DAGSTER_HOME"]))
    with tempfile.TemporaryDirectory() as folder:
        variables = pipeline.copy(case, Path(folder))
        plainly = run([sys.executable, "-c", PLAIN, job, pipeline.training], variables)
    figures = (by_dagster, in_steps, plainly, by_dagster - plainly)
    names = ("dagster, s", *BLANK)
    return {"case": case, **dict(zip(names, figures, strict=True))}


def add_tracks(manifest: Path, root: Path) -> Path:
    """Write the manifest again with copies of its first tracks under other ids."""
    with manifest.open(newline="") as file:
        rows: list[dict[str, str]] = list(csv.DictReader(file))
    shutil.copytree(manifest.parent, root)  # with the files' times, by which they are known
    usable = [row for row in rows if (root / row["path"]).is_file()][:ADDED]
    added = [row | {"track_id": f"added_{n}"} for n, row in enumerate(usable)]
    with (root / manifest.name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*rows, *added])
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


def sum_steps(home: Path) -> float:
    """Sum the seconds that the last run of an instance spent within its steps."""
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        (last,) = instance.get_runs(limit=1)
        steps = instance.get_run_step_stats(last.run_id)
    return sum((s.end_time or 0.0) - (s.start_time or 0.0) for s in steps)


if __name__ == "__main__":
    main()
