"""Equaliser: spectral tilt, and the band limit of a codec, in one filter without a phase.

A tilt is the darker or brighter sound of another recording, master or loudspeaker; lossy codecs
leave out what lies above some frequency. The wanted gain is sampled in frequency and its impulse
response windowed (L. R. Rabiner and B. Gold 1975, "Theory and Application of Digital Signal
Processing", ch. 3).
"""

import math

import torch
from torch import Tensor

PIVOT = 1000.0  # Hz, where a tilt changes nothing
TAPS = 2048  # samples: a low-pass falls by 40 dB within 16 Hz
LEAD = TAPS // 2  # samples: the tap that is the present
_LOWEST = 62.5  # Hz: four octaves below the pivot a tilt becomes flat
_DECIBELS_PER_DOUBLING = 20 * math.log10(2)


def equalizer_taps(slope: Tensor, lowpass: Tensor, sample_rate: int) -> Tensor:
    """Design a filter that raises or lowers each octave against the one below it, up to a cutoff.

    Parameters
    ----------
    slope : Tensor
        Shape (B,), decibels per octave: above zero is brighter.
    lowpass : Tensor
        Shape (B,), Hz, on the same device: nothing above it is let through. Infinity: everything.
    sample_rate : int
        Hz.

    Returns
    -------
    Tensor
        Shape (B, TAPS), float32, symmetric around tap `LEAD`; a unit impulse where nothing is done.
    """
    frequency = torch.fft.rfftfreq(TAPS, 1 / sample_rate, device=slope.device)
    octaves = (frequency.clamp(min=_LOWEST) / PIVOT).log2()
    gain = torch.exp2(octaves * (slope.float()[:, None] / _DECIBELS_PER_DOUBLING))
    # The bin at the edge counts in part, so that cutoffs between two bins differ.
    bins_below = (lowpass.float()[:, None] - frequency) * (TAPS / sample_rate)
    gain *= (bins_below + 0.5).clamp(0, 1)
    taps: Tensor = torch.fft.irfft(gain, TAPS).roll(LEAD, 1)
    return taps * torch.hann_window(TAPS, device=slope.device)
