"""Percussion: swept sines, filtered noise and clusters of square waves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ml.samples.oscillators import Signal, pass_band


@dataclass(frozen=True)
class Kit:
    """One drummer's kit."""

    tune: float = 1.0  # factor on pitches
    decay: float = 1.0  # factor on decay times
    brightness: float = 0.5  # 0 dull .. 1 bright
    snap: float = 0.5  # share of noise in the snare and of click in the kick


Drum = Callable[[Kit, int, np.random.Generator], Signal]


def _times(seconds: float, rate: int) -> Signal:
    return (np.arange(int(seconds * rate)) / rate).astype(np.float32)


def _noise(seconds: float, rate: int, rng: np.random.Generator) -> Signal:
    return rng.standard_normal(int(seconds * rate), dtype=np.float32)


def _fade(times: Signal, seconds: float) -> Signal:
    tail = np.clip((times[-1] - times) / 0.005, 0, 1)  # the end must not click
    sound: Signal = (np.exp(-times / seconds) * tail).astype(np.float32)
    return sound


def kick(kit: Kit, rate: int, rng: np.random.Generator) -> Signal:
    """Let a sine fall from about 160 to 50 Hz, with a click."""
    times = _times(0.35 * kit.decay, rate)
    low, high = 50 * kit.tune, 110 * kit.tune
    phase = low * times - high * 0.03 * np.expm1(-times / 0.03)
    click = pass_band(_noise(0.35 * kit.decay, rate, rng), "low", 3500, rate)
    click = click * np.exp(-times / 0.004) * np.float32(kit.snap)
    body = np.sin(2 * np.pi * phase).astype(np.float32)
    sound: Signal = (body + click) * _fade(times, 0.11 * kit.decay)
    return sound


def snare(kit: Kit, rate: int, rng: np.random.Generator) -> Signal:
    """Mix two modes of a skin under a rattle of noise."""
    times = _times(0.28 * kit.decay, rate)
    skin = np.sin(2 * np.pi * 185 * kit.tune * times) + 0.6 * np.sin(
        2 * np.pi * 330 * kit.tune * times
    )
    rattle = pass_band(_noise(0.28 * kit.decay, rate, rng), "high", 1200, rate)
    rattle = pass_band(rattle, "low", 4000 + 5000 * kit.brightness, rate)
    body = skin.astype(np.float32) * _fade(times, 0.05) * np.float32(0.6)
    sound: Signal = body + rattle * _fade(times, 0.075 * kit.decay) * np.float32(
        0.3 + 0.5 * kit.snap
    )
    return sound


def _cymbal(kit: Kit, rate: int, rng: np.random.Generator, seconds: float) -> Signal:
    times = _times(4 * seconds, rate)
    ratios = np.array((2.0, 3.0, 4.16, 5.43, 6.79, 8.21)) * 420 * kit.tune
    metal = np.zeros(times.size, dtype=np.float32)
    for frequency in ratios:
        metal += np.sign(np.sin(2 * np.pi * frequency * times)).astype(np.float32) / 6
    mixed = metal + _noise(4 * seconds, rate, rng) * np.float32(0.5)
    bright = pass_band(mixed, "high", 3500 + 3000 * kit.brightness, rate)
    return bright * _fade(times, seconds) * np.float32(0.7)


def hat(kit: Kit, rate: int, rng: np.random.Generator) -> Signal:
    """Play a closed hi-hat."""
    return _cymbal(kit, rate, rng, 0.022 * kit.decay)


def open_hat(kit: Kit, rate: int, rng: np.random.Generator) -> Signal:
    """Play an open hi-hat."""
    return _cymbal(kit, rate, rng, 0.1 * kit.decay)


def ride(kit: Kit, rate: int, rng: np.random.Generator) -> Signal:
    """Play a ride cymbal: softer, longer."""
    return _cymbal(kit, rate, rng, 0.16 * kit.decay) * np.float32(0.6)


def clap(kit: Kit, rate: int, rng: np.random.Generator) -> Signal:
    """Clap: four bursts of noise close together."""
    times = _times(0.25, rate)
    bursts = sum(np.exp(-np.abs(times - t) / 0.004) for t in (0.0, 0.011, 0.022))
    envelope = bursts + np.exp(-np.maximum(times - 0.03, 0) / (0.05 * kit.decay)) * (times > 0.03)
    noise = pass_band(_noise(0.25, rate, rng), "high", 900 * kit.tune, rate)
    noise = pass_band(noise, "low", 3000 + 3000 * kit.brightness, rate)
    sound: Signal = noise * envelope.astype(np.float32) * _fade(times, 1.0)
    return sound


def shaker(kit: Kit, rate: int, rng: np.random.Generator) -> Signal:
    """Swell noise and stop it."""
    times = _times(0.09, rate)
    noise = pass_band(_noise(0.09, rate, rng), "high", 4000 + 2000 * kit.brightness, rate)
    sound: Signal = noise * np.sin(np.pi * times / 0.09).astype(np.float32) ** 2 * np.float32(0.5)
    return sound


def rim(kit: Kit, rate: int, _: np.random.Generator) -> Signal:
    """Hit the rim with a stick: a short high tone."""
    times = _times(0.06, rate)
    tone = np.sin(2 * np.pi * 1700 * kit.tune * times) + np.sin(2 * np.pi * 820 * kit.tune * times)
    sound: Signal = tone.astype(np.float32) * _fade(times, 0.012) * np.float32(0.6)
    return sound


def tom(kit: Kit, rate: int, _: np.random.Generator) -> Signal:
    """Strike a tuned drum, also a hand drum."""
    times = _times(0.3 * kit.decay, rate)
    phase = 110 * kit.tune * times - 2.2 * kit.tune * np.expm1(-times / 0.05)
    sound: Signal = np.sin(2 * np.pi * phase).astype(np.float32) * _fade(times, 0.09 * kit.decay)
    return sound


DRUMS: dict[str, Drum] = {
    "kick": kick,
    "snare": snare,
    "hat": hat,
    "open_hat": open_hat,
    "ride": ride,
    "clap": clap,
    "shaker": shaker,
    "rim": rim,
    "tom": tom,
}
