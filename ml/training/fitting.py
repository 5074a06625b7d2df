"""One process's share of a training: Lightning's loop over the minibatches."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ml.allocator import keep_memory
from ml.collection import Collection
from ml.training.batch_norm import synchronize_batch_norm
from ml.training.checkpointing import CheckpointFiles, Checkpoints
from ml.training.checkpoints import FILE
from ml.training.cores import limit_threads
from ml.training.history import Report
from ml.training.precision import Precision
from ml.training.seats import Seat
from ml.training.settings import TrainingSettings
from ml.training.triplet_module import TripletModule
from ml.training.validation import Validation

PLUGINS: Mapping[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "float32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}
"""Lightning's names of the precisions."""


@dataclass(frozen=True)
class Job:
    """What every process of a training is given.

    Parameters
    ----------
    training, validation : Collection
        Clips to learn from and to select by.
    settings : TrainingSettings
        Of the run.
    precision : {"float32", "bf16", "fp16"}
        Chosen.
    timbre : dict of Tensor
        State of the network's timbre, if it has one that is to begin with.
    folder : Path, optional
        For checkpoints.
    key : str
        Of the training, for its checkpoints.
    resumes : bool
        Whether to go on from the checkpoint that is there.
    """

    training: Collection
    validation: Collection
    settings: TrainingSettings
    precision: Precision
    timbre: dict[str, Tensor]
    folder: Path | None
    key: str
    resumes: bool


def fit(job: Job, seat: Seat, report: Report | None = None) -> Validation:
    """Train, together with the processes in the other seats.

    Parameters
    ----------
    job : Job
        The same in all of them.
    seat : Seat
        Of this process.
    report : callable, optional
        Gets the metrics of each epoch and its number, at rank 0.

    Returns
    -------
    Validation
        With the metrics of all epochs, and the best weights.
    """
    keep_memory()
    seat.meet()
    module = TripletModule(job.training, job.settings, seat)
    if module.network.timbre and job.timbre:
        module.network.timbre.load_state_dict(job.timbre)
    if seat.hardware.devices > 1:
        synchronize_batch_norm(module.network, gpu=seat.hardware.uses_gpu)
    validation = Validation(job.validation, job.settings, report or _ignore)
    callbacks: list[Callback] = [validation]
    if job.folder:
        callbacks.append(Checkpoints(job.folder, job.key, job.precision))
    with limit_threads(seat.cores), _quiet_lightning(), _fork_generators(seat):
        trainer = lightning.Trainer(
            accelerator=seat.hardware.accelerator,
            devices=seat.hardware.devices,
            strategy=seat.build_strategy(),
            precision=PLUGINS[job.precision],
            max_epochs=job.settings.epochs,
            callbacks=callbacks,
            plugins=[CheckpointFiles()],
            logger=False,
            enable_checkpointing=False,  # `Checkpoints` does
            enable_progress_bar=False,
            enable_model_summary=False,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,  # all processes work on the same minibatch
        )
        checkpoint = job.folder / FILE if job.folder and job.resumes else None
        trainer.fit(module, ckpt_path=checkpoint, weights_only=True)
    return validation


def _ignore(*_: object) -> None:
    """Report nothing."""


@contextmanager
def _fork_generators(seat: Seat) -> Iterator[None]:
    """Leave the global generators, from which layers such as dropout draw, as they were."""
    devices = range(torch.cuda.device_count()) if seat.hardware.uses_gpu else ()
    with torch.random.fork_rng(devices=list(devices)):
        yield


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notices about devices and its tips out of the logs."""
    loggers = [
        logging.getLogger(f"lightning.{name}")
        for name in ("pytorch", "pytorch.utilities.rank_zero", "fabric.utilities.distributed")
    ]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec.`", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
