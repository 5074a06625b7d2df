"""The network with its objective, as Lightning wants it."""

import math

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.utils.data import DataLoader

from ml.collection import Collection
from ml.convnet import ConvNet, seed_weights
from ml.errors import TrainingError
from ml.training.cores import give_way
from ml.training.gathering import gather_rows, own_rows
from ml.training.minibatches import Draws, Minibatches
from ml.training.rendering import Draw, Minibatch, render
from ml.training.seats import Seat
from ml.training.settings import TrainingSettings
from ml.triplets import Labels, triplet_loss

STEPS_BETWEEN_LOOKS = 25
"""At the loss, to see that it is finite: reading it makes a GPU wait."""


class TripletModule(lightning.LightningModule):
    """A ConvNet learning by triplets.

    Parameters
    ----------
    training : Collection
        Clips of the training tracks.
    settings : TrainingSettings
        Of the run.
    seat : Seat, optional
        Of this process, if several train together.
    """

    def __init__(
        self, training: Collection, settings: TrainingSettings, seat: Seat | None = None
    ) -> None:
        super().__init__()
        self.network: ConvNet = seed_weights(settings.encoder, settings.seed)
        self.sums: dict[str, Tensor] = {}
        self._training = training
        self._settings = settings
        self._seat = seat or Seat()

    def make_minibatches(self, epoch: int) -> Minibatches:
        """Make the minibatches of an epoch, a pure function of the seed and its number."""
        settings = self._settings
        return Minibatches(
            self._training,
            settings.crop_samples,
            settings.minibatch,
            settings.effects,
            settings.encoder.spectrogram,
            settings.seed,
            epoch,
        )

    def transfer_batch_to_device(
        self, batch: Draw | Minibatch, device: torch.device, dataloader_idx: int
    ) -> Draw | Minibatch:
        """Move a minibatch, or the sound that it will be made of."""
        if isinstance(batch, Draw):
            return batch.to(device)
        moved: Minibatch = super().transfer_batch_to_device(batch, device, dataloader_idx)
        return moved

    def on_after_batch_transfer(
        self,
        batch: Draw | Minibatch,
        dataloader_idx: int,  # noqa: ARG002
    ) -> Minibatch:
        """Apply the effects where the network computes, if the loaders left that to it."""
        if isinstance(batch, Minibatch):
            return batch
        return render(batch, self._settings.encoder.spectrogram, self._settings.minibatch.domain)

    def train_dataloader(self) -> DataLoader[Draw | Minibatch]:
        """Load the minibatches of the current epoch, made by processes beside this one."""
        minibatches, on_gpu = (
            self.make_minibatches(self.current_epoch),
            self._seat.hardware.uses_gpu,
        )
        # Forked, since another start method would import torch anew in every epoch.
        return DataLoader(
            Draws(minibatches) if on_gpu else minibatches,
            batch_size=None,
            num_workers=self._seat.cores,
            multiprocessing_context="fork",
            worker_init_fn=None if on_gpu else give_way,
            pin_memory=on_gpu,
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

    def on_train_epoch_start(self) -> None:
        """Begin to add up anew, and make what the network draws a function of seed and epoch."""
        self.sums = {}
        seeds = (self._settings.seed, self.current_epoch, self._seat.rank)
        torch.manual_seed(hash(seeds))  # of integers: the same in every process

    def embed(self, batch: Minibatch, rows: Tensor) -> Tensor:
        """Embed some clips of a minibatch: the one place that knows what the network is fed."""
        return self.network.embed_mel(batch.mel[rows] * batch.colour[rows, :, None])

    def training_step(self, batch: Minibatch) -> Tensor:
        """Embed the clips, this process its part of them, and weigh the terms of all."""
        labels = Labels(batch.source, batch.track, batch.genres, batch.moods)
        embeddings = gather_rows(self.embed(batch, own_rows(len(labels))))
        loss = triplet_loss(embeddings, labels, self._settings.triplets)
        self._add("loss", loss.total)
        for name, term in loss.terms.items():
            self._add(f"loss/{name}", term.loss)
            self._add(f"triplets/{name}", term.triplets)
            self._add(f"pairs/{name}", term.pairs)
        self._add("clips", torch.tensor(len(labels)))
        return loss.total

    def on_train_batch_end(
        self,
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Look at the loss now and then."""
        if (batch_idx + 1) % STEPS_BETWEEN_LOOKS == 0:
            _require_finite(self.sums["loss"])

    def require_finite(self) -> None:
        """Refuse what an epoch has come to, if any of it is not a number.

        Raises
        ------
        TrainingError
            The loss of a step, or a weight after the last step, is not finite.
        """
        _require_finite(self.sums["loss"], *self.network.state_dict().values())

    def _add(self, name: str, value: Tensor) -> None:
        # Kept where it is computed: reading it would make a GPU wait.
        self.sums[name] = self.sums.get(name, torch.tensor(0.0)) + value.detach()


def _require_finite(*tensors: Tensor) -> None:
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise TrainingError(
            "The loss or a weight is not finite: lower the learning rate, or look for damaged "
            "audio."
        )


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
