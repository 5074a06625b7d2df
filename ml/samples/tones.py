"""Pitched instruments: one note in, one mono signal out.

Six ways to make a tone: wavetable oscillators through a filter (virtual analogue), frequency
modulation (Chowning 1973), a plucked string (Karplus and Strong 1983), drawbars, decaying
inharmonic partials (struck strings), and grains (granular synthesis).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import lfilter

from ml.samples.oscillators import (
    Note,
    Signal,
    Timbre,
    cutoff_of,
    envelope,
    oscillate,
    pass_band,
    unison,
)

Tone = Callable[[Note, Timbre, np.random.Generator], Signal]


def synth(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Detuned saws through a low-pass filter that closes after the attack."""
    times = note.times(0.12)
    saws = unison("saw", note, times, timbre, 2)
    cutoff = cutoff_of(note, timbre)
    opened = np.exp(-times / (0.15 * timbre.decay))
    bright = pass_band(saws, "low", 3 * cutoff, note.rate)
    mixed = bright * opened + pass_band(saws, "low", cutoff, note.rate) * (1 - opened)
    sound: Signal = mixed * envelope(note, times, 0.006 * timbre.attack, 0.7, 0.1)
    return sound


def pulse(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Square wave lead with vibrato."""
    times = note.times(0.08)
    wave = oscillate("square", note, times, 0, timbre.vibrato)
    wave = pass_band(wave, "low", cutoff_of(note, timbre, 3), note.rate)
    return wave * envelope(note, times, 0.01 * timbre.attack, 0.8, 0.06)


def _modulate(note: Note, times: Signal, ratio: float, index: Signal) -> Signal:
    carrier = 2 * np.pi * note.frequency * times.astype(np.float64)
    return np.sin(carrier + index * np.sin(ratio * carrier)).astype(np.float32)


def electric_piano(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Frequency modulation at ratio 1, with a short tine at ratio 14."""
    times = note.times(0.25)
    fade = np.exp(-times / (0.9 * timbre.decay))
    body = _modulate(note, times, 1.0, 1.6 * timbre.modulation * fade)
    tine = _modulate(note, times, 7.0, timbre.brightness * np.exp(-times / 0.08))
    sound: Signal = (0.75 * body + 0.25 * tine) * fade * envelope(note, times, 0.003, 1.0, 0.2)
    return sound


def bell(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Frequency modulation at an irrational ratio, ringing on."""
    times = note.times(0.8)
    fade = np.exp(-times / (0.6 * timbre.decay))
    index = 3 * timbre.modulation * (0.4 + timbre.brightness) * fade
    sound: Signal = (
        _modulate(note, times, 1.414, index) * fade * envelope(note, times, 0.003, 1.0, 0.7)
    )
    return sound


def brass(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Frequency modulation whose index follows the loudness: louder is brighter."""
    times = note.times(0.1)
    swell = envelope(note, times, 0.05 * timbre.attack, 0.75, 0.09)
    index = (1 + 3 * timbre.brightness) * timbre.modulation * swell
    return _modulate(note, times, 1.0, index) * swell


def plucked(note: Note, timbre: Timbre, rng: np.random.Generator) -> Signal:
    """Karplus-Strong string: filtered noise round a delay line of one period."""
    times = note.times(0.35)
    period = note.rate / note.frequency
    smoothing = 0.5 - 0.35 * timbre.brightness
    delay = int(period - smoothing)
    fraction = period - smoothing - delay
    # The loop's taps: a two-point average (damping, delays by `smoothing`), then linear
    # interpolation for the rest of the period, times the loss that gives the decay time asked for.
    loss = 10 ** (-3 * period / (note.rate * 2.2 * timbre.decay))
    taps = loss * np.convolve((1 - smoothing, smoothing), (1 - fraction, fraction))
    feedback = np.concatenate(((1.0,), np.zeros(delay - 1), -taps))
    burst = np.zeros(times.size, dtype=np.float32)
    length = min(int(period) + 1, times.size)
    burst[:length] = rng.uniform(-1, 1, length)
    string: Signal = lfilter((1.0,), feedback, burst).astype(np.float32)
    return string * envelope(note, times, 0.001, 1.0, 0.3)


def overdriven(note: Note, timbre: Timbre, rng: np.random.Generator) -> Signal:
    """Root and fifth on strings, driven hard into a loudspeaker that drops the highs."""
    fifth = Note(note.frequency * 1.4983, note.seconds, note.rate)
    strings = plucked(note, timbre, rng) + 0.8 * plucked(fifth, timbre, rng)
    driven = np.tanh(strings * np.float32(6 * timbre.modulation)).astype(np.float32)
    return pass_band(driven, "low", 2200 + 3000 * timbre.brightness, note.rate) * 0.7


def organ(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Drawbars through a rotating loudspeaker."""
    times = note.times(0.05)
    wave = pass_band(
        oscillate("drawbars", note, times, 0, 0), "low", cutoff_of(note, timbre, 4), note.rate
    )
    rotor = 1 - 0.25 * (0.5 + 0.5 * np.sin(2 * np.pi * 6.1 * times))
    sound: Signal = (wave * rotor).astype(np.float32) * envelope(note, times, 0.008, 1.0, 0.04)
    return sound


def piano(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Struck string: stretched partials, the higher the faster they die."""
    times = note.times(0.2)
    total = np.zeros(times.size, dtype=np.float32)
    for k in range(1, 10):
        partial = note.frequency * k * np.sqrt(1 + 0.0004 * k * k)
        if partial > 0.45 * note.rate:
            break
        fade = np.exp(-times * (0.6 + 0.5 * k) / timbre.decay) / k ** (1.9 - timbre.brightness)
        total += (fade * np.sin(2 * np.pi * partial * times.astype(np.float64))).astype(np.float32)
    return total * envelope(note, times, 0.002, 1.0, 0.18) * 0.7


def flute(note: Note, timbre: Timbre, rng: np.random.Generator) -> Signal:
    """Soft wave with breath noise and vibrato."""
    times = note.times(0.08)
    wave = oscillate("soft", note, times, 0, 2 * timbre.vibrato)
    noise = rng.standard_normal(times.size, dtype=np.float32)
    breath = pass_band(noise, "low", 3 * note.frequency, note.rate) * np.float32(0.12)
    return (wave + breath) * envelope(note, times, 0.05 * timbre.attack, 0.85, 0.07)


def strings(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Bow a section of strings: slow attack, vibrato, three players."""
    times = note.times(0.3)
    saws = unison("saw", note, times, timbre, 3)
    bowed = pass_band(saws, "low", 900 + 3500 * timbre.brightness, note.rate)
    return bowed * envelope(note, times, 0.12 * timbre.attack, 0.9, 0.28)


def pad(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Wide and slow: four detuned saws behind a low filter that breathes."""
    times = note.times(0.8)
    saws = unison("saw", note, times, timbre, 4)
    dark = pass_band(saws, "low", cutoff_of(note, timbre, 1.5, 8), note.rate)
    return dark * envelope(note, times, min(0.6 * timbre.attack, 0.8), 0.9, 0.75) * 1.5


def grains(note: Note, timbre: Timbre, rng: np.random.Generator) -> Signal:
    """Scatter a cloud of short windowed pieces of a tone, at random times and octaves."""
    times = note.times(0.6)
    cloud = np.zeros(times.size, dtype=np.float32)
    size = min(int(0.11 * note.rate), times.size)
    window = np.hanning(size).astype(np.float32)
    sources = [
        oscillate("soft", Note(note.frequency * f, 0.2, note.rate), times[:size], 0, 0) * window
        for f in (1.0, 2.0, 3.0 + timbre.brightness)
    ]
    for _ in range(int(28 * times.size / note.rate)):
        start = int(rng.integers(0, times.size - size + 1))
        source = sources[int(rng.choice(3, p=(0.6, 0.3, 0.1)))]
        cloud[start : start + size] += source * np.float32(rng.uniform(0.2, 0.8))
    return cloud * envelope(note, times, 0.2, 1.0, 0.55)


def sub_bass(note: Note, timbre: Timbre, _: np.random.Generator) -> Signal:
    """Almost a sine, a little saturated so that small loudspeakers carry it."""
    times = note.times(0.06)
    drive = np.float32(1.2 + 2 * timbre.brightness)
    wave = np.tanh(drive * oscillate("soft", note, times, 0, 0)).astype(np.float32)
    sound: Signal = wave * envelope(note, times, 0.006, 0.8, 0.05)
    return sound


TONES: dict[str, Tone] = {
    "synth": synth,
    "pulse": pulse,
    "electric_piano": electric_piano,
    "bell": bell,
    "brass": brass,
    "plucked": plucked,
    "overdriven": overdriven,
    "organ": organ,
    "piano": piano,
    "flute": flute,
    "strings": strings,
    "pad": pad,
    "grains": grains,
    "sub_bass": sub_bass,
}
