"""A sweep finds its best trial, and goes on where a killed one was."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ml.collection import Collection
from ml.registry import Registry
from ml.sweep import Sweep, SweepSettings, propose
from ml.training.history import MONITOR
from ml.training.settings import TrainingSettings
from ml.workspace import Workspace


def open_sweep(
    root: Path, noises: Collection, training: TrainingSettings, trials: int = 3
) -> Sweep:
    settings = SweepSettings(trials=trials, seeds=2, unpruned=1, patience=0)
    registry = Registry(f"sqlite:///{root}/mlflow.db", root)
    return Sweep(noises, training, settings, Workspace(root), registry)


@pytest.fixture(scope="module")
def swept(
    noises: Collection, tiny_training: TrainingSettings, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Run two trials of three, and leave a third as a killed process does."""
    root = tmp_path_factory.mktemp("sweep")
    sweep = open_sweep(root, noises, tiny_training)
    assert sweep.remaining == 3
    sweep.run_trial()
    sweep.run_trial()
    abandoned = sweep._study.ask()
    sweep._suggest(abandoned)
    return root


def test_interrupted_sweep_goes_on(
    swept: Path, noises: Collection, tiny_training: TrainingSettings
) -> None:
    sweep = open_sweep(swept, noises, tiny_training)
    assert sweep.remaining == 1
    (abandoned,) = sweep._study.get_trials(states=(TrialState.RUNNING,))
    sweep.resume()
    sweep.run_trial()
    assert sweep.remaining == 0
    assert sweep.trials[-1].params == abandoned.params, "what was interrupted is taken up"
    assert open_sweep(swept, noises, tiny_training, trials=5).remaining == 2, "more go further"


def test_best_trial_is_found_and_not_trained_again(
    swept: Path, noises: Collection, tiny_training: TrainingSettings
) -> None:
    sweep = open_sweep(swept, noises, tiny_training)
    best = sweep.find_best()
    assert best.reused
    finished = [t for t in sweep.trials if t.state is TrialState.COMPLETE]
    highest = max(t.value or 0.0 for t in finished)
    history = sweep._registry.read_history(best.run_id)
    assert history[MONITOR].max() == pytest.approx(highest)


def test_trials_are_children_of_one_run(
    swept: Path, noises: Collection, tiny_training: TrainingSettings
) -> None:
    sweep = open_sweep(swept, noises, tiny_training)
    client = sweep._registry._client
    parent = sweep._registry.find_run(sweep.key)
    assert parent is not None
    children = client.search_runs(["1"], f"tags.`mlflow.parentRunId` = '{parent.run_id}'")
    assert len(children) == len(sweep.trials)
    assert {run.data.tags["kind"] for run in children} == {"convnet"}


def test_trial_that_falls_behind_is_stopped(
    noises: Collection, tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    sweep = open_sweep(tmp_path, noises, tiny_training)
    params = {"variant": "compact", "seed": 0, "learning_rate": 1e-3}
    params |= {"track": 0.5, "genre": 1.0, "mood": 0.3}
    space = {
        "variant": optuna.distributions.CategoricalDistribution(["compact"]),
        "seed": optuna.distributions.CategoricalDistribution([0, 1]),
        "learning_rate": optuna.distributions.FloatDistribution(3e-4, 3e-3, log=True),
        "track": optuna.distributions.FloatDistribution(0.1, 2.0, log=True),
        "genre": optuna.distributions.FloatDistribution(0.1, 3.0, log=True),
        "mood": optuna.distributions.FloatDistribution(0.03, 1.0, log=True),
    }
    perfect = optuna.trial.create_trial(
        params=params, distributions=space, value=1.0, intermediate_values={0: 1.0, 1: 1.0}
    )
    sweep._study.add_trial(perfect)
    sweep.run_trial()
    assert sweep.trials[-1].state is TrialState.PRUNED
    runs = sweep._registry._client.search_runs(["1"], "tags.kind = 'convnet'")
    assert "has fallen behind" in runs[0].data.tags["stopped"]
    assert not list((tmp_path / "training").glob("convnet-*/*")), "no checkpoint is left"


def test_proposal_replaces_what_is_searched_for_and_leaves_the_rest(
    tiny_training: TrainingSettings,
) -> None:
    params = {"variant": "resnet18", "seed": 7, "learning_rate": 0.002}
    found = propose(tiny_training, params | {"track": 0.7, "genre": 0.8, "mood": 0.9})
    assert (found.encoder.variant, found.seed, found.learning_rate) == ("resnet18", 7, 0.002)
    assert found.triplets.weights == {"transformed": 1.0, "track": 0.7, "genre": 0.8, "mood": 0.9}
    assert found.minibatch == tiny_training.minibatch
