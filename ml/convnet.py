"""The ConvNet encoder (paper, section 2.2): mel front end, network, 128 units on the unit sphere.

The variant is a categorical hyperparameter: one of torchvision's families from random weights, or
`compact`, a depthwise-separable network of our own that trains on two CPU cores in minutes.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.spectrogram import FrontEnd, SpectrogramSettings

EMBEDDING_DIM = 128

Variant = Literal["compact", "resnet18", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny"]


@dataclass(frozen=True)
class ConvNetSettings:
    """Architecture of a ConvNet encoder."""

    variant: Variant = "compact"
    spectrogram: SpectrogramSettings = field(default_factory=SpectrogramSettings)
    widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the stages of `compact`; torchvision's variants have their own."""


class ConvNet(nn.Module):
    """Waveform in, unit vector out.

    Parameters
    ----------
    settings : ConvNetSettings
        Architecture; weights are drawn from torch's global generator.

    Notes
    -----
    Input ``[B, samples]`` float32 at 16 kHz, output ``[B, 128]`` float32 of norm 1.
    """

    def __init__(self, settings: ConvNetSettings) -> None:
        super().__init__()
        self.settings = settings
        self.front_end = FrontEnd(settings.spectrogram)
        # Channels last: on a CPU the convolutions and their gradients take about half the time.
        self.trunk = _build_trunk(settings).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, waveform: Tensor) -> Tensor:
        """Embed a batch: ``[B, samples]`` to ``[B, 128]``."""
        image = self.front_end(waveform).contiguous(memory_format=torch.channels_last)
        return functional.normalize(self.trunk(image), dim=1)


class SeparableBlock(nn.Module):
    """Inverted residual with a depthwise convolution (Sandler et al., MobileNetV2, 2018).

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    stride : int
        Of the depthwise convolution; with 1 and equal channels the input is added to the output.
    expansion : int
        Hidden channels per input channel.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int = 2) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block: ``[B, inputs, bands, frames]`` to ``[B, outputs, ...]``."""
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


def build_compact(widths: tuple[int, ...]) -> nn.Sequential:
    """Build the compact network: a strided stem, then per width a strided and a residual block.

    Parameters
    ----------
    widths : tuple of int
        Channels of the stem and of each stage.

    Returns
    -------
    torch.nn.Sequential
        ``[B, 3, bands, frames]`` to ``[B, 128]``, not yet normalised.
    """
    stem = nn.Sequential(
        nn.Conv2d(3, widths[0], 5, 2, 2, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    )
    stages = [
        nn.Sequential(SeparableBlock(inputs, outputs, 2), SeparableBlock(outputs, outputs, 1))
        for inputs, outputs in pairwise(widths)
    ]
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], EMBEDDING_DIM)
    )
    return nn.Sequential(stem, *stages, head)


def _build_trunk(settings: ConvNetSettings) -> nn.Module:
    if settings.variant == "compact":
        return build_compact(settings.widths)
    from torchvision.models import get_model  # seconds to import, seldom needed

    network: nn.Module = get_model(settings.variant, weights=None)
    name, classifier = [
        (name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)
    ][-1]
    parent, _, attribute = name.rpartition(".")
    setattr(
        network.get_submodule(parent), attribute, nn.Linear(classifier.in_features, EMBEDDING_DIM)
    )
    return network


def count_parameters(network: nn.Module) -> int:
    """Count the trainable numbers of a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def seed_weights(settings: ConvNetSettings, seed: int) -> ConvNet:
    """Build a ConvNet whose weights are drawn from a seed, without touching the global state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvNet(settings)
