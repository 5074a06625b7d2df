"""The network with its objective, as Lightning wants it, and the validation after each epoch."""

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader

from ml.collection import Collection
from ml.convnet import ConvNet, seed_weights
from ml.embedding import embed_clips
from ml.encoders import ConvNetEncoder
from ml.errors import TrainingError
from ml.evaluation import EvaluationSettings, evaluate
from ml.minibatches import Minibatch, Minibatches
from ml.training_settings import TrainingSettings
from ml.triplets import Labels, triplet_loss

logger = logging.getLogger(__name__)

MONITOR = "validation/map"
VALIDATION = EvaluationSettings(protocols=("paper",), draws=4, resamples=0)

Report = Callable[[Mapping[str, float], int], None]


class TripletModule(lightning.LightningModule):
    """A ConvNet learning by triplets.

    Parameters
    ----------
    training : Collection
        Clips of the training tracks.
    settings : TrainingSettings
        Of the run.
    """

    def __init__(self, training: Collection, settings: TrainingSettings) -> None:
        super().__init__()
        self.network: ConvNet = seed_weights(settings.encoder, settings.seed)
        self.sums: dict[str, float] = {}
        self._training = training
        self._settings = settings

    def train_dataloader(self) -> DataLoader[Minibatch]:
        """Load the minibatches of the current epoch, made by processes beside this one."""
        settings = self._settings
        epoch = Minibatches(
            self._training,
            settings.crop_samples,
            settings.minibatch,
            settings.effects,
            settings.seed,
            self.current_epoch,
        )
        # Forked, since another start method would import torch anew in every epoch.
        return DataLoader(
            epoch, batch_size=None, num_workers=count_loaders(), multiprocessing_context="fork"
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Build Adam with warm-up and cosine annealing, stepped with every minibatch."""
        optimizer = torch.optim.Adam(
            self.network.parameters(),
            self._settings.learning_rate,
            weight_decay=self._settings.weight_decay,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: anneal(step, steps, self._settings.warmup)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def training_step(self, batch: Minibatch) -> Tensor:
        """Embed the clips and weigh the terms."""
        labels = Labels(batch.source, batch.track, batch.genres, batch.moods)
        loss = triplet_loss(self.network(batch.waveform), labels, self._settings.triplets)
        if not torch.isfinite(loss.total):
            raise TrainingError(
                "The loss is not finite: lower the learning rate, or look for damaged audio."
            )
        self._add("loss", loss.total)
        for name, term in loss.terms.items():
            self._add(f"loss/{name}", term.loss)
            self._add(f"triplets/{name}", term.triplets)
        self._add("clips", torch.tensor(len(labels)))
        return loss.total

    def _add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())


class Validation(Callback):
    """After each epoch: validation mAP, by which the model is selected, and a line for people.

    Parameters
    ----------
    validation : Collection
        Clips of the validation tracks.
    report : callable
        Gets the metrics of each epoch and its number.
    """

    def __init__(self, validation: Collection, report: Report) -> None:
        self._validation = validation
        self._report = report
        self._epoch_started = self._run_started = 0.0

    def on_train_start(self, *_: object) -> None:
        """Note when the run began."""
        self._run_started = time.monotonic()

    def on_train_epoch_start(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: lightning.LightningModule,
    ) -> None:
        """Begin to add up anew."""
        assert isinstance(pl_module, TripletModule)
        pl_module.sums = {}
        self._epoch_started = time.monotonic()

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Validate, report, log."""
        assert isinstance(pl_module, TripletModule)
        seconds = time.monotonic() - self._epoch_started
        metrics = summarise(pl_module.sums, int(trainer.num_training_batches), seconds)
        with limit_threads(os.cpu_count() or 1):
            metrics |= validate(pl_module.network, self._validation)
        metrics["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        pl_module.log(MONITOR, metrics[MONITOR])
        self._report(metrics, trainer.current_epoch)
        done, total = trainer.current_epoch + 1, trainer.max_epochs or 0
        logger.info(
            "Epoch %d of %d: loss %.3f, validation mAP %.3f, %.0f clips/s, at most %.0f s left",
            done,
            total,
            metrics["loss"],
            metrics[MONITOR],
            metrics["clips_per_second"],
            (time.monotonic() - self._run_started) / done * (total - done),
        )


def count_loaders() -> int:
    """Count the loader processes: one core is left to the network."""
    return max(1, (os.cpu_count() or 1) - 1)


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Let torch compute in so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def validate(network: ConvNet, validation: Collection) -> dict[str, float]:
    """Measure validation mAP of each annotation and, as ``validation/map``, their mean."""
    training = network.training
    embeddings = embed_clips(ConvNetEncoder(network), validation.store, validation.clips)
    network.train(training)
    scores = evaluate(embeddings, validation.labels, VALIDATION)
    maps = {f"validation/{score.annotation}": score.map for score in scores}
    return {**maps, MONITOR: math.fsum(maps.values()) / len(maps)}


def summarise(sums: Mapping[str, float], steps: int, seconds: float) -> dict[str, float]:
    """Take the mean per step of what an epoch added up, and the rate.

    Raises
    ------
    TrainingError
        No triplet was found in the whole epoch.
    """
    if not any(sums[name] for name in sums if name.startswith("triplets/")):
        raise TrainingError(
            "No triplet was found in a whole epoch: the model has collapsed or the catalogue has "
            "too few tracks; lower the learning rate or add tracks."
        )
    means = {name: value / steps for name, value in sums.items() if name != "clips"}
    return {**means, "clips_per_second": sums["clips"] / seconds}


def anneal(step: int, steps: int, warmup: float) -> float:
    """Give the factor of the learning rate: linear warm-up, then half a cosine down to zero.

    Examples
    --------
    >>> anneal(0, 100, 0.1), anneal(9, 100, 0.1), round(anneal(100, 100, 0.1), 6)
    (0.1, 1.0, 0.0)
    """
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))
