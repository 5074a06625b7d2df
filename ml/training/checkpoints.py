"""Checkpoints of a training, from which it goes on after a kill as if nothing had happened.

A checkpoint is one file, replaced whole after each epoch: weights, optimiser, schedule, the
metrics of the epochs so far and the best weights among them. It carries a digest of itself and
the key of the training that it belongs to; tensors and plain values only, so that reading it
executes nothing.
"""

import hashlib
import io
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ml.storage import replace_file, sweep_temporaries
from ml.training.precision import Precision

logger = logging.getLogger(__name__)

FILE = "training.ckpt"
DIGEST_BYTES = 32


@dataclass(frozen=True)
class Past:
    """What a training that goes on has to know of itself; the rest is between Lightning and disk.

    Parameters
    ----------
    precision : {"float32", "bf16", "fp16"}
        That it was begun in.
    history : list of dict
        Metrics of each epoch so far.
    best : dict of Tensor
        Weights of the best epoch so far, by validation.
    """

    precision: Precision
    history: list[dict[str, float]]
    best: dict[str, Tensor]


def write_checkpoint(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Replace a checkpoint, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    content = buffer.getvalue()
    with replace_file(path) as file:
        file.write(hashlib.sha256(content).digest() + content)


def read_checkpoint(path: Path, location: Any = "cpu") -> dict[str, Any]:  # noqa: ANN401 (torch's)
    """Read a checkpoint; tensors go to a device.

    Raises
    ------
    ValueError
        It is damaged.
    """
    stored = path.read_bytes()
    digest, content = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise ValueError(f"{path} does not match its digest")
    checkpoint: dict[str, Any] = torch.load(
        io.BytesIO(content), map_location=location, weights_only=True
    )
    return checkpoint


def find_checkpoint(folder: Path, key: str) -> Past | None:
    """Read the checkpoint of a training that was interrupted.

    Parameters
    ----------
    folder : Path
        Where `ml.training.checkpointing.Checkpoints` kept it; need not exist.
    key : str
        Of the training.

    Returns
    -------
    Past or None
        None, with a line in the log, if the checkpoint is damaged or of another training.
    """
    sweep_temporaries(folder)
    path = folder / FILE
    if not path.exists():
        return None
    try:
        checkpoint = read_checkpoint(path)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError):
        logger.warning("The checkpoint %s is damaged: training starts anew", path)
        return None
    own = checkpoint["callbacks"]["Checkpoints"]
    if own["key"] != key:
        logger.warning("The checkpoint %s is of another training: training starts anew", path)
        return None
    selection = checkpoint["callbacks"]["Validation"]
    logger.info("Going on after epoch %d, from %s", len(selection["history"]), path)
    return Past(own["precision"], selection["history"], selection["best"])


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a training whose result is safe, and its folder if left empty."""
    sweep_temporaries(folder)
    (folder / FILE).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
