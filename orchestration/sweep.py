"""The job that searches for better hyperparameters; its best model becomes the candidate.

Trials are mapped, so an executor that spreads steps over machines spreads them; on one machine they
follow each other. Run again, it goes on; with more `trials`, it goes further. The job `promote`
evaluates what it found and, if the gate lets it through, publishes it.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg
import pandas as pd
from pydantic import Field

from ml.snapshot import STORED, TRAINED, keep_snapshot
from orchestration.assets.modelling import ConvNetConfig, configure_training
from orchestration.failures import explain_failures
from orchestration.metadata import show_link, show_table
from orchestration.queue import PIPELINE_TAG
from orchestration.resources import Services

if TYPE_CHECKING:  # torch and optuna take seconds to import
    from ml.sweep import Sweep


class SweepConfig(ConvNetConfig):
    """What is searched for, and what stays as it is; variant, learning rate and seed do not."""

    trials: int = Field(default=20, ge=1, description="In all, those of earlier runs included.")
    variants: list[str] = Field(default=["compact"], description="Networks to choose among.")
    seeds: int = Field(default=3, ge=1, description="Seeds to choose among.")


Asked = dict[str, Any]


@dg.op
def read_request(config: SweepConfig) -> Asked:
    """Hand on what was asked for."""
    return config.model_dump()


@dg.op(out=dg.DynamicOut(dict))
@explain_failures
def plan_trials(services: Services, asked: Asked) -> list[dg.DynamicOutput[Asked]]:
    """Take up what an interrupted sweep has left, and deal out the trials that remain."""
    sweep = _open(asked, services)
    sweep.resume()
    return [dg.DynamicOutput(asked, f"trial_{number}") for number in range(sweep.remaining)]


@dg.op
@explain_failures
def run_trial(services: Services, trial: Asked) -> int:
    """Train by what is proposed next, until its end or until it falls behind."""
    sweep = _open(trial, services)
    sweep.run_trial()
    return len(sweep.trials)


@dg.op
@explain_failures
def choose_best(
    context: dg.OpExecutionContext, services: Services, asked: Asked, done: list[int]
) -> None:
    """Make the best model the candidate, and show every trial."""
    from ml.candidacy import keep_candidate

    sweep = _open(asked, services)
    context.log.info("%d trials were run now, %d in all", len(done), len(sweep.trials))
    registry, workspace = services.open_registry(), services.workspace
    model = sweep.find_best()
    version = keep_candidate(workspace, registry, model)
    keep_snapshot(workspace, TRAINED, STORED)
    trials = pd.DataFrame(
        [
            {"trial": t.number, "map": t.value, "state": t.state.name.lower(), **t.params}
            for t in sweep.trials
        ]
    )
    context.add_output_metadata(
        {
            "version": version.number,
            "mlflow": show_link("the run in MLflow", registry.link_run(model.run_id)),
            "trials": show_table(trials.sort_values("map", ascending=False)),
        }
    )


@dg.job(
    tags=PIPELINE_TAG,
    description="Search for better hyperparameters by validation mAP; the best model becomes the "
    "candidate, which the job `promote` evaluates and publishes.",
)
def sweep() -> None:
    """Search, then choose."""
    asked = read_request()
    choose_best(asked, plan_trials(asked).map(run_trial).collect())


def _open(asked: Asked, services: Services) -> "Sweep":
    from ml.collection import Collection
    from ml.sweep import Sweep, SweepSettings

    workspace = services.workspace
    collection = Collection.load(workspace.store, workspace.load_table("tracks"))
    search = SweepSettings(
        trials=asked["trials"], variants=tuple(asked["variants"]), seeds=asked["seeds"]
    )
    training = {name: asked[name] for name in ConvNetConfig.model_fields}
    base = configure_training(ConvNetConfig(**training))
    return Sweep(collection, base, search, workspace, services.open_registry())
