"""Reverberation: multiplication in the frequency domain with decaying noise (paper, 2.3)."""

import torch
from scipy.fft import next_fast_len
from torch import Tensor

from ml.noise import truncated_normal

_TRUNCATION = 3.0  # standard deviations of the noise that a room is made of


def impulse_responses(seeds: Tensor, decay: Tensor, sample_rate: int, stream: int) -> Tensor:
    """Draw white noise that decays by 60 dB within `decay` and ends there, with an energy of 1.

    Parameters
    ----------
    seeds : Tensor
        Shape (B,), see `ml.noise.uniform`.
    decay : Tensor
        Shape (B,), seconds, above zero: the RT60 of ISO 3382.
    sample_rate : int
        Hz.
    stream : int
        See `ml.noise.uniform`.

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


def reverberate(waveform: Tensor, responses: Tensor, wet: Tensor) -> Tensor:
    """Add its echoes to each sound, keeping the energy that is to be expected.

    The sound is heard as if it were repeated, so that its beginning has echoes too: a dry start
    would give a transformed clip away.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, samples), float32.
    responses : Tensor
        Shape (B, length), see `impulse_responses`.
    wet : Tensor
        Shape (B,), amplitude of the echoes relative to the direct sound.

    Returns
    -------
    Tensor
        Shape (B, samples), float32.
    """
    samples, past = waveform.shape[1], responses.shape[1]
    repeated = torch.arange(-past, samples, device=waveform.device) % samples
    length = next_fast_len(past + samples, real=True)  # what wraps around falls on the past
    direct = (1 + wet.square()).rsqrt().float()[:, None]
    transfer = torch.fft.rfft(responses, length).mul_(wet.float()[:, None] * direct).add_(direct)
    spectrum = torch.fft.rfft(waveform.index_select(1, repeated), length).mul_(transfer)
    output: Tensor = torch.fft.irfft(spectrum, length)[:, past : past + samples]
    return output
