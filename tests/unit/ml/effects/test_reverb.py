"""Rooms: decay time by Schroeder's integration, and energy."""

import numpy as np
import pytest
import torch

from ml.effects.convolution import convolve_circularly
from ml.effects.reverb import add_direct_sound, impulse_responses

RATE = 16_000


def reverberate(waveform: torch.Tensor, rooms: torch.Tensor, wet: torch.Tensor) -> torch.Tensor:
    return convolve_circularly(waveform, add_direct_sound(rooms, wet))


def measure_rt60(response: torch.Tensor) -> float:
    """Decay time by Schroeder's backward integration, from -5 to -25 dB (ISO 3382's T20)."""
    energy = response.double().square().flip(0).cumsum(0).flip(0)
    decibels = 10 * torch.log10(energy / energy[0])
    inside = ((decibels < -5) & (decibels > -25)).nonzero()[:, 0].numpy()
    slope = np.polyfit(inside / RATE, decibels[inside].numpy(), 1)[0]
    return float(-60 / slope)


@pytest.mark.parametrize("decay", [0.1, 0.3, 1.0])
def test_impulse_responses_decay_in_the_time_asked_for(decay: float) -> None:
    responses = impulse_responses(torch.arange(16), torch.full((16,), decay), RATE, stream=1)
    measured = [measure_rt60(response) for response in responses]
    assert np.mean(measured) == pytest.approx(decay, rel=0.03)
    assert np.abs(np.array(measured) / decay - 1).max() < 0.15


def test_reverberation_of_an_impulse_decays_in_the_time_asked_for() -> None:
    impulse = torch.zeros(1, 2 * RATE)
    impulse[0, 0] = 1
    rooms = impulse_responses(torch.tensor([7]), torch.tensor([0.5]), RATE, stream=1)
    echoes = reverberate(impulse, rooms, torch.tensor([0.7]))[0, 1:RATE]
    assert measure_rt60(echoes) == pytest.approx(0.5, rel=0.1)


def test_impulse_responses_have_unit_energy_whatever_the_batch() -> None:
    seeds, decay = torch.arange(4), torch.tensor([0.1, 0.2, 0.9, 0.4])
    together = impulse_responses(seeds, decay, RATE, stream=1)
    torch.testing.assert_close(together.square().sum(1), torch.ones(4))
    alone = impulse_responses(seeds[:1], decay[:1], RATE, stream=1)
    torch.testing.assert_close(together[:1, : alone.shape[1]], alone)
    assert not together[0, alone.shape[1] :].any()


def test_reverberation_without_level_is_the_direct_sound() -> None:
    rooms = impulse_responses(torch.arange(2), torch.full((2,), 0.2), RATE, stream=1)
    taps = add_direct_sound(rooms, torch.tensor([0.0, 0.5]))
    assert taps[0, 0] == 1
    assert not taps[0, 1:].any()
    assert taps[1].square().sum() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(taps[1, 1:], rooms[1, 1:] * 0.5 / 1.25**0.5)


def test_reverberate_keeps_the_energy_of_noise() -> None:
    noise = torch.randn(8, 4 * RATE, generator=torch.Generator().manual_seed(0))
    rooms = impulse_responses(torch.arange(8), torch.linspace(0.1, 1, 8), RATE, stream=1)
    output = reverberate(noise, rooms, torch.full((8,), 0.7))
    assert (output.square().mean(1) - 1).abs().max() < 0.1
