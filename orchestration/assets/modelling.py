"""The models: candidates, their evaluation, the gate, and the one in production."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd
from pydantic import Field

from orchestration.assets.catalogue import clips, tracks
from orchestration.failures import explain_failures
from orchestration.metadata import Materialized, show_figure, show_table
from orchestration.partitions import BUCKETS
from orchestration.resources import Services

if TYPE_CHECKING:  # torch takes seconds to import, and only the steps that use it should pay
    from ml.training.settings import TrainingSettings

GROUP = "modelling"
OWNERS = ["team:data"]


def _clips_of(first: int, last: int) -> dg.AssetDep:
    """Depend on some buckets of `clips` (all hundred would switch staleness tracking off)."""
    keys = BUCKETS.get_partition_keys()[first : last + 1]
    return dg.AssetDep(clips, partition_mapping=dg.SpecificPartitionsPartitionMapping(keys))


class ConvNetConfig(dg.Config):
    """Hyperparameters of the ConvNet that are worth changing from run to run."""

    variant: str = "compact"
    objective: str = "default"
    epochs: int = 8
    steps_per_epoch: int = 25
    patience: int = 4
    learning_rate: float = 1e-3
    tracks_per_minibatch: int = 64
    crops_per_track: int = 2
    crop_seconds: float = 4.0
    domain: str = "magnitude"
    without: list[str] = Field(default=[])
    precision: str = "auto"
    devices: int = 1
    seed: int = 0


@dg.asset(
    deps=[_clips_of(0, 79), tracks],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"scikitlearn", "mlflow"},
    code_version="1",
)
@explain_failures
def baseline_model(services: Services) -> Materialized:
    """What the ConvNet has to beat: MFCC statistics decorrelated by PCA on training tracks."""
    from ml.collection import Collection
    from ml.development import develop_baseline

    workspace = services.workspace
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    model = develop_baseline(collection, workspace, services.open_registry())
    workspace.save_record("baseline_model", model.to_record())
    return dg.MaterializeResult(metadata=model.to_record())


@dg.asset(
    deps=[_clips_of(0, 89), tracks],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    code_version="1",
)
@explain_failures
def convnet_model(config: ConvNetConfig, services: Services) -> Materialized:
    """The candidate: a ConvNet trained by competing triplet terms on transformed clips.

    Selected by validation mAP; the test split is not opened. The same clips, labels and settings
    give the same model, so an unchanged one is found instead of trained.
    """
    from ml.collection import Collection
    from ml.development import develop_convnet
    from ml.training.hardware import Hardware
    from ml.training.session import plot_history

    workspace, registry = services.workspace, services.open_registry()
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    hardware = Hardware(devices=config.devices)
    model = develop_convnet(collection, _settings(config), workspace, registry, hardware)
    version = registry.register(model.run_id, model.fingerprint)
    workspace.save_record("convnet_model", model.to_record() | {"version": version.number})
    history = registry.read_history(model.run_id)
    return dg.MaterializeResult(
        metadata={
            **model.to_record(),
            "version": version.number,
            "epochs": len(history),
            "history": show_figure(plot_history(history)),
        }
    )


@dg.asset(
    deps=[baseline_model, convnet_model, _clips_of(80, 99), tracks],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy", "mlflow"},
    code_version="1",
)
@explain_failures
def evaluation(services: Services) -> Materialized:
    """Table 1: mAP of the random, baseline and ConvNet encoders and of the one in production.

    Every encoder on the same clips of the validation and of the test tracks.
    """
    from ml.evaluation.protocols import plot_table, table_markdown
    from ml.promotion import evaluate_candidates

    result = evaluate_candidates(services.workspace, services.open_registry())
    metadata: dict[str, dg.MetadataValue] = {}
    for split, rows in result.rows.items():
        metadata[f"table_1_{split}"] = dg.MetadataValue.md(table_markdown(rows))
        metadata[f"figure_{split}"] = show_figure(plot_table(rows))
    return dg.MaterializeResult(metadata={**metadata, "reused": result.reused})


@dg.asset_check(asset=evaluation, blocking=True)
@explain_failures
def map_gate(services: Services) -> dg.AssetCheckResult:
    """The candidate beats random and baseline, and is no worse than the model in production."""
    from ml.promotion import judge_candidate

    verdict = judge_candidate(services.workspace)
    return dg.AssetCheckResult(
        passed=verdict.passed,
        description=" ".join(verdict.reasons),
        metadata={"comparisons": show_table(pd.DataFrame(map(asdict, verdict.comparisons)))},
    )


@dg.asset(deps=[evaluation], group_name=GROUP, owners=OWNERS, kinds={"mlflow"}, code_version="1")
@explain_failures
def production_model(services: Services) -> Materialized:
    """The registered model version that carries the alias `production`.

    Reads the evaluation again and refuses by itself: a failed check of another run stops nothing.
    """
    from ml.promotion import promote_candidate

    return dg.MaterializeResult(
        metadata=promote_candidate(services.workspace, services.open_registry())
    )


def _settings(config: ConvNetConfig) -> "TrainingSettings":
    from ml.training.settings import configure

    return configure(**config.model_dump(exclude={"devices"}))
