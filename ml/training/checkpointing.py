"""How Lightning keeps the checkpoints of a training."""

from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import CheckpointIO

from ml.training.checkpoints import FILE, read_checkpoint, write_checkpoint
from ml.training.precision import Precision


class CheckpointFiles(CheckpointIO):
    """Lightning's way to the disk: written whole or not at all, read without unpickling."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any | None = None,  # noqa: ANN401, ARG002 (Lightning's signature)
    ) -> None:
        """Replace a checkpoint."""
        write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = None,  # noqa: ANN401 (Lightning's signature)
        weights_only: bool | None = None,  # noqa: ARG002 (never anything else)
    ) -> dict[str, Any]:
        """Read a checkpoint; a damaged one is refused."""
        return read_checkpoint(Path(path), map_location or "cpu")

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint, if it is there."""
        Path(path).unlink(missing_ok=True)


class Checkpoints(Callback):
    """Keeps a checkpoint after each epoch; has to come after the callbacks whose state it keeps.

    Parameters
    ----------
    folder : Path
        Made if absent.
    key : str
        Of the training: everything that decides its result.
    precision : {"float32", "bf16", "fp16"}
        Of the training.
    """

    def __init__(self, folder: Path, key: str, precision: Precision) -> None:
        self._folder = folder
        self._own = {"key": key, "precision": precision}

    def state_dict(self) -> dict[str, Any]:
        """Say what the checkpoint belongs to."""
        return self._own

    def on_train_epoch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002
    ) -> None:
        """Keep the state, which is the same in all processes; that of rank 0 writes it."""
        trainer.save_checkpoint(self._folder / FILE, weights_only=False)
