"""Search for better hyperparameters: Optuna proposes, validation mAP decides.

Every trial is a training like any other, found again by what decides it, so a sweep that was killed
goes on: its database says which trials are done, and the one that was interrupted goes on from its
checkpoint. Trials that fall behind the others are stopped early (median pruning). Test tracks are
not opened.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from ml.collection import Collection
from ml.convnet import Variant
from ml.development import Model, TrainingStopped, develop_convnet
from ml.errors import TrainingError
from ml.registry import Registry
from ml.training.history import MONITOR, Report
from ml.training.settings import TrainingSettings
from ml.triplets import Term
from ml.workspace import Workspace

optuna.logging.set_verbosity(optuna.logging.WARNING)

DONE = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep searches.

    Parameters
    ----------
    trials : int
        How many in all, pruned ones included.
    variants : tuple of str
        Networks to choose among.
    seeds : int
        Seeds to choose among, from 0: luck is a hyperparameter too, and is seen as such.
    unpruned : int
        Trials that are let finish before any is stopped.
    patience : int
        Epochs before a trial may be stopped.
    seed : int
        Of the proposals.
    """

    trials: int = 20
    variants: tuple[Variant, ...] = ("compact",)
    seeds: int = 3
    unpruned: int = 5
    patience: int = 2
    seed: int = 0


class Sweep:
    """A search over one catalogue; any number of processes of a machine may share in it.

    Parameters
    ----------
    collection : Collection
        Clips of all splits; those of test tracks are not opened.
    base : TrainingSettings
        What is not searched for.
    settings : SweepSettings
        How to search; more `trials` go on with the same sweep.
    workspace : Workspace
        Keeps the sweep's database.
    registry : Registry
        Keeps a run for the sweep, and for each trial a child of it.
    """

    def __init__(
        self,
        collection: Collection,
        base: TrainingSettings,
        settings: SweepSettings,
        workspace: Workspace,
        registry: Registry,
    ) -> None:
        self._collection, self._base, self._settings = collection, base, settings
        self._workspace, self._registry = workspace, registry
        data = [collection.of(split).fingerprint for split in ("train", "validation")]
        space = asdict(replace(settings, trials=0))
        decisive = json.dumps([asdict(base), space, data], sort_keys=True, default=str)
        self.key = f"sweep-{hashlib.sha256(decisive.encode()).hexdigest()[:16]}"
        folder = workspace.root / "sweeps"
        folder.mkdir(parents=True, exist_ok=True)
        self._study = optuna.create_study(
            study_name=self.key,
            storage=f"sqlite:///{folder / self.key}.db",
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(settings.unpruned, settings.patience),
        )
        self._study.sampler = optuna.samplers.TPESampler(seed=settings.seed + len(self.trials))

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that are done."""
        return self._study.get_trials(deepcopy=False, states=DONE)

    @property
    def remaining(self) -> int:
        """How many trials are left to do."""
        return max(0, self._settings.trials - len(self.trials))

    def resume(self) -> None:
        """Take up the trials of processes that are gone; nobody else may be at work."""
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            self._study.enqueue_trial(trial.params)
            self._study.tell(trial.number, state=TrialState.FAIL)

    def run_trial(self) -> None:
        """Train by what is proposed next, to its end or until it falls behind."""
        self._study.optimize(self._train, n_trials=1)

    def find_best(self) -> Model:
        """Find the model of the best trial; trains nothing unless its files are lost.

        Raises
        ------
        TrainingError
            No trial has finished.
        """
        finished = [trial for trial in self.trials if trial.state is TrialState.COMPLETE]
        if not finished:
            raise TrainingError("No trial of the sweep has finished: run it again with more.")
        return self._develop(propose(self._base, self._study.best_params))

    def _train(self, trial: optuna.Trial) -> float:
        settings = propose(self._base, self._suggest(trial))

        def watch(metrics: Mapping[str, float], epoch: int) -> None:
            trial.report(metrics[MONITOR], epoch)
            if trial.should_prune():
                raise TrainingStopped(f"Trial {trial.number} has fallen behind.")

        try:
            model = self._develop(settings, watch)
        except TrainingStopped as stopped:
            raise optuna.TrialPruned(str(stopped)) from None
        trial.set_user_attr("run_id", model.run_id)
        return float(self._registry.read_history(model.run_id)[MONITOR].max())

    def _suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        return {
            "variant": trial.suggest_categorical("variant", self._settings.variants),
            "seed": trial.suggest_categorical("seed", list(range(self._settings.seeds))),
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
            "track": trial.suggest_float("track", 0.1, 2.0, log=True),
            "genre": trial.suggest_float("genre", 0.1, 3.0, log=True),
            "mood": trial.suggest_float("mood", 0.03, 1.0, log=True),
        }

    def _develop(self, settings: TrainingSettings, watch: Report | None = None) -> Model:
        return develop_convnet(
            self._collection,
            settings,
            self._workspace,
            self._registry,
            parent=self._find_parent(),
            watch=watch,
        )

    def _find_parent(self) -> str:
        known = self._registry.find_run(self.key)
        if known:
            return known.run_id
        with self._registry.start_run("sweep", self.key) as run:
            run.log_params({"sweep": asdict(self._settings)})
        return run.run_id


def propose(base: TrainingSettings, params: Mapping[str, Any]) -> TrainingSettings:
    """Put a trial's parameters in the place of the base's.

    Parameters
    ----------
    base : TrainingSettings
        Of everything else; terms of weight 0 stay off.
    params : mapping
        `variant`, `seed`, `learning_rate`, and the weights `track`, `genre`, `mood`.

    Returns
    -------
    TrainingSettings
    """
    terms: tuple[Term, ...] = ("track", "genre", "mood")
    weights = {term: params[term] for term in terms if base.triplets.weights[term] > 0}
    return replace(
        base,
        encoder=replace(base.encoder, variant=params["variant"]),
        triplets=replace(base.triplets, **weights),
        learning_rate=params["learning_rate"],
        seed=params["seed"],
    )
