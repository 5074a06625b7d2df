"""The models: candidates, their evaluation, the gate, and the one in production."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pandas as pd
from pydantic import Field

from ml.snapshot import EVALUATED, SEEN, STORED, TRAINED, keep_snapshot
from orchestration.assets.catalogue import clips, tracks
from orchestration.failures import explain_failures
from orchestration.metadata import Materialized, show_link, show_picture, show_table
from orchestration.partitions import BUCKETS
from orchestration.queue import PIPELINE_POOL
from orchestration.resources import Services
from orchestration.settings import preset

if TYPE_CHECKING:  # torch takes seconds to import, and only the steps that use it should pay
    from ml.candidacy import Evaluation
    from ml.training.settings import TrainingSettings
    from ml.verdict import Verdict

GROUP = "modelling"
OWNERS = ["team:data"]


def _clips_of(first: int, last: int) -> dg.AssetDep:
    """Depend on some buckets of `clips` (all hundred would switch staleness tracking off)."""
    keys = BUCKETS.get_partition_keys()[first : last + 1]
    return dg.AssetDep(clips, partition_mapping=dg.SpecificPartitionsPartitionMapping(keys))


@preset("candidate_model")
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
    timbre: int = 32
    colour_db: float = 6.0
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
    pool=PIPELINE_POOL,
)
@explain_failures
def baseline_model(services: Services) -> Materialized:
    """What the ConvNet has to beat: MFCC statistics decorrelated by PCA on training tracks."""
    from ml.collection import Collection
    from ml.development import develop_baseline

    workspace = services.workspace
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    registry = services.open_registry()
    model = develop_baseline(collection, workspace, registry)
    workspace.save_record("baseline_model", model.to_record())
    training = collection.of("train")
    return dg.MaterializeResult(
        metadata={
            "training_clips": len(training.clips),
            "training_tracks": training.clips["track_id"].nunique(),
            "mlflow": show_link("the run in MLflow", registry.link_run(model.run_id)),
            **model.to_record(),
        }
    )


@dg.asset(
    deps=[_clips_of(0, 89), tracks],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    code_version="1",
    pool=PIPELINE_POOL,
)
@explain_failures
def candidate_model(config: ConvNetConfig, services: Services) -> Materialized:
    """The candidate: a ConvNet trained by competing triplet terms on transformed clips.

    Selected by validation mAP; the test split is not opened. The same clips, labels and settings
    give the same model, so an unchanged one is found instead of trained.
    """
    from ml.candidacy import keep_candidate
    from ml.collection import Collection
    from ml.development import develop_convnet
    from ml.evaluation.pictures import render
    from ml.training.hardware import Hardware
    from ml.training.history import find_best, plot_history, tabulate_history

    workspace, registry = services.workspace, services.open_registry()
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    hardware = Hardware(devices=config.devices)
    model = develop_convnet(collection, configure_training(config), workspace, registry, hardware)
    version = keep_candidate(workspace, registry, model)
    keep_snapshot(workspace, TRAINED, STORED)
    history = registry.read_history(model.run_id)
    return dg.MaterializeResult(
        metadata={
            "version": version.number,
            "epochs": len(history),
            **find_best(history),
            "epoch_by_epoch": show_table(tabulate_history(history)),
            "history": show_picture(render(plot_history(history))),
            "mlflow": show_link("the run in MLflow", registry.link_run(model.run_id)),
            **model.to_record(),
        }
    )


@dg.asset(
    deps=[baseline_model, candidate_model, _clips_of(80, 99), tracks],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy", "mlflow"},
    code_version="2",
    pool=PIPELINE_POOL,
)
@explain_failures
def evaluation(services: Services) -> Materialized:
    """Table 1: mAP of the random, baseline and ConvNet encoders and of the one in production.

    Every encoder on the same clips of the validation and of the test tracks. Where a listening
    study was rated, also how often each orders two results as raters did.
    """
    from ml.candidacy import (
        LISTENING,
        evaluate_candidates,
        load_candidate,
        rate_candidates,
    )
    from ml.promotion import judge_candidate
    from search.study.triplets import read_judgements

    registry = services.open_registry()
    result = evaluate_candidates(services.workspace, registry)
    with services.open_database() as database:
        judgements = read_judgements(database)
    agreement = rate_candidates(services.workspace, registry, judgements)
    keep_snapshot(services.workspace, EVALUATED, SEEN)
    run_id, production = load_candidate(services.workspace)["run_id"], registry.find_production()
    serves = production is not None and production.number == result.candidate
    return dg.MaterializeResult(
        metadata={
            "verdict": _describe_verdict(
                judge_candidate(services.workspace, registry), serves=serves
            ),
            **_explain_protocols(),
            **_show_evaluation(result, services.workspace.picture_folder(result.fingerprint)),
            **({"agreement_with_raters": show_table(pd.DataFrame(agreement))} if agreement else {}),
            "examples_to_listen_to": show_link(
                "ten searches in MLflow", f"{registry.link_run(run_id)}/artifacts/{LISTENING}"
            ),
            "reused": result.reused,
        }
    )


def _describe_verdict(verdict: "Verdict", *, serves: bool) -> str:
    """Say what the gate says, or would say of what is in production by now."""
    word = "would pass" if serves and verdict.passed else "passes" if verdict.passed else "fails"
    subject = "The candidate, the version in production," if serves else "The candidate"
    judge = "The check map_gate judges, in the job refresh alone."
    return f"{subject} {word}. {' '.join(verdict.reasons)} {judge}"


def _explain_protocols() -> dict[str, str]:
    """Say what is in the tables, an entry each: the page breaks plain text into lines."""
    from ml.evaluation.labels import PROTOCOL_MEANINGS
    from ml.gate import GateSettings
    from ml.promotion import GATE_SPLIT

    judged = f"; the gate judges by it, on {GATE_SPLIT} tracks"
    return {
        f"protocol_{name}": meaning + (judged if name == GateSettings.protocol else "")
        for name, meaning in PROTOCOL_MEANINGS.items()
    }


def _show_evaluation(result: "Evaluation", pictures: Path) -> dict[str, dg.MetadataValue]:
    """Table 1, what surely differs, hubs, categories and the map: all that the gate leaves open."""
    from ml.evaluation.protocols import PROTOCOLS, details_markdown, table_markdown

    def show(name: str) -> dg.MetadataValue:
        return show_picture((pictures / f"{name}.png").read_bytes())

    metadata = {"map_of_test_tracks": show("map")}  # pictures first: a click away on the page
    for split in result.rows:
        metadata[f"figure_{split}"] = show(f"table_1_{split}")
        metadata[f"categories_{split}"] = show(f"categories_{split}")
    for split, rows in result.rows.items():
        differences = pd.DataFrame(result.differences[split])
        for protocol in PROTOCOLS:  # an entry each: beyond 1,000 characters the page hides it
            own = differences[differences["protocol"] == protocol].drop(columns="protocol")
            name = f"{split}_{protocol}"
            metadata[f"table_1_{name}"] = dg.MetadataValue.md(table_markdown(rows, protocol))
            metadata[f"differences_{name}"] = show_table(own)
        # Apart, as the page makes every entry as wide as the widest table, and cuts them all off.
        precision = details_markdown(rows, ("precision", "chance"))
        hubness = details_markdown(rows, ("hubness", "never"))  # with clips of one's own track
        metadata[f"precision_{split}"] = dg.MetadataValue.md(precision)
        metadata[f"hubness_{split}"] = dg.MetadataValue.md(hubness)
        metadata[f"hubness_between_tracks_{split}"] = show_table(
            pd.DataFrame(result.hubness[split])
        )
    return metadata


@dg.asset_check(asset=evaluation, blocking=True)
@explain_failures
def map_gate(services: Services) -> dg.AssetCheckResult:
    """The candidate beats random and baseline, and is no worse than the model in production.

    Made in `refresh`, where something can be promoted; not evaluated after a `relabel`.
    """
    from ml.promotion import REFUSAL, judge_candidate

    verdict = judge_candidate(services.workspace, services.open_registry())
    return dg.AssetCheckResult(
        passed=verdict.passed,
        description=" ".join([*verdict.reasons, *([] if verdict.passed else [REFUSAL])]),
        metadata={"comparisons": show_table(pd.DataFrame(map(asdict, verdict.comparisons)))},
    )


class PromotionConfig(dg.Config):
    """A person's word against the gate's."""

    force_reason: str = Field(
        default="", description="Why the candidate is to serve even if the gate refuses; kept."
    )


@dg.asset(
    deps=[evaluation],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"mlflow"},
    code_version="1",
    pool=PIPELINE_POOL,
)
@explain_failures
def production_model(config: PromotionConfig, services: Services) -> Materialized:
    """The registered model version that carries the alias `production`.

    Reads the evaluation again and refuses by itself: a failed check of another run stops nothing.
    With `force_reason` it follows a person instead; the reason stays with the version.
    """
    from ml.promotion import promote_candidate

    registry = services.open_registry()
    record = promote_candidate(services.workspace, registry, config.force_reason)
    scores = pd.DataFrame(record["metrics"]).T.rename_axis("test mAP").reset_index()
    return dg.MaterializeResult(
        metadata={
            "version": record["version"],
            "replaced": record["replaced"] or "none",
            "force_reason": record["force_reason"] or "none",
            "test_map_by_protocol": show_table(scores),
            "mlflow": show_link("the run in MLflow", registry.link_run(record["run_id"])),
            "run_id": record["run_id"],
        }
    )


def configure_training(config: ConvNetConfig) -> "TrainingSettings":
    """Turn a run's configuration into the settings of a training."""
    from ml.training.settings import configure

    return configure(**config.model_dump(exclude={"devices"}))
