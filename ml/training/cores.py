"""How cores are shared between the network and the loaders of its minibatches."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def count_loaders(cores: int) -> int:
    """Count the loader processes: of all cores but one, which is left to the network."""
    return max(1, cores - 1)


def count_threads(cores: int) -> int:
    """Count the threads that the network computes in beside its loaders."""
    return max(1, cores - count_loaders(cores))


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Let torch compute in so many threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
