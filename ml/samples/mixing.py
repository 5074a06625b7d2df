"""From notes to a finished stereo record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from ml.samples.artists import OCTAVES, Artist
from ml.samples.composition import Event
from ml.samples.drums import DRUMS
from ml.samples.oscillators import Note, Signal, Timbre, pass_band
from ml.samples.songs import Song
from ml.samples.tones import TONES

PEAK = 0.8  # leaves room for the overshoot of lossy formats
_LISTEN = 0.25  # seconds over which an instrument's loudness is judged
_TAKES = 2  # recordings of each drum, played in turn
_LEVELS = {"drums": 0.6, "bass": 0.25, "chords": 0.1, "lead": 0.14, "pad": 0.05}


def _record(
    event: Event, song: Song, artist: Artist, rate: int, rng: np.random.Generator
) -> Signal:
    if isinstance(event.pitch, str):
        return DRUMS[event.pitch](artist.kit, rate, rng)
    brightness = float(np.clip(artist.timbre.brightness + song.brightness, 0.02, 1))
    timbre: Timbre = replace(artist.timbre, brightness=brightness)
    frequency = 440 * 2 ** ((event.pitch - 69) / 12)
    sound = TONES[song.tones[event.part]](Note(frequency, event.seconds, rate), timbre, rng)
    heard = sound[: int(_LISTEN * rate)]
    return sound / np.float32(np.sqrt((heard**2).mean()) + 1e-3)  # no instrument drowns the others


def _play(
    events: list[Event], song: Song, artist: Artist, rate: int, rng: np.random.Generator
) -> dict[str, Signal]:
    """One mono track per part. Equal notes are synthesised once, as in a sampler."""
    length = round(song.seconds * rate)
    parts = {part: np.zeros(length, dtype=np.float32) for part in _LEVELS}
    recorded: dict[tuple[str, int | str, float, int], Signal] = {}
    for count, event in enumerate(events):
        take = count % _TAKES if event.part == "drums" else 0
        key = (event.part, event.pitch, event.seconds if event.part != "drums" else 0.0, take)
        if key not in recorded:
            recorded[key] = _record(event, song, artist, rate, rng)
        start = int(event.start * rate)
        sound = recorded[key][: max(length - start, 0)]
        parts[event.part][start : start + sound.size] += sound * np.float32(event.velocity)
    return parts


def _balance(
    parts: dict[str, Signal], artist: Artist, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Sum the parts into two channels: bass and drums in the middle, the rest to the sides."""
    stereo = np.zeros((2, next(iter(parts.values())).size), dtype=np.float32)
    for part, signal in parts.items():
        gain = _LEVELS[part] * 10 ** (rng.normal(0, 2.5) / 20)
        side = 0.0 if part in ("drums", "bass") else 0.7 * artist.width * rng.uniform(-1, 1)
        angle = (1 + side) * np.pi / 4
        stereo[0] += signal * np.float32(gain * np.cos(angle))
        stereo[1] += signal * np.float32(gain * np.sin(angle))
    return stereo


def _room(
    stereo: NDArray[np.float32], artist: Artist, rate: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Equaliser and reverberation (exponentially decaying noise) in one pass over the spectrum."""
    samples = stereo.shape[1]
    times = np.arange(int(artist.reverb_seconds * rate)) / rate
    decay = np.exp(-6.91 * times / artist.reverb_seconds).astype(np.float32)
    tail = rng.standard_normal((2, times.size), dtype=np.float32) * decay
    tail /= np.sqrt((tail**2).sum(axis=1, keepdims=True))
    size = next_fast_len(samples + times.size, real=True)
    frequencies = np.maximum(np.fft.rfftfreq(size, 1 / rate), 16)
    gains_db = artist.equaliser + rng.normal(0, 1.5, OCTAVES)  # no two records are mixed alike
    curve = np.interp(np.log2(frequencies / 31.25), np.arange(OCTAVES), gains_db)
    gain = (10 ** (curve / 20)).astype(np.float32)
    wet = rfft(tail, size) * np.float32(artist.reverb_share)
    spectrum = rfft(stereo, size) * gain * (np.float32(1 - artist.reverb_share) + wet)
    mixed: NDArray[np.float32] = irfft(spectrum, size)[:, :samples].astype(np.float32)
    return mixed


def _master(
    stereo: NDArray[np.float32], artist: Artist, rate: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Saturate, add the recording's noise, set the loudness, and fade both ends."""
    stereo = stereo / np.float32(np.sqrt((stereo**2).mean()) + 1e-9)
    if artist.drive > 0.1:
        drive = np.float32(artist.drive / 3)
        stereo = np.tanh(drive * stereo) / drive
    loudness = artist.loudness_db + rng.normal(0, 2)
    stereo *= np.float32(10 ** (loudness / 20))
    hiss = pass_band(rng.standard_normal(stereo.shape, dtype=np.float32), "low", 5000, rate)
    stereo += hiss * np.float32(10 ** (artist.noise_db / 20))
    stereo *= np.float32(min(1.0, PEAK / np.abs(stereo).max()))
    edge = min(int(0.8 * rate), stereo.shape[1] // 4)
    stereo[:, -edge:] *= np.linspace(1, 0, edge, dtype=np.float32)
    return stereo


def record(
    song: Song, score: list[Event], artist: Artist, rate: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Play, mix and master a song.

    Parameters
    ----------
    song : Song
        The plan: length, instruments, brightness.
    score : list of Event
        The notes.
    artist : Artist
        Timbre and production.
    rate : int
        Sample rate in Hz.
    rng : np.random.Generator
        Source of noise and of the differences between one record and the next.

    Returns
    -------
    np.ndarray [shape=(samples, 2)]
        Stereo audio, ``round(song.seconds * rate)`` samples, no larger than `PEAK`.
    """
    parts = _play(score, song, artist, rate, rng)
    stereo = _room(_balance(parts, artist, rng), artist, rate, rng)
    return np.ascontiguousarray(_master(stereo, artist, rate, rng).T)
