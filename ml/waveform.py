"""What is drawn of a track, and how loud it is."""

import math

import numpy as np
import numpy.typing as npt
import torch
from torchaudio.functional import loudness

from ml.audio import INT16_SCALE, SAMPLE_RATE, Int16, to_float

PEAKS_PER_SECOND = 10
SAMPLES_PER_PEAK = SAMPLE_RATE // PEAKS_PER_SECOND
HEADROOM = 2.0
GATE_SECONDS = 0.4
"""A block of the loudness; what is shorter has none."""


def find_peaks(samples: Int16) -> npt.NDArray[np.uint8]:
    """Find the greatest magnitude of each tenth of a second.

    Parameters
    ----------
    samples : numpy.ndarray [shape=(samples,)]
        int16 at 16 kHz.

    Returns
    -------
    numpy.ndarray [shape=(ceil(samples / 1600),)]
        255 is full scale.

    Examples
    --------
    >>> find_peaks(np.array([0] * 1600 + [-32767] * 100, np.int16)).tolist()
    [0, 255]
    """
    starts = np.arange(0, len(samples), SAMPLES_PER_PEAK)
    if not len(starts):
        return np.empty(0, np.uint8)
    high = np.maximum.reduceat(samples, starts).astype(np.int32)
    low = np.minimum.reduceat(samples, starts).astype(np.int32)
    magnitude = np.minimum(np.maximum(high, -low), INT16_SCALE)
    return np.rint(magnitude * (255 / INT16_SCALE)).astype(np.uint8)


def measure_loudness(samples: Int16) -> float | None:
    """Measure the integrated loudness by ITU-R BS.1770-4, of the mono mix.

    Parameters
    ----------
    samples : numpy.ndarray [shape=(samples,)]
        int16 at 16 kHz.

    Returns
    -------
    float or None
        LUFS; None where every block is below the gate, or there is no whole block. The absolute
        gate is at -64 LUFS instead of -70, which tells only in what is hardly audible.
    """
    if len(samples) < GATE_SECONDS * SAMPLE_RATE:
        return None
    # The library's filters clip at full scale, which the weighting's +4 dB would go beyond.
    softened = torch.from_numpy(to_float(samples) / HEADROOM)[None]
    measured = float(loudness(softened, SAMPLE_RATE)) + 20 * math.log10(HEADROOM)
    return measured if math.isfinite(measured) else None
