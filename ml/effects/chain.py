"""The effects chain f of the paper (section 2.3): one clip in, a clip that should sound alike out.

Time shift, time stretch and pitch shift by one phase vocoder, spectral tilt, band limit,
reverberation, gain and additive noise from a truncated Gaussian. `draw_parameters` says what is
done to each clip; `apply_effects` does it, as a pure function.
"""

import math

import torch
from torch import Tensor

from ml.effects.convolution import cascade, convolve_circularly
from ml.effects.equalizer import LEAD, equalizer_taps
from ml.effects.noise import truncated_normal
from ml.effects.parameters import (
    PAPER_EFFECTS,
    EffectParameters,
    EffectSettings,
    draw_parameters,
)
from ml.effects.reverb import add_direct_sound, impulse_responses
from ml.effects.vocoder import N_FFT, change_rate_and_pitch

__all__ = [
    "PAPER_EFFECTS",
    "EffectParameters",
    "EffectSettings",
    "apply_effects",
    "context_samples",
    "draw_parameters",
]

_REVERB_STREAM, _NOISE_STREAM = 1, 2  # of an example's random numbers; 0 drew its parameters
# Clips at a time: on a CPU as many as its caches hold, on a GPU as many as keep it busy.
_CHUNK = {"cpu": 2, "cuda": 64}


def context_samples(settings: EffectSettings, n: int) -> int:
    """Count the input that the chain may need, so that no end of it is ever heard.

    Parameters
    ----------
    settings : EffectSettings
        The fastest rate and the longest shift matter.
    n : int
        Samples of the transformed clip.

    Returns
    -------
    int
        Length of an input whose **middle** is the clip, for ``apply_effects(..., samples=n)``; it
        exceeds `n` by an even number.
    """
    highest = settings.rate[1]
    margin = N_FFT * (1 + highest * 2 ** (settings.semitones / 12))
    side = (highest - 1) * n / 2 + settings.shift_seconds * settings.sample_rate + margin
    return n + 2 * math.ceil(max(side, 0))


@torch.no_grad()
def apply_effects(
    waveform: Tensor, parameters: EffectParameters, samples: int | None = None
) -> Tensor:
    """Transform a batch of clips.

    The middle of the output is the middle of the input, but for the time shift. What lies beyond
    the input's ends is read from its other end, so there is never a silent tail; see
    `context_samples` for an input that is long enough.

    Parameters
    ----------
    waveform : Tensor
        Shape (B, length), float32, on any device.
    parameters : EffectParameters
        Of the same B clips.
    samples : int, optional
        Length of the output, by default that of the input.

    Returns
    -------
    Tensor
        Shape (B, samples), float32. A clip for which every effect is off comes back as it was.

    Raises
    ------
    ValueError
        If waveform and parameters do not belong together.
    """
    if waveform.ndim != 2 or len(waveform) != len(parameters):
        raise ValueError(
            f"waveform must be ({len(parameters)}, samples) for {len(parameters)} sets of "
            f"parameters, not {tuple(waveform.shape)}"
        )
    samples = waveform.shape[1] if samples is None else samples
    output = waveform.new_empty(len(waveform), samples, dtype=torch.float32)
    chunk = _CHUNK.get(waveform.device.type, 2)
    for first in range(0, len(waveform), chunk):
        part = slice(first, first + chunk)
        output[part] = _transform(waveform[part].float(), parameters.select(part), samples)
    return output


def _transform(waveform: Tensor, p: EffectParameters, samples: int) -> Tensor:
    output = _move_in_time_and_pitch(waveform, p, samples)
    if (on := _indices((p.tilt != 0) | p.lowpass.isfinite() | (p.decay > 0))) is not None:
        taps, lead = _filter_taps(p.select(on), waveform.device)
        output[on] = convolve_circularly(output[on], taps, lead)
    if (on := _indices(p.snr_db.isfinite())) is not None:
        output[on] += _noise(output[on], p.select(on))
    gain = 10 ** (p.gain_db / 20)
    return output.mul_(gain.float().to(waveform.device)[:, None])


def _move_in_time_and_pitch(waveform: Tensor, p: EffectParameters, samples: int) -> Tensor:
    length, device = waveform.shape[1], waveform.device
    start = length / 2 + p.shift * p.sample_rate - p.rate * samples / 2
    output = waveform.new_empty(len(waveform), samples)
    # The vocoder is not the identity at rate 1: clips that keep both stay out of it.
    moved = (p.rate != 1) | (p.semitones != 0)
    if (on := _indices(moved)) is not None:
        ratio = 2 ** (p.semitones[on] / 12)
        output[on] = change_rate_and_pitch(waveform[on], start[on], p.rate[on], ratio, samples)
    if (off := _indices(~moved)) is not None:
        first = start[off].round().long().to(device)[:, None]
        time = first + torch.arange(samples, device=device)
        output[off] = waveform[off].gather(1, time % length)
    return output


def _indices(on: Tensor) -> Tensor | slice | None:
    """Where an effect is on: a slice if everywhere, as it copies nothing; None if nowhere."""
    if on.all():
        return slice(None)
    return on.nonzero()[:, 0] if on.any() else None


def _filter_taps(p: EffectParameters, device: torch.device) -> tuple[Tensor, int]:
    """Tilt, band limit and room of each clip as one filter (B, length), and how late it is."""
    equalizer = equalizer_taps(p.tilt.to(device), p.lowpass.to(device), p.sample_rate)
    if not p.decay.any():
        return equalizer, LEAD
    # A dry clip has a room as well, of a single sample and no level.
    decay = p.decay.clamp(min=1 / p.sample_rate).to(device)
    wet = torch.where(p.decay > 0, 10 ** (p.wet_db / 20), 0).to(device)
    rooms = impulse_responses(p.seed.to(device), decay, p.sample_rate, _REVERB_STREAM)
    taps = add_direct_sound(rooms, wet)
    if not p.tilt.any() and p.lowpass.isinf().all():
        return taps, 0
    return cascade(equalizer, taps), LEAD


def _noise(waveform: Tensor, p: EffectParameters) -> Tensor:
    """Noise for sounds that all have some: (B, samples)."""
    level = waveform.square().mean(1).sqrt() * 10 ** (-p.snr_db.float().to(waveform.device) / 20)
    seed = p.seed.to(waveform.device)
    noise = truncated_normal(seed, waveform.shape[1], _NOISE_STREAM, p.noise_truncation)
    return noise.mul_(level[:, None])
