"""Equaliser: decibels per octave, and what lies above and below the cutoff."""

import math

import pytest
import torch
from torch import Tensor

from ml.effects.convolution import convolve_circularly
from ml.effects.equalizer import LEAD, equalizer_taps

RATE = 16_000
OFF = math.inf


def equalize(waveform: Tensor, slope: list[float], lowpass: list[float]) -> Tensor:
    taps = equalizer_taps(torch.tensor(slope), torch.tensor(lowpass), RATE)
    return convolve_circularly(waveform, taps, LEAD)


def sine(frequency: float) -> Tensor:
    return torch.sin(2 * math.pi * frequency * torch.arange(RATE) / RATE)[None]


def decibels(output: Tensor, waveform: Tensor) -> Tensor:
    return 10 * torch.log10(output.square().mean(1) / waveform.square().mean(1))


@pytest.mark.parametrize("frequency", [125, 500, 1000, 4000])
def test_tilt_raises_each_octave_by_the_slope(frequency: int) -> None:
    waveform = sine(frequency).expand(3, -1)
    output = equalize(waveform, [-1.5, 0.0, 1.5], [OFF] * 3)
    expected = torch.tensor([-1.5, 0.0, 1.5]) * math.log2(frequency / 1000)
    torch.testing.assert_close(decibels(output, waveform), expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("cutoff", [3000.0, 3003.9, 5005.0, 7500.0])
def test_lowpass_removes_what_is_above_its_cutoff_and_nothing_below(cutoff: float) -> None:
    for distance in (20, 50, 400):
        above, below = sine(round(cutoff) + distance), sine(round(cutoff) - distance)
        assert decibels(equalize(above, [0.0], [cutoff]), above) < -40
        assert decibels(equalize(below, [0.0], [cutoff]), below).abs() < 1


def test_equalizer_that_does_nothing_keeps_any_length_and_phase() -> None:
    noise = torch.randn(1, 10_007, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(equalize(noise, [0.0], [OFF]), noise)


def test_equalizer_taps_are_symmetric_around_the_present() -> None:
    taps = equalizer_taps(torch.tensor([1.5]), torch.tensor([4000.0]), RATE)[0]
    torch.testing.assert_close(taps[1:LEAD], taps[LEAD + 1 :].flip(0))
    assert int(taps.argmax()) == LEAD
