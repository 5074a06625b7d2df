"""Batch normalisation over the parts of a minibatch that several processes hold.

Torch's own synchronises on GPUs only; on the CPU the one below takes its place. Without either,
each process would normalise by its own clips, and the embeddings, hence mining and loss, would
depend on the number of processes.
"""

import torch
from torch import Tensor, nn
from torch.distributed import get_world_size
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm


class SynchronizedBatchNorm(_BatchNorm):
    """As `torch.nn.BatchNorm2d` over the clips of all processes together, on any device.

    The sums over each process's clips, and their gradients, are added over the processes: first
    for the mean and then, for precision, for the squared deviations from it. Each process has to
    bring as many clips as the others.

    Shape
    -----
    Input and output (B, channels, ...).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; by the running statistics in evaluation mode."""
        if not self.training:
            return super().forward(x)
        over = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        values = x.float()
        count = values.numel() // values.shape[1] * get_world_size()
        mean = all_reduce(values.sum(over)) / count  # type: ignore[no-untyped-call]
        centred = values - mean.reshape(shape)
        variance = all_reduce(centred.square().sum(over)) / count  # type: ignore[no-untyped-call]
        self._follow(mean.detach(), variance.detach() * count / max(1, count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normalised: Tensor = centred * scale.reshape(shape) + self.bias.reshape(shape)
        return normalised.to(x.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 (torch's name)
        if input.ndim < 2:
            raise ValueError(f"expected (batch, channels, ...), not {tuple(input.shape)}")


def synchronize_batch_norm(network: nn.Module, *, gpu: bool) -> None:
    """Let every batch normalisation of a network work over all processes, in place.

    Parameters
    ----------
    network : torch.nn.Module
        Its parameters, statistics and their names stay.
    gpu : bool
        Whether it will compute on one, where torch's own is faster.
    """
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                setattr(parent, name, _convert(child, gpu=gpu))


def _convert(layer: nn.BatchNorm1d | nn.BatchNorm2d, *, gpu: bool) -> nn.Module:
    if gpu:
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(layer)  # type: ignore[no-untyped-call]
        return converted
    momentum = 0.1 if layer.momentum is None else layer.momentum
    synchronized = SynchronizedBatchNorm(layer.num_features, layer.eps, momentum)
    synchronized.load_state_dict(layer.state_dict())
    return synchronized.train(layer.training)
