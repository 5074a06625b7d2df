"""Spectral tilt: decibels per octave."""

import pytest
import torch

from ml.equalizer import tilt_spectrum

RATE = 16_000


@pytest.mark.parametrize("frequency", [125, 500, 1000, 4000])
def test_tilt_spectrum_raises_each_octave_by_the_slope(frequency: int) -> None:
    sine = torch.sin(2 * torch.pi * frequency * torch.arange(RATE) / RATE).expand(3, -1)
    slope = torch.tensor([-1.5, 0.0, 1.5])
    output = tilt_spectrum(sine, slope, RATE)
    decibels = 10 * torch.log10(output.square().mean(1) / sine.square().mean(1))
    octaves = torch.log2(torch.tensor(frequency / 1000))
    torch.testing.assert_close(decibels, slope * octaves, rtol=0, atol=0.01)


def test_tilt_spectrum_keeps_length_and_phase_of_any_length() -> None:
    noise = torch.randn(1, 10_007, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(tilt_spectrum(noise, torch.zeros(1), RATE), noise)
