"""What the jobs `refresh` and `extend` do, as one plain process without an orchestrator."""

import argparse
import json

from ml.candidacy import evaluate_candidates
from ml.catalog import read_catalog
from ml.clips import extract_clips
from ml.collection import Collection
from ml.development import develop_baseline, develop_convnet
from ml.environment import Environment
from ml.promotion import judge_candidate, promote_candidate
from ml.registry import Registry
from ml.splits import N_BUCKETS, split_tracks
from ml.workspace import Workspace
from orchestration.assets.modelling import ConvNetConfig, configure_training
from search.database import Database, open_database
from search.publication import activate_production, index_production, publish_windows
from search.takedown import denied_tracks


def main() -> None:
    """Do the one or the other, on what the environment names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain_pipeline")
    parser.add_argument("job", choices=["refresh", "extend"])
    parser.add_argument("--training", default="{}", help="configuration of candidate_model, JSON")
    arguments = parser.parse_args()
    environment = Environment()
    workspace = Workspace(environment.root)
    registry = Registry(environment.tracking_uri, environment.root / "mlflow")
    with open_database(environment.database_url, environment.root) as database:
        database.migrate()
        read_tracks(environment.manifest, database, workspace)
        if arguments.job == "refresh":
            train(workspace, registry, ConvNetConfig(**json.loads(arguments.training)))
        publish_windows(database, registry, workspace, range(N_BUCKETS))
        index_production(database, workspace)
        activate_production(database, workspace)


def read_tracks(manifest: str, database: Database, workspace: Workspace) -> None:
    """Do what `catalog`, `tracks` and `clips` do."""
    found = read_catalog(manifest, denied_tracks(database))
    tracks = split_tracks(found.tracks)
    workspace.save_table("tracks", tracks)
    extract_clips(tracks, workspace.store, range(N_BUCKETS))


def train(workspace: Workspace, registry: Registry, config: ConvNetConfig) -> None:
    """Do what the models, their evaluation, the gate and `production_model` do."""
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    develop_baseline(collection, workspace, registry)
    develop_convnet(collection, configure_training(config), workspace, registry)
    evaluate_candidates(workspace, registry)
    judge_candidate(workspace, registry)
    promote_candidate(workspace, registry)


if __name__ == "__main__":
    main()
