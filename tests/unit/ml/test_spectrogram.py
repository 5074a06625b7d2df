"""The mel front end against librosa and torchaudio."""

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from torch import Tensor

from ml.spectrogram import FrontEnd, SpectrogramSettings, log_mel, mel_filters, mel_spectrogram


@pytest.fixture
def waveform() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    time = torch.arange(40_000) / 16_000
    chord = sum(torch.sin(2 * torch.pi * pitch * time) for pitch in (110.0, 440.0, 3001.0))
    return 0.1 * chord + 0.01 * torch.randn(2, 40_000, generator=generator)


@pytest.mark.parametrize("power", [1, 2])
def test_mel_spectrogram_equals_librosa(waveform: Tensor, power: int) -> None:
    expected = librosa.feature.melspectrogram(
        y=waveform.numpy(),
        sr=16_000,
        n_fft=2048,
        hop_length=1024,
        n_mels=128,
        fmin=20,
        htk=True,
        norm=None,
        power=power,
        pad_mode="reflect",
    )
    actual = mel_spectrogram(waveform, SpectrogramSettings(power=1 if power == 1 else 2)).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * expected.max())
    np.testing.assert_allclose(np.log(actual + 1e-3), np.log(expected + 1e-3), atol=1e-4)


@pytest.mark.parametrize(("power", "hop"), [(1, 1024), (2, 512)])
def test_mel_spectrogram_equals_torchaudio(waveform: Tensor, power: int, hop: int) -> None:
    reference = torchaudio.transforms.MelSpectrogram(
        16_000, n_fft=2048, hop_length=hop, f_min=20, n_mels=128, power=power, mel_scale="htk"
    )
    settings = SpectrogramSettings(power=1 if power == 1 else 2, hop=hop)
    expected = (reference(waveform) + settings.floor).log()
    torch.testing.assert_close(log_mel(waveform, settings), expected, rtol=0, atol=1e-4)


def test_mel_filters_put_a_tone_into_its_own_band() -> None:
    time = torch.arange(16_000) / 16_000
    band = int(mel_spectrogram(torch.sin(2 * torch.pi * 1000 * time)[None]).mean(2).argmax())
    mel = 2595 * np.log10(1 + np.array([20, 1000, 8000]) / 700)
    assert abs(band - ((mel[1] - mel[0]) / (mel[2] - mel[0]) * 129 - 1)) <= 1


def test_log_mel_of_silence_is_the_floor() -> None:
    settings = SpectrogramSettings(floor=0.01)
    silence = log_mel(torch.zeros(1, 4096), settings)
    torch.testing.assert_close(silence, torch.full((1, 128, 5), float(np.log(0.01))))


def test_mel_spectrogram_ignores_autocast(waveform: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = mel_spectrogram(waveform)
    assert torch.equal(half, mel_spectrogram(waveform))


def test_front_end_standardizes_each_band_in_training(waveform: Tensor) -> None:
    image = FrontEnd(rgb=False)(waveform)
    assert image.shape == (2, 1, 128, 40)
    torch.testing.assert_close(image.mean((0, 1, 3)), torch.zeros(128), rtol=0, atol=1e-4)
    torch.testing.assert_close(image.var((0, 1, 3)), torch.ones(128), rtol=0, atol=0.05)


def test_front_end_projects_to_three_channels(waveform: Tensor) -> None:
    front_end = FrontEnd(SpectrogramSettings(n_mels=64)).eval()
    image = front_end(waveform)
    assert image.shape == (2, 3, 64, 40)
    assert torch.equal(image, front_end.image(log_mel(waveform, front_end.settings)))
    image.sum().backward()
    assert front_end.project.weight.grad is not None


def test_front_end_saves_weights_only() -> None:
    assert not {"mel.window", "mel.filters"} & set(FrontEnd().state_dict())


@pytest.mark.parametrize(
    "wrong",
    [{"f_min": 9000.0}, {"hop": 0}, {"power": 3}, {"floor": 0.0}, {"f_max": 8001.0}],
)
def test_settings_refuse_what_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"choose|must be"):
        SpectrogramSettings(**wrong)  # type: ignore[arg-type]


def test_mel_filters_refuse_empty_bands() -> None:
    with pytest.raises(ValueError, match="lower n_mels"):
        mel_filters(SpectrogramSettings(n_fft=256, hop=128))


def test_mel_spectrogram_refuses_a_short_waveform() -> None:
    with pytest.raises(ValueError, match="more than 1024 samples"):
        mel_spectrogram(torch.zeros(1, 1024))
