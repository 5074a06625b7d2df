"""How loaders and network share the cores."""

import os
from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from ml.training.cores import LOADER_NICENESS, give_way, limit_threads


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (2, 2), (3, 3), (8, 3)])
@pytest.mark.usefixtures("three_threads")
def test_threads_are_limited_within_the_block_only(asked: int, given: int) -> None:
    with pytest.raises(ValueError, match=f"inside: {given}"), limit_threads(asked):
        raise ValueError(f"inside: {torch.get_num_threads()}")
    assert torch.get_num_threads() == 3


class Niceness(Dataset[int]):
    """What each loader is."""

    def __len__(self) -> int:
        """Count them."""
        return 2

    def __getitem__(self, index: int) -> int:
        """Ask the system."""
        return os.nice(0)


def test_loaders_give_way_and_the_network_does_not() -> None:
    before = os.nice(0)
    loader = DataLoader(
        Niceness(),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="fork",
        worker_init_fn=give_way,
    )
    assert list(loader) == [min(19, before + LOADER_NICENESS)] * 2
    assert os.nice(0) == before
