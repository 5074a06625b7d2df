"""How processes share a minibatch, and mine all of it.

Each of them embeds its part of the *same* minibatch; the embeddings are gathered with their
gradients, so that mining and loss see the whole, in the order in which one process would.
DistributedDataParallel then averages the gradients of the processes. Each process differentiates
the whole loss, and gathering adds up what all of them ask of one embedding, so that the average
is the gradient that one process would have had.
"""

from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.nn.functional import all_gather


def count_processes() -> int:
    """Count the processes that share the current minibatch."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def own_rows(clips: int) -> Tensor:
    """Rows of a minibatch that this process embeds: some of the crops, plain and transformed.

    Parameters
    ----------
    clips : int
        Of the minibatch, the second half transformed from the first.

    Returns
    -------
    Tensor
        Shape (clips / processes,), int64.
    """
    processes = count_processes()
    rank = distributed.get_rank() if processes > 1 else 0
    return torch.arange(clips).reshape(2, processes, -1)[:, rank].flatten()


def gather_rows(part: Tensor) -> Tensor:
    """Put together what each process made of its `own_rows`, gradients included.

    Parameters
    ----------
    part : Tensor
        Shape (B / processes, D).

    Returns
    -------
    Tensor
        Shape (B, D), rows in the order of the minibatch, the same in each process.
    """
    processes = count_processes()
    if processes == 1:
        return part
    parts: Any = torch.stack(all_gather(part.contiguous()))  # type: ignore[no-untyped-call]
    whole: Tensor = parts.reshape(processes, 2, -1, part.shape[1]).transpose(0, 1).flatten(0, 2)
    return whole
