"""What is drawn of a track, and how loud it is."""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import sosfilt

from ml.audio import INT16_SCALE, SAMPLE_RATE, Int16

PEAKS_PER_SECOND = 10
SAMPLES_PER_PEAK = SAMPLE_RATE // PEAKS_PER_SECOND
EXCERPT_TENTHS = 100

# ITU-R BS.1770-4, annex 1: K-weighting, blocks of 0.4 s that overlap by three quarters, two gates.
SHELF_DB, SHELF_HZ, SHELF_Q = 4.0, 1500.0, 1 / math.sqrt(2)
HIGH_PASS_HZ, HIGH_PASS_Q = 38.0, 0.5
CALIBRATION_DB = -0.691
TENTHS_PER_BLOCK = 4
ABSOLUTE_GATE_LUFS, RELATIVE_GATE_DB = -70.0, -10.0
_SAMPLES_AT_A_TIME = 60 * SAMPLE_RATE

QUIETEST_LUFS, STEPS_PER_DB = -60.0, 4

Energies = npt.NDArray[np.float64]


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
        LUFS; None where every block is below the gate, or there is no whole block.
    """
    return integrate_loudness(measure_energies(samples))


def measure_energies(samples: Int16) -> Energies:
    """Measure the K-weighted mean square of each whole tenth of a second.

    Four of them in a row are a block of the recommendation: from these the loudness of any stretch
    follows, to a tenth of a second.

    Parameters
    ----------
    samples : numpy.ndarray [shape=(samples,)]
        int16 at 16 kHz.

    Returns
    -------
    numpy.ndarray [shape=(samples // 1600,)]
        1 is a loudness of 0 LUFS.
    """
    whole = len(samples) // SAMPLES_PER_PEAK * SAMPLES_PER_PEAK
    filters = _weight_frequencies()
    state, energies = np.zeros((len(filters), 2)), np.empty(whole // SAMPLES_PER_PEAK)
    for start in range(0, whole, _SAMPLES_AT_A_TIME):
        part = samples[start : min(start + _SAMPLES_AT_A_TIME, whole)] / INT16_SCALE
        weighted, state = sosfilt(filters, part, zi=state)
        tenths = np.square(weighted).reshape(-1, SAMPLES_PER_PEAK).mean(axis=1)
        first = start // SAMPLES_PER_PEAK
        energies[first : first + len(tenths)] = tenths
    return energies * 10 ** (CALIBRATION_DB / 10)


@lru_cache(maxsize=1)
def _weight_frequencies() -> Energies:
    """Design the K-weighting for 16 kHz: a shelf and a high pass, as second-order sections.

    R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients".
    """
    root = 10 ** (SHELF_DB / 80)  # of the amplitude at the centre of the shelf
    amplitude = root**2
    more, less = amplitude + 1, amplitude - 1
    cosine, slope = _turn(SHELF_HZ, SHELF_Q)
    slope *= 2 * root
    shelf = [
        amplitude * (more + less * cosine + slope),
        -2 * amplitude * (less + more * cosine),
        amplitude * (more + less * cosine - slope),
        more - less * cosine + slope,
        2 * (less - more * cosine),
        more - less * cosine - slope,
    ]
    cosine, slope = _turn(HIGH_PASS_HZ, HIGH_PASS_Q)
    half = (1 + cosine) / 2
    high_pass = [half, -2 * half, half, 1 + slope, -2 * cosine, 1 - slope]
    sections = np.array([shelf, high_pass])
    normalized: Energies = sections / sections[:, 3:4]
    return normalized


def _turn(frequency: float, quality: float) -> tuple[float, float]:
    """Give the cosine of the angle that a frequency turns in a sample, and its sine over 2 Q."""
    angle = 2 * math.pi * frequency / SAMPLE_RATE
    return math.cos(angle), math.sin(angle) / (2 * quality)


def integrate_loudness(energies: Energies) -> float | None:
    """Integrate tenths of a second to a loudness, gated twice, as the recommendation has it.

    Parameters
    ----------
    energies : numpy.ndarray [shape=(tenths,)]
        By `measure_energies`.

    Returns
    -------
    float or None
        LUFS; None where every block is below the gate, or there is no whole block.
    """
    if len(energies) < TENTHS_PER_BLOCK:
        return None
    blocks = sliding_window_view(energies, TENTHS_PER_BLOCK).mean(axis=1)
    loud = blocks[blocks > 10 ** (ABSOLUTE_GATE_LUFS / 10)]
    if not len(loud):
        return None
    kept = loud[loud > loud.mean() * 10 ** (RELATIVE_GATE_DB / 10)]
    return 10 * math.log10(kept.mean())


def find_loudest(levels: Energies) -> int:
    """Find the ten seconds of most energy: most often the part that one remembers.

    Parameters
    ----------
    levels : numpy.ndarray [shape=(tenths,)]
        Of a whole track, by `measure_energies`.

    Returns
    -------
    int
        The tenth of a second with which they begin; 0 where there are no more than ten.

    Examples
    --------
    >>> find_loudest(np.array([0.0] * 50 + [1.0] * 100 + [0.5] * 50))
    50
    """
    if len(levels) <= EXCERPT_TENTHS:
        return 0
    sums = np.cumsum([0.0, *levels])
    return int(np.argmax(sums[EXCERPT_TENTHS:] - sums[:-EXCERPT_TENTHS]))


def pack_energies(energies: Energies) -> bytes:
    """Keep energies as a byte each: quarters of a decibel from -60 LUFS on, 0 being silence.

    Examples
    --------
    >>> list(pack_energies(np.array([1.0, 0.01, 0.0])))
    [240, 160, 0]
    """
    with np.errstate(divide="ignore"):
        levels = 10 * np.log10(energies)
    steps = np.rint((levels - QUIETEST_LUFS) * STEPS_PER_DB).clip(0, 255)
    return steps.astype(np.uint8).tobytes()


def unpack_energies(packed: bytes) -> Energies:
    """Read what `pack_energies` kept."""
    steps = np.frombuffer(packed, np.uint8)
    levels = steps / STEPS_PER_DB + QUIETEST_LUFS
    energies: Energies = np.where(steps > 0, 10 ** (levels / 10), 0.0)
    return energies
