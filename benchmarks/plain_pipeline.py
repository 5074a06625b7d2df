"""What the jobs `refresh` and `extend` do, as one plain process without an orchestrator.

It draws no pictures and shows no tables. The last line that it prints are the seconds of each step
as JSON, under the names of the assets whose work it does.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ml.candidacy import evaluate_candidates, keep_candidate
from ml.catalog import read_catalog
from ml.clips import extract_clips
from ml.collection import Collection
from ml.development import develop_baseline, develop_convnet
from ml.environment import Environment
from ml.promotion import judge_candidate, promote_candidate
from ml.registry import Registry
from ml.splits import N_BUCKETS, split_tracks
from ml.workspace import Workspace
from orchestration.assets.clip_config import ClipsConfig, configure_clips
from orchestration.assets.modelling import ConvNetConfig, configure_training
from search.database import Database, open_database
from search.publication import activate_production, index_production, publish_windows
from search.takedown import denied_tracks

BUCKETS = range(N_BUCKETS)


def main() -> None:
    """Do the one or the other, on what the environment names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain_pipeline")
    parser.add_argument("job", choices=["refresh", "extend"])
    arguments = parser.parse_args()
    environment = Environment()
    workspace = Workspace(environment.root)
    registry = Registry.open(environment)
    with open_database(environment.database_url, environment.root) as database:
        database.migrate()
        pipeline = Pipeline(environment.manifest, workspace, registry, database)
        print(json.dumps(dict(time_steps(pipeline, arguments.job))))


@dataclass(frozen=True)
class Pipeline:
    """The steps of the graph, named as its assets."""

    manifest: str
    workspace: Workspace
    registry: Registry
    database: Database

    def catalog(self) -> None:
        """Read the manifest."""
        found = read_catalog(self.manifest, denied_tracks(self.database))
        self.workspace.save_table("catalog", found.tracks)
        self.workspace.save_table("rejected", found.rejected)

    def tracks(self) -> None:
        """Split its tracks."""
        self.workspace.save_table("tracks", split_tracks(self.workspace.load_table("catalog")))

    def clips(self) -> None:
        """Decode what is new; `REFRESH_CONFIG` says how."""
        settings = configure_clips(ClipsConfig())
        extract_clips(self.workspace.load_table("tracks"), self.workspace.store, BUCKETS, settings)

    def baseline_model(self) -> None:
        """Fit the baseline, or find it."""
        model = develop_baseline(self._collect(), self.workspace, self.registry)
        self.workspace.save_record("baseline_model", model.to_record())

    def candidate_model(self) -> None:
        """Train the candidate, or find it; `REFRESH_CONFIG` says how."""
        settings = configure_training(ConvNetConfig())
        model = develop_convnet(self._collect(), settings, self.workspace, self.registry)
        keep_candidate(self.workspace, self.registry, model)

    def evaluation(self) -> None:
        """Evaluate it beside the others, or find that."""
        evaluate_candidates(self.workspace, self.registry)

    def production_model(self) -> None:
        """Promote it."""
        promote_candidate(self.workspace, self.registry)

    def embeddings(self) -> None:
        """Embed and load what is new."""
        publish_windows(self.database, self.registry, self.workspace, BUCKETS)

    def index(self) -> None:
        """Build the index, if there is none yet."""
        index_production(self.database, self.workspace)

    def active_model(self) -> None:
        """Let everyone query it."""
        activate_production(self.database, self.workspace)

    def is_refused(self) -> bool:
        """Ask the gate."""
        return not judge_candidate(self.workspace, self.registry).passed

    def _collect(self) -> Collection:
        return Collection.load(self.workspace.store, self.workspace.load_table("tracks"))


def time_steps(pipeline: Pipeline, job: str) -> Iterator[tuple[str, float]]:
    """Do the steps of a job, as far as the gate lets them; the name and the seconds of each."""
    reading = [pipeline.catalog, pipeline.tracks, pipeline.clips]
    modelling = [pipeline.baseline_model, pipeline.candidate_model, pipeline.evaluation]
    publishing = [pipeline.embeddings, pipeline.index, pipeline.active_model]
    yield from map(_time, reading)
    if job == "refresh":
        yield from map(_time, modelling)
        if pipeline.is_refused():
            return
        yield _time(pipeline.production_model)
    yield from map(_time, publishing)


def _time(step: Callable[[], None]) -> tuple[str, float]:
    started = time.perf_counter()
    step()
    return step.__name__, time.perf_counter() - started


if __name__ == "__main__":
    main()
