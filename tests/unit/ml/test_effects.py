"""The chain as a whole: what it keeps, what it must never do, and reproducibility."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ml.effects import (
    EffectParameters,
    EffectSettings,
    apply_effects,
    context_samples,
    draw_parameters,
)

ALL = EffectSettings(
    shift_probability=1,
    stretch_probability=1,
    pitch_probability=1,
    reverb_probability=1,
    noise_probability=1,
    gain_probability=1,
    tilt_probability=1,
)
OFF = EffectSettings(
    shift_probability=0,
    stretch_probability=0,
    pitch_probability=0,
    reverb_probability=0,
    noise_probability=0,
    gain_probability=0,
    tilt_probability=0,
)
SAMPLES = 32_000


def draw(settings: EffectSettings, n: int) -> EffectParameters:
    return draw_parameters(settings, n, torch.Generator().manual_seed(4))


def white(n: int, samples: int = SAMPLES) -> Tensor:
    return 0.1 * torch.randn(n, samples, generator=torch.Generator().manual_seed(9))


def test_effects_that_are_off_return_the_input_exactly() -> None:
    waveform = white(3)
    assert torch.equal(apply_effects(waveform, draw(OFF, 3)), waveform)
    middle = apply_effects(waveform, draw(OFF, 3), samples=1000)
    assert torch.equal(middle, waveform[:, 15_500:16_500])


def test_effects_leave_their_input_alone() -> None:
    waveform = white(3)
    before = waveform.clone()
    apply_effects(waveform, draw(ALL, 3))
    assert torch.equal(waveform, before)


@pytest.mark.parametrize("settings", [ALL, EffectSettings()])
def test_same_seed_gives_same_output_whatever_the_batch(settings: EffectSettings) -> None:
    waveform, parameters = white(9), draw(settings, 9)
    together = apply_effects(waveform, parameters)
    assert torch.equal(together, apply_effects(waveform, parameters))
    for i in (0, 5, 8):
        one = slice(i, i + 1)
        alone = apply_effects(waveform[one], draw(settings, i + 1).select(one))
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("extra", [0, 5000])
def test_output_has_no_silent_end(extra: int) -> None:
    waveform = white(16, SAMPLES + extra)
    output = apply_effects(waveform, draw(replace(ALL, noise_probability=0), 16), SAMPLES)
    assert output.shape == (16, SAMPLES)
    level = output.view(16, 20, -1).square().mean(2)
    assert (level / level.median(1, keepdim=True).values).min() > 0.25


def test_context_is_enough_for_the_fastest_and_the_farthest() -> None:
    settings = EffectSettings()
    needed = context_samples(settings, SAMPLES)
    extremes = draw(OFF, 8)
    signs = torch.tensor([[i & 1, i >> 1 & 1, i >> 2 & 1] for i in range(8)]) * 2 - 1
    extremes = replace(
        extremes,
        shift=0.5 * signs[:, 0].double(),
        rate=torch.tensor(1.25, dtype=torch.float64) ** signs[:, 1],
        semitones=3.0 * signs[:, 2].double(),
    )
    context = white(1, needed).expand(8, -1)
    enough = apply_effects(context, extremes, SAMPLES)
    more = torch.nn.functional.pad(context, (3000, 3000), value=99.0)
    assert torch.equal(enough, apply_effects(more, extremes, SAMPLES))


def test_shift_reads_later() -> None:
    waveform = white(1)
    parameters = replace(draw(OFF, 1), shift=torch.tensor([0.25], dtype=torch.float64))
    output = apply_effects(waveform, parameters, samples=8000)
    assert torch.equal(output, waveform[:, 12_000 + 4000 : 20_000 + 4000])


def test_noise_never_exceeds_its_truncation() -> None:
    waveform = white(4)
    parameters = draw(replace(OFF, noise_probability=1), 4)
    noise = apply_effects(waveform, parameters) - waveform
    sigma = waveform.square().mean(1).sqrt() * 10 ** (-parameters.snr_db.float() / 20)
    assert ((noise.abs().max(1).values / sigma) <= 2 + 1e-3).all()
    torch.testing.assert_close(noise.std(1) / sigma, torch.full((4,), 0.8796), rtol=0.02, atol=0)


def test_gain_is_in_decibels() -> None:
    waveform = white(2)
    gain = torch.tensor([6.0206, -20.0], dtype=torch.float64)
    output = apply_effects(waveform, replace(draw(OFF, 2), gain_db=gain))
    torch.testing.assert_close(output, waveform * torch.tensor([[2.0], [0.1]]), rtol=1e-5, atol=0)


def test_effects_keep_silence_finite_and_quiet() -> None:
    output = apply_effects(torch.zeros(4, SAMPLES), draw(ALL, 4))
    assert output.abs().max() < 1e-9


def test_noise_of_a_tone_lies_as_far_below_it_as_asked() -> None:
    tone = torch.sin(2 * math.pi * 440 * torch.arange(SAMPLES) / 16_000)[None]
    snr = torch.tensor([20.0], dtype=torch.float64)
    noise = apply_effects(tone, replace(draw(OFF, 1), snr_db=snr)) - tone
    ratio = 10 * torch.log10(tone.square().mean() / noise.square().mean())
    assert float(ratio) == pytest.approx(20 - 20 * math.log10(0.8796), abs=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_effects_are_the_same_on_a_gpu() -> None:
    waveform, parameters = white(8), draw(ALL, 8)
    expected = apply_effects(waveform, parameters)
    actual = apply_effects(waveform.cuda(), parameters).cpu()
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-3)


def test_apply_effects_refuses_parameters_of_another_batch() -> None:
    with pytest.raises(ValueError, match="must be"):
        apply_effects(white(2), draw(ALL, 3))
