"""Every variant maps a waveform to a unit vector; the seed decides the weights."""

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from ml.convnet import (
    BandStatistics,
    Compact,
    ConvNet,
    ConvNetSettings,
    SeparableBlock,
    Variant,
    count_parameters,
    seed_weights,
)
from ml.spectrogram import mel_spectrogram

SOUND = torch.randn(2, 40_000, generator=torch.Generator().manual_seed(0)) / 10
SOUND[1] = torch.sin(torch.arange(40_000) / 10)


@pytest.mark.parametrize("variant", get_args(Variant))
def test_every_variant_gives_unit_vectors_that_depend_on_the_sound(variant: Variant) -> None:
    network = seed_weights(ConvNetSettings(variant=variant), 0).eval()
    with torch.inference_mode():
        vectors, alone = network(SOUND), network(SOUND[1:])
        learning = network.train()(SOUND)  # untrained statistics hide the input in some variants
    assert vectors.shape == (2, 128)
    assert vectors.dtype == torch.float32
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert torch.allclose(vectors[1:], alone, atol=1e-5)
    assert not torch.allclose(learning[0], learning[1], atol=1e-2)


@pytest.mark.parametrize("samples", [1_025, 16_000, 80_000])
def test_any_length_is_embedded(tiny_encoder: ConvNetSettings, samples: int) -> None:
    network = seed_weights(tiny_encoder, 0).eval()
    assert network(torch.randn(3, samples)).shape == (3, 128)


def test_gradients_reach_every_parameter(tiny_encoder: ConvNetSettings) -> None:
    network = seed_weights(tiny_encoder, 0)
    network(SOUND)[:, :64].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any() or parameter.ndim == 1, name


def weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_seed_decides_the_weights_and_the_global_generator_is_left_alone(
    tiny_encoder: ConvNetSettings,
) -> None:
    before = torch.random.get_rng_state()
    first = weights(seed_weights(tiny_encoder, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(5)
    assert torch.equal(weights(seed_weights(tiny_encoder, 1)), first)
    assert not torch.equal(weights(seed_weights(tiny_encoder, 2)), first)


def test_widths_are_the_channels_of_the_stages() -> None:
    network = Compact((4, 8, 16), bands=32, outputs=128)
    image = torch.randn(2, 3, 32, 40)
    shapes = []
    for stage in list(network.features)[:-1]:
        image = stage(image)
        shapes.append(tuple(image.shape[1:]))
    assert shapes == [(4, 16, 10), (8, 8, 5), (16, 4, 3)]


def test_block_adds_its_input_only_where_shapes_agree() -> None:
    image = torch.randn(2, 4, 8, 8)
    for inputs, outputs, stride, residual in ((4, 4, 1, True), (4, 4, 2, False), (4, 6, 1, False)):
        block = SeparableBlock(inputs, outputs, stride).eval()
        last = block.layers[-2]
        assert isinstance(last, nn.Conv2d)
        nn.init.zeros_(last.weight)  # nothing of the layers comes through
        y = block(image)
        assert y.shape == (2, outputs, 8 // stride, 8 // stride)
        assert torch.equal(y, image if residual else torch.zeros_like(y))


def test_statistics_are_those_of_each_band_over_time() -> None:
    image = torch.randn(2, 3, 5, 40)
    statistics = BandStatistics()(image).view(2, 2, 3, 5)
    for clip, channel, band in ((0, 0, 0), (1, 2, 4)):
        row = image[clip, channel, band].numpy()
        assert statistics[clip, 0, channel, band].item() == pytest.approx(row.mean(), abs=1e-5)
        assert statistics[clip, 1, channel, band].item() == pytest.approx(row.std(), abs=1e-3)


def test_statistics_of_silence_have_a_gradient() -> None:
    image = torch.zeros(1, 3, 4, 10, requires_grad=True)
    BandStatistics()(image).sum().backward()
    assert image.grad is not None
    assert torch.isfinite(image.grad).all()


def test_waveform_and_its_mel_spectrogram_give_the_same_vector(
    tiny_encoder: ConvNetSettings,
) -> None:
    network = seed_weights(tiny_encoder, 0).eval()
    mel = mel_spectrogram(SOUND, tiny_encoder.spectrogram)
    assert torch.equal(network.embed_mel(mel), network(SOUND))


def test_parameters_are_counted(tiny_encoder: ConvNetSettings) -> None:
    network = ConvNet(tiny_encoder)
    total = sum(math.prod(parameter.shape) for parameter in network.parameters())
    assert count_parameters(network) == total
    network.front_end.requires_grad_(requires_grad=False)
    front = sum(math.prod(p.shape) for p in network.front_end.parameters())
    assert count_parameters(network) == total - front
    assert count_parameters(ConvNet(replace(tiny_encoder, widths=(8, 32)))) > total
