"""The vocoder's physics, by both routes: pitch, duration, loudness, silence, aliasing."""

import math
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from ml.effects import vocoder
from ml.effects.vocoder import change_rate_and_pitch

RATE = 16_000


@pytest.fixture(params=[True, False], ids=["compiled", "torch"], autouse=True)
def _route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocoder, "compiled", lambda _: request.param)


def play(waveform: Tensor, rate: float, semitones: float, samples: int, start: int = 0) -> Tensor:
    batch = len(waveform)
    ratio = torch.full((batch,), 2 ** (semitones / 12), dtype=torch.float64)
    rates = torch.full((batch,), rate, dtype=torch.float64)
    starts = torch.full((batch,), float(start), dtype=torch.float64)
    return change_rate_and_pitch(waveform, starts, rates, ratio, samples)


def tone(frequency: float, seconds: float) -> Tensor:
    time = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    return torch.sin(2 * torch.pi * frequency * time).float()


def peak_frequency(waveform: Tensor) -> float:
    """Frequency of the strongest partial, by a parabola through its logarithmic spectrum."""
    window = torch.hann_window(len(waveform), periodic=False)
    spectrum = torch.fft.rfft(waveform * window, 4 * len(waveform)).abs().double().log()
    best = int(spectrum.argmax())
    left, top, right = spectrum[best - 1 : best + 2].tolist()
    offset = (left - right) / (2 * (left - 2 * top + right))
    return float(best + offset) * RATE / (4 * len(waveform))


@pytest.mark.parametrize("semitones", [-3.0, -0.37, 2.0, 3.0])
@pytest.mark.parametrize("rate", [0.8, 1.0, 1.25])
def test_pitch_shift_moves_a_tone_within_3_cents(semitones: float, rate: float) -> None:
    output = play(tone(440, 6)[None], rate, semitones, 3 * RATE, start=RATE)[0]
    cents = 1200 * math.log2(peak_frequency(output) / (440 * 2 ** (semitones / 12)))
    assert abs(cents) < 3


@pytest.mark.parametrize("rate", [0.8, 0.93, 1.25])
@pytest.mark.parametrize("semitones", [0.0, 2.0])
def test_stretch_spaces_bursts_by_its_rate(rate: float, semitones: float) -> None:
    noise = torch.randn(8 * RATE, generator=torch.Generator().manual_seed(1))
    gate = (torch.arange(8 * RATE) % RATE) < RATE // 10
    output = play((noise * gate)[None], rate, semitones, 5 * RATE, start=RATE // 2)[0]
    envelope = output.square().view(-1, 160).mean(1)  # one value each 10 ms
    spectrum = torch.fft.rfft((envelope - envelope.mean()) * torch.hann_window(500), 100_000)
    found = int(spectrum.abs()[500:].argmax()) + 500  # bins of 1 mHz, above 0.5 Hz
    assert found / 1000 == pytest.approx(rate, rel=0.01)
    first = int((envelope > 0.2 * envelope.max()).nonzero()[0]) / 100
    assert first == pytest.approx(0.5 / rate, abs=0.05)


def music(seconds: float) -> Tensor:
    """Chords with harmonics, decaying strokes and a little noise: (3, samples)."""
    return _make_music(seconds).clone()


@lru_cache
def _make_music(seconds: float) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    time = torch.arange(int(seconds * RATE)) / RATE
    voices = []
    for root in (82.4, 146.8, 261.6):
        notes = [root * r * h for r in (1, 1.26, 1.5) for h in (1, 2, 3, 4)]
        chord = sum(torch.sin(2 * torch.pi * f * time + f) / (f / root) for f in notes)
        voices.append(chord * torch.exp(-3 * (time % 0.5)))
    return torch.stack(voices) + 0.05 * torch.randn(3, len(time), generator=generator)


@pytest.mark.parametrize(
    ("rate", "semitones"), [(0.8, -3), (0.8, 3), (1.25, -3), (1.25, 3), (1, 1)]
)
def test_vocoder_keeps_loudness_within_1_db(rate: float, semitones: float) -> None:
    waveform = music(8)
    output = play(waveform, rate, semitones, 4 * RATE, start=RATE)
    heard = waveform[:, RATE : RATE + int(4 * RATE * rate)]
    decibels = 10 * torch.log10(output.square().mean(1) / heard.square().mean(1))
    assert decibels.abs().max() < 1


def test_vocoder_sounds_again_after_exact_silence() -> None:
    waveform = music(6)
    waveform[:, RATE : 3 * RATE] = 0
    output = play(waveform, 0.9, 1, 5 * RATE)
    assert output[:, 4 * RATE :].square().mean() > 0.5 * waveform[:, 4 * RATE :].square().mean()
    assert output[:, int(1.4 * RATE) : 3 * RATE].abs().max() < 1e-4


def test_pitch_shift_lets_nothing_alias() -> None:
    loud = play(tone(6000, 3)[None], 1, 3, RATE, start=RATE)
    gone = play(tone(7000, 3)[None], 1, 3, RATE, start=RATE)
    assert gone.square().mean() < 1e-4 * loud.square().mean()


def test_vocoder_treats_each_example_by_itself() -> None:
    waveform = music(3)
    start = torch.tensor([100.0, 2000.0, 50.5], dtype=torch.float64)
    rate = torch.tensor([0.8, 1.0, 1.2], dtype=torch.float64)
    ratio = torch.tensor([1.1, 0.9, 1.0], dtype=torch.float64)
    together = change_rate_and_pitch(waveform, start, rate, ratio, RATE)
    for i in range(3):
        one = slice(i, i + 1)
        alone = change_rate_and_pitch(waveform[one], start[one], rate[one], ratio[one], RATE)
        torch.testing.assert_close(together[one], alone, rtol=0, atol=1e-4)


def test_vocoder_reads_from_the_other_end_beyond_the_input() -> None:
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(2))
    output = play(noise, 1.25, 0, RATE, start=-RATE // 2)
    assert output.view(10, -1).square().mean(1).min() > 0.5


def measure_bands(waveform: Tensor) -> Tensor:
    """Logarithmic power in 25 bands of equal width: (B, 25)."""
    window = torch.hann_window(2048)
    spectra = torch.stft(waveform, 2048, window=window, return_complex=True).abs()
    return spectra.reshape(len(waveform), 25, -1).square().mean(2).log10()


def test_compiled_vocoder_is_that_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where a locked phase is the difference of nearly equal numbers, rounding decides it, and in
    # noise that spreads: sound with partials stays the same for seconds, noise for a while.
    waveform = torch.cat(
        [music(3), torch.randn(1, 3 * RATE, generator=torch.Generator().manual_seed(1))]
    )
    monkeypatch.setattr(vocoder, "compiled", lambda _: True)
    compiled = play(waveform, 0.9, 2, 2 * RATE, start=-1000)
    monkeypatch.setattr(vocoder, "compiled", lambda _: False)
    by_torch = play(waveform, 0.9, 2, 2 * RATE, start=-1000)
    torch.testing.assert_close(compiled[:, :4000], by_torch[:, :4000], rtol=0, atol=1e-3)
    bands = [measure_bands(sound) for sound in (compiled, by_torch)]
    assert (bands[0] - bands[1]).abs().max() < 0.05
