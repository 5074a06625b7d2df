"""Two processes that share a training learn what one does."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from ml.collection import Collection
from ml.encoders import ConvNetEncoder
from ml.errors import TrainingError
from ml.training.batch_norm import SynchronizedBatchNorm, synchronize_batch_norm
from ml.training.followers import run_followers
from ml.training.gathering import gather_rows, own_rows
from ml.training.hardware import Hardware
from ml.training.seats import Seat
from ml.training.session import train_convnet
from ml.training.settings import TrainingSettings
from ml.triplets import TripletSettings

PAIR = Hardware(accelerator="cpu", devices=2)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let spawned processes find this module: they are given the parent's path."""
    monkeypatch.syspath_prepend(Path(__file__).parents[3])


@dataclass
class Journal:
    """What a run reported."""

    epochs: list[dict[str, float]]

    def __call__(self, metrics: Mapping[str, float], epoch: int) -> None:
        """Take the metrics of an epoch."""
        assert epoch == len(self.epochs)
        self.epochs.append(dict(metrics))


def train(
    collection: Collection,
    settings: TrainingSettings,
    hardware: Hardware,
    folder: Path | None = None,
) -> tuple[ConvNetEncoder, list[dict[str, float]]]:
    journal = Journal([])
    data = collection.of("train"), collection.of("validation")
    encoder = train_convnet(*data, settings, journal, hardware=hardware, folder=folder)
    return encoder, journal.epochs


def test_two_processes_learn_what_one_does(
    noises: Collection, tiny_training: TrainingSettings, tmp_path: Path
) -> None:
    # Semi-hard mining leaps: the slightest rounding can put another negative first.
    settings = replace(tiny_training, triplets=TripletSettings(mining="all"))
    alone, expected = train(noises, settings, Hardware(accelerator="cpu"))
    shared, found = train(noises, settings, PAIR, tmp_path)
    assert len(found) == len(expected) == 2
    for one, other in zip(expected, found, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-3)
        for term in ("transformed", "track", "genre", "mood"):
            assert other[f"loss/{term}"] == pytest.approx(one[f"loss/{term}"], rel=1e-3)
            assert other[f"pairs/{term}"] == one[f"pairs/{term}"], "mined over the whole minibatch"
        assert other["validation/map"] == pytest.approx(one["validation/map"], abs=0.02)
    # Adam makes of a gradient's sign, where that is all rounding, a step of the learning rate.
    for name, tensor in alone.tensors.items():
        torch.testing.assert_close(shared.tensors[name], tensor, rtol=1e-3, atol=3e-3)
    again, epochs = train(noises, settings, PAIR, tmp_path)  # finished: from its checkpoint
    assert [m["loss"] for m in epochs] == [m["loss"] for m in found]
    assert all(torch.equal(again.tensors[n], tensor) for n, tensor in shared.tensors.items())


def test_minibatch_that_cannot_be_shared_is_refused(
    noises: Collection, tiny_training: TrainingSettings
) -> None:
    with pytest.raises(TrainingError, match=r"12 crops .* cannot be shared by 5 devices"):
        train(noises, tiny_training, Hardware(accelerator="cpu", devices=5))


def embed_part(seat: Seat) -> tuple[Tensor, list[Tensor], nn.Module]:
    """Pass this process's rows through a network; the loss of all rows, and the gradients."""
    seat.meet()
    network, clips, targets = make_problem()
    synchronize_batch_norm(network, gpu=False)
    wrapped = nn.parallel.DistributedDataParallel(network)
    result = gather_rows(wrapped(clips[own_rows(len(clips))]))
    loss = (result * targets).square().mean()
    torch.autograd.backward(loss)
    return result.detach(), [p.grad for p in network.parameters() if p.grad is not None], network


def make_problem() -> tuple[nn.Module, Tensor, Tensor]:
    """Draw a network with both kinds of batch norm, clips and what is wanted of them."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.BatchNorm1d(5), nn.Unflatten(1, (1, 5)), nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3),
            nn.Flatten(), nn.Linear(3 * 3 * 5, 4),
        )  # fmt: skip
    clips = 3 + torch.randn(8, 5, 7, generator=generator)
    return network, clips, torch.randn(8, 4, generator=generator)


def test_gathered_rows_gradients_and_statistics_are_those_of_one_process() -> None:
    network, clips, targets = make_problem()
    expected = network(clips)
    torch.autograd.backward((expected * targets).square().mean())
    with run_followers(PAIR, embed_part) as seat:
        result, gradients, shared = embed_part(seat)
        torch.testing.assert_close(result, expected.detach())
        for found, parameter in zip(gradients, network.parameters(), strict=True):
            torch.testing.assert_close(found, parameter.grad)
        assert isinstance(shared.get_submodule("3"), SynchronizedBatchNorm)
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(shared.state_dict()[name], tensor)
        shared.eval(), network.eval()
        torch.testing.assert_close(shared(clips), network(clips))


def meet(seat: Seat) -> None:
    """Add something up with the others."""
    seat.meet()
    distributed.all_reduce(torch.zeros(1))


def die(seat: Seat) -> None:
    """Leave the others alone."""
    seat.meet()
    os.kill(os.getpid(), signal.SIGKILL)


class Stillborn:
    """Work that cannot be begun in another process."""

    def __call__(self, seat: Seat) -> None:
        """Never reached."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return int, ("no number",)


@pytest.mark.parametrize(("work", "code"), [(die, -9), (Stillborn(), 1)])
def test_process_that_dies_is_told_of(work: Callable[[Seat], None], code: int) -> None:
    def lead() -> None:
        with run_followers(PAIR, work) as seat:
            meet(seat)

    with pytest.raises(TrainingError, match=f"exit code {code}"):
        lead()
    assert not distributed.is_initialized()
    assert not multiprocessing.active_children()
