"""What every pitched instrument is made of: oscillators, filters, envelopes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

Signal = NDArray[np.float32]

_TABLE = 4096  # samples of one period: reading without interpolation is noise at about -65 dB
_HARMONICS: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "saw": lambda k: 1 / k,
    "square": lambda k: (k % 2) / k,
    "soft": lambda k: (k % 2) / k**2 + 0.3 / k**3,
    "drawbars": lambda k: np.isin(k, (1, 2, 3, 4, 6, 8)) / np.sqrt(k),
}


@dataclass(frozen=True)
class Note:
    """What to play: frequency in Hz, held time in seconds, sample rate in Hz."""

    frequency: float
    seconds: float
    rate: int

    def times(self, ring: float = 0.0) -> Signal:
        """Time axis in seconds, ``ring`` seconds longer than the held time."""
        samples = max(int((self.seconds + ring) * self.rate), 64)
        return (np.arange(samples) / self.rate).astype(np.float32)


@dataclass(frozen=True)
class Timbre:
    """One player's hand: how the same instrument sounds when they play it."""

    brightness: float = 0.5  # 0 dull .. 1 bright
    attack: float = 1.0  # factor on attack times
    decay: float = 1.0  # factor on decay times
    detune: float = 8.0  # cents between unison voices
    vibrato: float = 8.0  # cents
    modulation: float = 1.0  # factor on modulation indices


@lru_cache(maxsize=1024)
def _filter(kind: str, cutoff: float, rate: int) -> NDArray[np.float64]:
    sos: NDArray[np.float64] = butter(2, cutoff, kind, fs=rate, output="sos")
    return sos


def pass_band(signal: Signal, kind: str, cutoff: float, rate: int) -> Signal:
    """Filter with a second-order Butterworth filter.

    Parameters
    ----------
    signal : Signal [shape=(..., n)]
        One channel, or several.
    kind : {"low", "high"}
        Which side of the cutoff to keep.
    cutoff : float
        In Hz; kept between 20 Hz and 0.45 of the sample rate.
    rate : int
        Sample rate in Hz.

    Returns
    -------
    Signal [shape=(..., n)]
        The filtered signal.
    """
    cutoff = round(float(np.clip(cutoff, 20, 0.45 * rate)), 1)
    filtered: Signal = sosfilt(_filter(kind, cutoff, rate), signal).astype(np.float32)
    return filtered


@lru_cache(maxsize=1024)
def _wavetable(shape: str, harmonics: int) -> Signal:
    order = np.arange(1.0, harmonics + 1)
    spectrum = np.zeros(_TABLE // 2 + 1, dtype=np.complex128)
    spectrum[1 : harmonics + 1] = -1j * _HARMONICS[shape](order)
    period = np.fft.irfft(spectrum)
    sound: Signal = (period / np.abs(period).max()).astype(np.float32)
    return sound


def oscillate(
    shape: str, note: Note, times: Signal, cents: float = 0.0, vibrato: float = 0.0
) -> Signal:
    """Read a wavetable that holds no harmonic above Nyquist.

    Parameters
    ----------
    shape : {"saw", "square", "soft", "drawbars"}
        Which harmonics.
    note : Note
        Gives frequency and sample rate.
    times : Signal [shape=(n,)]
        In seconds.
    cents : float
        Detuning.
    vibrato : float
        Depth in cents, at 5.3 Hz.

    Returns
    -------
    Signal [shape=(n,)]
        Between -1 and 1.
    """
    frequency = note.frequency * 2 ** (cents / 1200)
    cycles = frequency * times.astype(np.float64)
    if vibrato:
        depth = 2 ** (vibrato / 1200) - 1
        cycles += frequency * depth * np.sin(2 * np.pi * 5.3 * times) / (2 * np.pi * 5.3)
    harmonics = int(np.clip(0.45 * note.rate / frequency, 1, 120))  # none above Nyquist: no aliases
    return _wavetable(shape, harmonics)[(cycles * _TABLE).astype(np.int64) % _TABLE]


def unison(shape: str, note: Note, times: Signal, timbre: Timbre, voices: int) -> Signal:
    """Several oscillators, spread over the timbre's detuning; arguments as in `oscillate`."""
    spread = np.linspace(-1, 1, voices) * timbre.detune
    layers = [oscillate(shape, note, times, c, timbre.vibrato) for c in spread]
    sound: Signal = np.mean(layers, axis=0, dtype=np.float32)
    return sound


def envelope(note: Note, times: Signal, attack: float, sustain: float, ring: float) -> Signal:
    """Rise in `attack` seconds, fall to `sustain`, and ring for `ring` seconds after the note."""
    held = max(note.seconds, attack + 0.01)
    points = (0, attack, attack + 0.25 * (held - attack), held, held + ring)
    return np.interp(times, points, (0, 1, sustain, sustain, 0)).astype(np.float32)


def cutoff_of(note: Note, timbre: Timbre, low: float = 2.0, high: float = 24.0) -> float:
    """Filter frequency in Hz: from `low` (dull) to `high` (bright) times the note's."""
    return note.frequency * float(low * (high / low) ** timbre.brightness)
