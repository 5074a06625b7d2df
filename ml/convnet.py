"""The ConvNet encoder (paper, section 2.2): mel front end, network, 128 units on the unit sphere.

Some of the 128 may hold the clip's timbre in the place of what the network learned.

The variant is a categorical hyperparameter: one of torchvision's families from random weights, or
`compact`, a depthwise-separable network of our own that trains on two CPU cores in minutes.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.spectrogram import FrontEnd, SpectrogramSettings, compress
from ml.timbre import Timbre

EMBEDDING_DIM = 128

Variant = Literal["compact", "resnet18", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny"]


@dataclass(frozen=True)
class ConvNetSettings:
    """Architecture of a ConvNet encoder."""

    variant: Variant = "compact"
    spectrogram: SpectrogramSettings = field(default_factory=SpectrogramSettings)
    widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of the stages of `compact`; torchvision's variants have their own."""
    timbre: int = 0
    """Dimensions, of the 128, that hold the timbre (`ml.timbre`); 0 is the paper's encoder."""
    timbre_share: float = 0.2
    """Of every squared distance, where there is a timbre."""

    def __post_init__(self) -> None:
        if not 0 <= self.timbre < EMBEDDING_DIM:
            raise ValueError(f"timbre must be from 0 to {EMBEDDING_DIM - 1}, not {self.timbre}")
        if not 0 < self.timbre_share < 1:
            raise ValueError(f"timbre_share must lie between 0 and 1, not {self.timbre_share}")


class ConvNet(nn.Module):
    """Waveform in, unit vector out.

    Parameters
    ----------
    settings : ConvNetSettings
        Architecture; weights are drawn from torch's global generator.

    Notes
    -----
    Input ``[B, samples]`` float32 at 16 kHz, output ``[B, 128]`` float32 of norm 1.

    In training mode the output is what is learned alone, ``[B, 128 - timbre]``: a network whose
    loss knew the timbre too would leave to it what both can say.
    """

    def __init__(self, settings: ConvNetSettings) -> None:
        super().__init__()
        self.settings = settings
        self.front_end = FrontEnd(settings.spectrogram)
        self.trunk = _build_trunk(settings)
        # Channels last: on a CPU the convolutions and their gradients take about half the time.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.timbre = (
            Timbre(settings.spectrogram.n_mels, settings.timbre) if settings.timbre else None
        )

    def forward(self, waveform: Tensor) -> Tensor:
        """Embed a batch of waveforms."""
        return self.embed_mel(self.front_end.mel(waveform))

    def embed_mel(self, mel: Tensor) -> Tensor:
        """Embed mel spectrograms computed before: ``[B, n_mels, frames]``."""
        log_mel = compress(mel, self.settings.spectrogram.floor)
        image = self.front_end.image(log_mel).contiguous(memory_format=torch.channels_last)
        learned = functional.normalize(self.trunk(image), dim=1)
        if self.timbre is None or self.training:
            return learned
        # Squared distances of the parts add up, each by its share.
        share = self.settings.timbre_share
        parts = [(1 - share) ** 0.5 * learned, share**0.5 * self.timbre(log_mel)]
        return functional.normalize(torch.cat(parts, 1), dim=1)


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


class BandStatistics(nn.Module):
    """Mean and standard deviation over time of every band and channel of an image.

    What a pooled feature map forgets: the long-term spectrum, by which a recording is known again
    (the mean of MFCCs, whitened, does well on tracks by nothing else).

    Shape
    -----
    Input (B, channels, bands, frames), output (B, 2 channels bands).
    """

    def forward(self, image: Tensor) -> Tensor:
        """Summarise over the frames."""
        variance, mean = torch.var_mean(image, dim=3, correction=0)
        # A band that never changes has no slope: the square root of zero would have an endless one.
        return torch.cat([mean.flatten(1), (variance + 1e-5).sqrt().flatten(1)], 1)


class Compact(nn.Module):
    """A strided stem, per width a strided and a residual block, and beside them band statistics.

    Parameters
    ----------
    widths : tuple of int
        Channels of the stem and of each stage.
    bands : int
        Of the image.
    outputs : int
        Units of the head.

    Shape
    -----
    Input (B, 3, bands, frames), output (B, outputs), not yet normalised.
    """

    def __init__(self, widths: tuple[int, ...], bands: int, outputs: int) -> None:
        super().__init__()
        # Four frames a step: twice the examples per second of two, and no worse neighbours.
        stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 5, (2, 4), 2, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        )
        stages = [
            nn.Sequential(SeparableBlock(inputs, outputs, 2), SeparableBlock(outputs, outputs, 1))
            for inputs, outputs in pairwise(widths)
        ]
        pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.features = nn.Sequential(stem, *stages, pool)
        self.statistics = nn.Sequential(BandStatistics(), nn.BatchNorm1d(6 * bands))
        self.head = nn.Linear(widths[-1] + 6 * bands, outputs)

    def forward(self, image: Tensor) -> Tensor:
        """Embed a batch of images."""
        joined = torch.cat([self.features(image), self.statistics(image)], 1)
        embedding: Tensor = self.head(joined)
        return embedding


def _build_trunk(settings: ConvNetSettings) -> nn.Module:
    outputs = EMBEDDING_DIM - settings.timbre
    if settings.variant == "compact":
        return Compact(settings.widths, settings.spectrogram.n_mels, outputs)
    from torchvision.models import get_model  # seconds to import, seldom needed

    network: nn.Module = get_model(settings.variant, weights=None)
    name, classifier = [
        (name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)
    ][-1]
    parent, _, attribute = name.rpartition(".")
    head = nn.Linear(classifier.in_features, outputs)
    setattr(network.get_submodule(parent), attribute, head)
    return network


def count_parameters(network: nn.Module) -> int:
    """Count the trainable numbers of a network."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def seed_weights(settings: ConvNetSettings, seed: int) -> ConvNet:
    """Build a ConvNet whose weights are drawn from a seed, without touching the global state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvNet(settings)
