"""Train a ConvNet encoder by competing triplet terms on transformed clips (paper, section 2.3).

Lightning runs the loop. The model is selected, and its training stopped early, by mAP on
validation tracks; test tracks are never opened here.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from matplotlib.figure import Figure

from ml.collection import Collection
from ml.encoders import ConvNetEncoder
from ml.training_settings import TrainingSettings
from ml.triplet_module import (
    MONITOR,
    Report,
    TripletModule,
    Validation,
    count_loaders,
    limit_threads,
)


def train_convnet(
    training: Collection,
    validation: Collection,
    settings: TrainingSettings | None = None,
    report: Report | None = None,
) -> ConvNetEncoder:
    """Train an encoder.

    Parameters
    ----------
    training, validation : Collection
        Clips of the training tracks, to learn from, and of the validation tracks, to select by.
    settings : TrainingSettings, optional
        Everything that decides the result, the seed included.
    report : callable, optional
        Gets the metrics of each epoch and its number.

    Returns
    -------
    ConvNetEncoder
        The weights of the epoch with the best validation mAP, on the CPU.

    Raises
    ------
    TrainingError
        The loss is not finite, or no triplet was found in a whole epoch.
    """
    settings = settings or TrainingSettings()
    module = TripletModule(training, settings)
    own_threads = max(1, (os.cpu_count() or 1) - count_loaders())
    with tempfile.TemporaryDirectory() as folder, limit_threads(own_threads), _quiet_lightning():
        best = ModelCheckpoint(folder, monitor=MONITOR, mode="max", save_weights_only=True)
        stopping = EarlyStopping(MONITOR, mode="max", patience=settings.patience)
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            callbacks=[Validation(validation, report or _ignore), stopping, best],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            reload_dataloaders_every_n_epochs=1,
        )
        trainer.fit(module)
        # Tensors only: nothing is unpickled, not even our own checkpoint.
        state = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    module.load_state_dict(state)
    return ConvNetEncoder(module.network.cpu())


def plot_history(history: pd.DataFrame) -> Figure:
    """Draw how a run went: the loss terms, and validation mAP, by epoch.

    Parameters
    ----------
    history : pandas.DataFrame
        A row per epoch; columns named as `train_convnet` reports them.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(10, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, prefix, label in ((left, "loss/", "loss"), (right, "validation/", "mAP")):
        for name in (column for column in map(str, history) if column.startswith(prefix)):
            axes.plot(history.index, history[name], marker=".", label=name.removeprefix(prefix))
        axes.set(xlabel="epoch", ylabel=label)
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _ignore(*_: object) -> None:
    """Report nothing."""


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's notices about devices and its tips out of the logs."""
    loggers = [
        logging.getLogger(f"lightning.pytorch{name}") for name in ("", ".utilities.rank_zero")
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
