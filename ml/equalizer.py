"""Spectral tilt: the darker or brighter sound of another recording, master or loudspeaker."""

import torch
from scipy.fft import next_fast_len
from torch import Tensor

PIVOT = 1000.0  # Hz, where a tilt changes nothing
_LOWEST = 62.5  # Hz: four octaves below the pivot a tilt becomes flat


def tilt_spectrum(waveform: Tensor, slope: Tensor, sample_rate: int) -> Tensor:
    """Raise or lower each octave against the one below it, without changing phases.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, samples), float32.
    slope : Tensor
        Shape (B,), decibels per octave: above zero is brighter.
    sample_rate : int
        Hz.

    Returns
    -------
    Tensor
        Shape (B, samples), float32.
    """
    samples = waveform.shape[1]
    length = next_fast_len(samples, real=True)
    frequency = torch.fft.rfftfreq(length, 1 / sample_rate, device=waveform.device)
    octaves = (frequency.clamp(min=_LOWEST) / PIVOT).log2()
    gain = torch.exp2(octaves * (slope.float()[:, None] / 6.0206))
    output: Tensor = torch.fft.irfft(torch.fft.rfft(waveform, length).mul_(gain), length)
    return output[:, :samples]
