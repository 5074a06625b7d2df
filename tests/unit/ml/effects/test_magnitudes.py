"""Effects on magnitudes do to a mel spectrogram what effects on the sound would have done."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ml.effects import magnitudes
from ml.effects.chain import (
    EffectParameters,
    EffectSettings,
    apply_effects,
    context_samples,
    draw_parameters,
)
from ml.effects.magnitudes import mel_of_effects
from ml.spectrogram import SpectrogramSettings, band_edges, mel_spectrogram

RATE, SAMPLES = 16_000, 32_000
ALL = EffectSettings()
LENGTH = context_samples(ALL, SAMPLES)
HOP = SpectrogramSettings().hop


def nothing(n: int = 1) -> EffectParameters:
    off: dict[str, Any] = {name: 0.0 for name in vars(ALL) if name.endswith("_probability")}
    return draw_parameters(replace(ALL, **off), n, torch.Generator().manual_seed(0))


def only(**values: float) -> EffectParameters:
    tensors: dict[str, Any] = {name: torch.tensor([value]) for name, value in values.items()}
    return replace(nothing(), **tensors)


def noise(n: int = 1, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(n, LENGTH, generator=torch.Generator().manual_seed(seed))


def tone(frequency: float) -> Tensor:
    return 0.3 * torch.sin(2 * math.pi * frequency / RATE * torch.arange(LENGTH))[None]


def middle(waveform: Tensor) -> Tensor:
    margin = (waveform.shape[1] - SAMPLES) // 2
    return waveform[:, margin : margin + SAMPLES]


def inner(mel: Tensor) -> Tensor:
    """Leave out the frames that see what lies beyond the clip."""
    return mel[:, :, 1:-1]


def test_compiled_effects_are_those_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform, drawn = noise(16), draw_parameters(ALL, 16, torch.Generator().manual_seed(4))
    found = mel_of_effects(waveform, drawn, SAMPLES)
    monkeypatch.setattr(magnitudes, "compiled", lambda _: False)
    torch.testing.assert_close(found, mel_of_effects(waveform, drawn, SAMPLES), rtol=1e-4, atol=0)


def test_identity_is_the_mel_spectrogram_of_the_clip() -> None:
    waveform = noise(3)
    mel = mel_of_effects(waveform, nothing(3), SAMPLES)
    expected = mel_spectrogram(middle(waveform))
    assert mel.shape == expected.shape
    torch.testing.assert_close(inner(mel), inner(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("semitones", [-3.0, -1.0, 2.0, 3.0])
def test_shifted_tone_has_the_bands_of_the_tone_where_it_must_land(semitones: float) -> None:
    mel = mel_of_effects(tone(880), only(semitones=semitones), SAMPLES)
    landed = mel_spectrogram(middle(tone(880 * 2 ** (semitones / 12))))
    assert inner(mel).mean(2).argmax() == inner(landed).mean(2).argmax()
    likeness = torch.cosine_similarity(inner(mel).mean(2), inner(landed).mean(2))
    assert likeness > 0.98


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_stretched_bursts_are_spaced_by_the_rate(rate: float) -> None:
    spacing = 10 * HOP
    envelope = (torch.arange(LENGTH) % spacing < HOP).float()
    long = context_samples(ALL, 8 * SAMPLES)
    burst = noise()[:, :1].new_zeros(1, long)
    envelope = (torch.arange(long) % spacing < HOP).float()
    burst = torch.randn(1, long, generator=torch.Generator().manual_seed(1)) * envelope
    energy = mel_of_effects(burst, only(rate=rate), 8 * SAMPLES).square().sum(1)[0]
    spectrum = torch.fft.rfft(energy - energy.mean(), 1 << 14).abs()
    period = (1 << 14) / (40 + int(spectrum[40:4000].argmax()))
    assert period == pytest.approx(10 / rate, rel=0.03)


@pytest.mark.parametrize("decay", [0.3, 0.8])
def test_echoes_of_a_burst_decay_by_sixty_decibels_in_the_time_asked_for(decay: float) -> None:
    burst = torch.zeros(1, LENGTH)
    at = LENGTH // 2
    burst[:, at : at + 512] = torch.randn(512, generator=torch.Generator().manual_seed(2))
    mel = mel_of_effects(burst, only(decay=decay, wet_db=0.0), SAMPLES)
    level = 10 * torch.log10(mel.square().sum(1)[0].clamp(min=1e-12))
    first = int(level.argmax()) + 2  # the direct sound has passed
    slope = (level[first + 4] - level[first]) / (4 * HOP / RATE)
    assert float(slope) == pytest.approx(-60 / decay, rel=0.02)


@pytest.mark.parametrize("wet", [-10.0, 0.0])
def test_echoes_of_a_steady_sound_have_the_level_asked_for(wet: float) -> None:
    mel = mel_of_effects(noise(), only(decay=0.3, wet_db=wet), SAMPLES)
    gained = inner(mel).square().mean() / inner(mel_spectrogram(middle(noise()))).square().mean()
    assert float(gained) == pytest.approx(1 + 10 ** (wet / 10), rel=0.05)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_has_the_spectrum_and_level_of_noise_added_to_the_sound(
    snr: float, power: int
) -> None:
    spectrogram = SpectrogramSettings(power=1 if power == 1 else 2)
    parameters = only(snr_db=snr)
    sound = apply_effects(tone(440), parameters, SAMPLES)
    expected = mel_spectrogram(sound, spectrogram)[:, 60:].mean((0, 2))
    mel = mel_of_effects(tone(440), parameters, SAMPLES, spectrogram)[:, 60:].mean((0, 2))
    torch.testing.assert_close(mel, expected, rtol=0.35, atol=0)
    assert float(mel.sum() / expected.sum()) == pytest.approx(1, abs=0.05)


def test_gain_and_tilt_are_exact_in_decibels() -> None:
    plain = mel_of_effects(noise(), nothing(), SAMPLES)
    louder = mel_of_effects(noise(), only(gain_db=6.0), SAMPLES)
    torch.testing.assert_close(louder / plain, torch.full_like(plain, 10 ** (6 / 20)))
    tilted = 20 * torch.log10(mel_of_effects(noise(), only(tilt=1.5), SAMPLES) / plain)
    centres = band_edges(SpectrogramSettings())[1:-1].float()
    expected = 1.5 * torch.log2(centres / 1000)
    torch.testing.assert_close(tilted.mean((0, 2)), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("cutoff", [3000.0, 6000.0])
def test_band_limit_leaves_nothing_above_and_everything_below(cutoff: float) -> None:
    plain = mel_of_effects(noise(), nothing(), SAMPLES).mean((0, 2))
    limited = mel_of_effects(noise(), only(lowpass=cutoff), SAMPLES).mean((0, 2))
    edges = band_edges(SpectrogramSettings())
    assert (limited[edges[:-2] > cutoff] == 0).all()
    below = edges[2:] < cutoff
    torch.testing.assert_close(limited[below], plain[below])


@given(seed=st.integers(0, 2**40), n=st.integers(1, 12))
@settings(max_examples=15, deadline=None)
def test_output_does_not_depend_on_the_batch(seed: int, n: int) -> None:
    parameters = draw_parameters(ALL, 12, torch.Generator().manual_seed(seed))
    waveform = noise(12, seed)
    together = mel_of_effects(waveform, parameters, SAMPLES)
    part = mel_of_effects(waveform[:n], parameters.select(slice(0, n)), SAMPLES)
    torch.testing.assert_close(part, together[:n], rtol=1e-4, atol=1e-5)
    assert torch.isfinite(together).all()
    assert (together >= 0).all()


def test_both_domains_make_the_same_of_the_same_parameters() -> None:
    """Log spectra of the two routes are alike, far more than those of other clips."""
    brown = torch.cumsum(noise(16), 1)
    brown = brown - torch.nn.functional.avg_pool1d(brown, 2001, 1, 1000)
    waveform = brown + torch.logspace(-1, 1, 16)[:, None] * noise(16, 1)
    waveform *= 1 + torch.sin(torch.arange(LENGTH) * torch.arange(1, 17)[:, None] / 4000)
    parameters = draw_parameters(ALL, 16, torch.Generator().manual_seed(3))
    magnitude = torch.log(mel_of_effects(waveform, parameters, SAMPLES) + 1e-2)
    sound = torch.log(mel_spectrogram(apply_effects(waveform, parameters, SAMPLES)) + 1e-2)
    profile = (inner(magnitude).mean(2), inner(sound).mean(2))
    between = (profile[0][:, None] - profile[1]).abs().mean(2)
    assert between.diagonal().mean() < 0.35  # 3 dB: the vocoder loses some loudness
    assert between.diagonal().mean() < 0.5 * between.mean()


def test_parameters_of_other_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="for 1 sets of parameters"):
        mel_of_effects(noise(2), nothing(1), SAMPLES)
