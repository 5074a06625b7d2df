"""Reverberation: multiplication in the frequency domain with decaying noise (paper, 2.3)."""

import torch
from torch import Tensor

from ml.effects.noise import truncated_normal

_TRUNCATION = 3.0  # standard deviations of the noise that a room is made of


def impulse_responses(seeds: Tensor, decay: Tensor, sample_rate: int, stream: int) -> Tensor:
    """Draw white noise that decays by 60 dB within `decay` and ends there, with an energy of 1.

    Parameters
    ----------
    seeds : Tensor
        Shape (B,), see `ml.effects.noise.uniform`.
    decay : Tensor
        Shape (B,), seconds, above zero: the RT60 of ISO 3382.
    sample_rate : int
        Hz.
    stream : int
        See `ml.effects.noise.uniform`.

    Returns
    -------
    Tensor
        Shape (B, samples of the longest decay), float32.
    """
    samples = int(float(decay.max()) * sample_rate) + 1
    time = torch.arange(samples, device=seeds.device) / sample_rate
    elapsed = time / decay.float()[:, None]
    envelope = torch.where(elapsed < 1, 10 ** (-3 * elapsed), 0)
    response = truncated_normal(seeds, samples, stream, _TRUNCATION) * envelope
    return response * response.square().sum(1, keepdim=True).rsqrt()


def add_direct_sound(responses: Tensor, wet: Tensor) -> Tensor:
    """Put the direct sound before the echoes, keeping the energy that is to be expected.

    Parameters
    ----------
    responses : Tensor
        Shape (B, length), see `impulse_responses`.
    wet : Tensor
        Shape (B,), amplitude of the echoes relative to the direct sound; 0: no echoes.

    Returns
    -------
    Tensor
        Shape (B, length), float32: taps for `ml.effects.convolution.convolve_circularly`.
    """
    direct = (1 + wet.square()).rsqrt().float()[:, None]
    taps = responses * (wet.float()[:, None] * direct)
    taps[:, :1] += direct
    return taps
