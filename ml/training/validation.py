"""Validation after each epoch: what the model is selected by and when its training stops."""

import logging
import math
import time
from collections.abc import Iterator
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ml.collection import Collection
from ml.convnet import ConvNet
from ml.embedding import embed_clips
from ml.encoders import ConvNetEncoder
from ml.evaluation.protocols import EvaluationSettings, evaluate
from ml.progress import track_progress
from ml.training.history import (
    MONITOR,
    Metrics,
    Report,
    is_over,
    is_satisfied,
    require_lesson,
    summarise,
)
from ml.training.settings import TrainingSettings
from ml.training.triplet_module import TripletModule

logger = logging.getLogger(__name__)

VALIDATION = EvaluationSettings(protocols=("paper",), draws=4, resamples=0)
LINE_SECONDS = 30.0
"""Between lines on the progress within an epoch; shorter epochs have one line, at their end."""


class Validation(Callback):
    """After each epoch: validation mAP, a line for people, and whether to go on.

    Its state, the metrics of the epochs so far and the best weights among them, is kept in
    checkpoints.

    Parameters
    ----------
    validation : Collection
        Clips of the validation tracks; opened by the process of rank 0 alone.
    settings : TrainingSettings
        Of the run.
    report : callable
        Gets the metrics of each epoch and its number.
    """

    def __init__(self, validation: Collection, settings: TrainingSettings, report: Report) -> None:
        self.history: list[Metrics] = []
        self.best: dict[str, Tensor] = {}
        self._validation = sample_tracks(validation, settings.validation_clips, settings.seed)
        self._settings = settings
        self._report = report
        self._epoch_started = self._run_started = 0.0
        self._resumed = 0
        self._steps: Iterator[int] = iter(())

    def state_dict(self) -> dict[str, Any]:
        """Give what a checkpoint keeps."""
        return {"history": self.history, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go back to a checkpoint."""
        self.history, self.best = state_dict["history"], state_dict["best"]

    def on_train_start(self, *_: object) -> None:
        """Note when the run began, and after which epoch."""
        self._run_started = time.monotonic()
        self._resumed = len(self.history)

    def on_train_epoch_start(self, trainer: lightning.Trainer, *_: object) -> None:
        """Start the clock of the epoch."""
        self._epoch_started = time.monotonic()
        steps = int(trainer.num_training_batches)
        what = f"steps of epoch {trainer.current_epoch + 1}"
        if trainer.is_global_zero:
            self._steps = track_progress(range(steps), steps, what, logger, LINE_SECONDS)
        next(self._steps, None)

    def on_train_batch_end(self, *_: object) -> None:
        """Log how far the epoch is, now and then."""
        next(self._steps, None)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Validate, keep the weights if they are the best, report, log; the same on all ranks."""
        assert isinstance(pl_module, TripletModule)
        pl_module.require_finite()
        metrics = self._measure(trainer, pl_module) if trainer.is_global_zero else {}
        metrics = trainer.strategy.broadcast(metrics)
        if metrics[MONITOR] > max((m[MONITOR] for m in self.history), default=-math.inf):
            state = pl_module.network.state_dict()
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        self.history.append(metrics)
        require_lesson(self.history)
        trainer.should_stop = is_over(self.history, self._settings)
        if trainer.is_global_zero:
            self._report(metrics, trainer.current_epoch)
            self._log(metrics)

    def _measure(self, trainer: lightning.Trainer, module: TripletModule) -> Metrics:
        seconds = time.monotonic() - self._epoch_started
        sums = {name: float(value) for name, value in module.sums.items()}
        metrics = summarise(sums, int(trainer.num_training_batches), seconds)
        metrics |= validate(module.network, self._validation)
        metrics["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        return metrics

    def _log(self, metrics: Metrics) -> None:
        done, total = len(self.history), self._settings.epochs
        each = (time.monotonic() - self._run_started) / (done - self._resumed)
        logger.info(
            "Epoch %d of %d: loss %.3f, validation mAP %.3f, %.0f clips/s, at most %.0f s left",
            done,
            total,
            metrics["loss"],
            metrics[MONITOR],
            metrics["clips_per_second"],
            each * (total - done),
        )
        if is_satisfied(metrics):
            logger.warning("No triplet violates the margin any more: keeping the best epoch so far")


def sample_tracks(collection: Collection, clips: int, seed: int) -> Collection:
    """Keep whole tracks, at random, until there are so many clips; everything if it has fewer.

    Parameters
    ----------
    collection : Collection
        Any.
    clips : int
        At most, unless the first track alone has more.
    seed : int
        Of the draw.

    Returns
    -------
    Collection
        Its clips in their order.
    """
    if len(collection.clips) <= clips:
        return collection
    counts = collection.clips.groupby("track_id", sort=True).size()
    drawn = counts.iloc[np.random.default_rng(seed).permutation(len(counts))]
    within = max(1, int((drawn.cumsum() <= clips).sum()))
    kept = collection.clips["track_id"].isin(drawn.index[:within])
    return Collection(collection.store, collection.clips[kept].reset_index(drop=True))


def validate(network: ConvNet, validation: Collection) -> Metrics:
    """Measure validation mAP of each annotation and, as ``validation/map``, their mean."""
    training = network.training
    embeddings = embed_clips(ConvNetEncoder(network), validation.store, validation.clips)
    network.train(training)
    scores = evaluate(embeddings, validation.labels, VALIDATION)
    maps = {f"validation/{score.annotation}": float(score.map) for score in scores}
    return {**maps, MONITOR: math.fsum(maps.values()) / len(maps)}
