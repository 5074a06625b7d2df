"""The places of the processes that share a training."""

from dataclasses import dataclass, field
from pathlib import Path

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from ml.training.cores import count_cores
from ml.training.hardware import Hardware


class Ranks(ClusterEnvironment):
    """Tells Lightning which of the processes this one is; they are started by `run_followers`.

    Parameters
    ----------
    rank : int
        0 is the process that asked for the training.
    size : int
        Number of processes.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__()
        self._rank, self._size = rank, size

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    @property
    def main_address(self) -> str:
        """Name the only machine."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """Name no port: `Seat.meet` comes before Lightning would use one."""
        return 0

    @staticmethod
    def detect() -> bool:
        """Never: it is asked for."""
        return False

    def world_size(self) -> int:
        """Count the processes."""
        return self._size

    def set_world_size(self, size: int) -> None:
        """Keep what is known already."""

    def global_rank(self) -> int:
        """Which of the processes this is."""
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        """Keep what is known already."""

    def local_rank(self) -> int:
        """Which of the processes on this machine this is."""
        return self._rank

    def node_rank(self) -> int:
        """Count from the only machine."""
        return 0


@dataclass(frozen=True)
class Seat:
    """One process's place among those of a training.

    Parameters
    ----------
    hardware : Hardware
        Of the training.
    rank : int
        0 is the process that asked for the training: it validates and reports.
    meeting : Path, optional
        File through which several processes find each other; none there when they begin.
    """

    hardware: Hardware = field(default_factory=Hardware)
    rank: int = 0
    meeting: Path | None = None

    @property
    def cores(self) -> int:
        """Cores for this process, its loaders included."""
        return max(1, count_cores() // self.hardware.devices)

    @property
    def backend(self) -> str:
        """How torch passes tensors between the processes."""
        return "nccl" if self.hardware.uses_gpu else "gloo"

    def meet(self) -> None:
        """Wait for the processes in the other seats, if there are any.

        They meet by a file: a port that is free now may be taken before rank 0 listens there.
        Lightning uses the group that it finds.
        """
        if self.meeting:
            distributed.init_process_group(
                self.backend,
                init_method=self.meeting.as_uri(),
                rank=self.rank,
                world_size=self.hardware.devices,
            )

    def build_strategy(self) -> DDPStrategy | str:
        """Give Lightning's strategy for it."""
        if self.hardware.devices == 1:
            return "auto"
        ranks = Ranks(self.rank, self.hardware.devices)
        return DDPStrategy(cluster_environment=ranks, process_group_backend=self.backend)
