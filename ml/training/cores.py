"""How cores are shared between the network and the loaders of its minibatches."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

LOADER_NICENESS = 10
"""A tenth of a core is left to a loader even where other programs want all of it."""


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0))


def give_way(_: int) -> None:
    """Let this process, a loader of minibatches, compute while the network waits, and little else.

    Loader and network have all cores each. At equal rank they would take turns within an operation
    of the network, whose threads all wait for the last one; with the cores divided between them,
    those of the loaders would idle most of the time.
    """
    os.nice(LOADER_NICENESS)


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Let torch compute in so many threads within the block, or in as few as it does already."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(threads, before)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
