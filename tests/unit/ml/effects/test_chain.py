"""The chain as a whole: what it keeps, what it must never do, and reproducibility."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ml.effects import convolution, interpolation, noise, vocoder
from ml.effects.chain import (
    EffectParameters,
    EffectSettings,
    apply_effects,
    context_samples,
    draw_parameters,
)
from ml.training.cores import limit_threads

ALL = EffectSettings(
    shift_probability=1,
    stretch_probability=1,
    pitch_probability=1,
    reverb_probability=1,
    noise_probability=1,
    gain_probability=1,
    tilt_probability=1,
    lowpass_probability=1,
)
OFF = EffectSettings(
    shift_probability=0,
    stretch_probability=0,
    pitch_probability=0,
    reverb_probability=0,
    noise_probability=0,
    gain_probability=0,
    tilt_probability=0,
    lowpass_probability=0,
)
SAMPLES, RATE = 32_000, 16_000


def draw(settings: EffectSettings, n: int) -> EffectParameters:
    return draw_parameters(settings, n, torch.Generator().manual_seed(4))


def one(**values: float) -> EffectParameters:
    tensors: dict[str, Any] = {n: torch.tensor([v]).double() for n, v in values.items()}
    return replace(draw(OFF, 1), **tensors)


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


def test_two_semitones_above_440_hz_are_within_3_cents_of_494_hz() -> None:
    time = torch.arange(5 * RATE, dtype=torch.float64) / RATE
    tone = torch.sin(2 * math.pi * 440 * time).float()[None]
    output = apply_effects(tone, one(semitones=2.0), samples=3 * RATE)[0].double()
    # The phase turns by so much a sample: the slope of the analytic signal's angle.
    spectrum = torch.fft.fft(output * torch.hann_window(len(output), dtype=torch.float64))
    spectrum[len(output) // 2 :] = 0
    angle = torch.fft.ifft(spectrum)[RATE : 2 * RATE]
    frequency = float((angle[1:] * angle[:-1].conj()).sum().angle()) * RATE / (2 * math.pi)
    assert abs(1200 * math.log2(frequency / 493.883)) < 3


@pytest.mark.parametrize("rate", [0.8, 1.25])
@pytest.mark.parametrize("semitones", [-3.0, 0.0, 3.0])
def test_stretch_and_pitch_keep_loudness_within_1_db(rate: float, semitones: float) -> None:
    time = torch.arange(10 * RATE) / RATE
    notes = [f * h for f in (110.0, 138.6, 164.8, 440.0) for h in (1, 2, 3, 4, 5)]
    chord = torch.stack([torch.sin(2 * math.pi * f * time + f) / (1 + f / 500) for f in notes])
    strokes = 0.2 + torch.exp(-6 * (time % 0.4))
    music = (chord.sum(0) * strokes + 2 * white(1, len(time))[0])[None]
    output = apply_effects(music, one(rate=rate, semitones=semitones), samples=6 * RATE)
    heard = music[:, (len(time) - int(6 * RATE * rate)) // 2 :][:, : int(6 * RATE * rate)]
    assert abs(float(10 * torch.log10(output.square().mean() / heard.square().mean()))) < 1


def test_lowpass_leaves_nothing_above_its_cutoff() -> None:
    noise_before = white(1)
    output = apply_effects(noise_before, one(lowpass=4000.0))
    before, after = (torch.fft.rfft(x[0]).abs().square() for x in (noise_before, output))
    hertz = torch.fft.rfftfreq(SAMPLES, 1 / RATE)
    above, below = hertz > 4050, (hertz > 10) & (hertz < 3950)
    assert 10 * torch.log10(after[above].mean() / before[above].mean()) < -40
    assert (10 * torch.log10(after[below] / before[below])).abs().max() < 1


def test_reverberation_decays_in_the_time_asked_for() -> None:
    impulse = torch.zeros(1, 3 * RATE)
    impulse[0, 0] = 1
    echoes = apply_effects(impulse, one(decay=0.6, wet_db=-3.0))[0, 100:].double()
    energy = echoes.square().flip(0).cumsum(0).flip(0)  # Schroeder's integration
    fall = 10 * torch.log10(energy / energy[0])
    measured = 3 * int(((fall < -5) & (fall > -25)).sum()) / RATE
    assert measured == pytest.approx(0.6, rel=0.1)


def _band_levels(waveform: Tensor) -> Tensor:
    """Decibels of 20 stretches of time in 16 bands of equal width."""
    spectra = torch.fft.rfft(waveform.view(len(waveform), 20, -1))[..., 1:]
    return 10 * torch.log10(spectra.abs().square().unflatten(2, (16, -1)).mean(3))


def test_chain_of_torch_is_the_compiled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = white(16)
    still = replace(ALL, stretch_probability=0, pitch_probability=0)
    for settings in (still, ALL):
        parameters = draw(settings, 16)
        with monkeypatch.context() as patch:
            compiled = apply_effects(waveform, parameters)
            for stage in (convolution, interpolation, noise, vocoder):
                patch.setattr(stage, "compiled", lambda _: False)
            by_torch = apply_effects(waveform, parameters)
        if settings is still:
            torch.testing.assert_close(compiled, by_torch, rtol=0, atol=1e-5)
        else:  # phases of noise drift apart by rounding, see the test of the vocoder
            difference = _band_levels(compiled) - _band_levels(by_torch)
            assert difference.abs().mean() < 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_effects_are_the_same_on_a_gpu() -> None:
    waveform = white(8)
    still = draw(replace(ALL, stretch_probability=0, pitch_probability=0), 8)
    expected, actual = apply_effects(waveform, still), apply_effects(waveform.cuda(), still)
    torch.testing.assert_close(actual.cpu(), expected, rtol=0, atol=1e-4)
    moved = draw(ALL, 8)
    expected, actual = apply_effects(waveform, moved), apply_effects(waveform.cuda(), moved)
    assert (_band_levels(actual.cpu()) - _band_levels(expected)).abs().mean() < 1


class Transformed(Dataset[Tensor]):
    """Batches of transformed noise, as a loader process makes them."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        part = slice(2 * index, 2 * index + 2)
        return apply_effects(white(8)[part], draw(ALL, 8).select(part))


def test_forked_loaders_and_threads_make_the_same_sound() -> None:
    batches = Transformed()
    forked = DataLoader(batches, batch_size=None, num_workers=2, multiprocessing_context="fork")
    with limit_threads(1), ThreadPoolExecutor(2) as threads:
        expected = torch.stack([batches[index] for index in range(len(batches))])
        torch.testing.assert_close(torch.stack(list(forked)), expected, rtol=0, atol=1e-5)
        side_by_side = torch.stack(list(threads.map(batches.__getitem__, range(len(batches)))))
    torch.testing.assert_close(side_by_side, expected, rtol=0, atol=1e-5)


def test_apply_effects_refuses_parameters_of_another_batch() -> None:
    with pytest.raises(ValueError, match="must be"):
        apply_effects(white(2), draw(ALL, 3))
