"""What a training runs on."""

from dataclasses import dataclass
from typing import Literal

import torch

from ml.errors import TrainingError

Accelerator = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class Hardware:
    """Where a training runs; its result differs by rounding alone.

    Parameters
    ----------
    accelerator : {"auto", "cpu", "gpu"}
        A GPU if there is one, or which.
    devices : int
        Processes of this machine, each with a GPU of its own or a share of the cores. The crops
        of a minibatch must be a multiple.
    """

    accelerator: Accelerator = "auto"
    devices: int = 1

    def __post_init__(self) -> None:
        if self.devices < 1:
            raise TrainingError(f"devices must be at least 1, not {self.devices}.")

    @property
    def uses_gpu(self) -> bool:
        """Whether the network computes on a GPU."""
        return self.accelerator == "gpu" or (
            self.accelerator == "auto" and torch.cuda.is_available()
        )
