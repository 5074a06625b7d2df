"""Bands by compiled kernels: products of matrices, and torch's own short-time transform."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.mel_frames import SparseFilters, sum_bands
from ml.spectrogram import SpectrogramSettings, mel_filters, mel_spectrogram

SIZE = 64
BINS = SIZE // 2 + 1


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), st.sampled_from([1, 2]), st.integers(1, 4), st.integers(1, 200))
def test_bands_are_the_product_of_filters_and_magnitudes(
    seed: int, power: int, batch: int, frames: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    sound = torch.randn(batch, 300, generator=generator)
    first = torch.randint(300 - SIZE + 1, (batch, frames), generator=generator)
    window = torch.hann_window(SIZE)
    banks = torch.rand(3, 7, BINS, generator=generator)
    banks *= torch.rand(3, 7, BINS, generator=generator) < 0.1  # some of them hear nothing
    bank = torch.randint(3, (batch,), generator=generator)
    found = sum_bands(sound, first, window, SparseFilters.from_dense(banks), bank, power=power)
    for example in range(batch):
        for frame in range(frames):
            start = int(first[example, frame])
            heard = torch.fft.rfft(sound[example, start : start + SIZE] * window).abs() ** power
            expected = banks[bank[example]] @ heard
            torch.testing.assert_close(found[example, :, frame], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("first", [-1, 300 - SIZE + 1])
def test_frames_beyond_their_sound_are_refused(first: int) -> None:
    filters = SparseFilters.from_dense(torch.ones(1, 2, BINS))
    with pytest.raises(ValueError, match="within the 300 samples"):
        sum_bands(torch.zeros(1, 300), torch.tensor([[first]]), torch.ones(SIZE), filters, power=1)


def test_nothing_has_no_bands() -> None:
    assert mel_spectrogram(torch.zeros(0, 16_000)).shape == (0, 128, 16)


@pytest.mark.parametrize(
    "chosen",
    [
        SpectrogramSettings(),
        SpectrogramSettings(power=2, hop=700),
        SpectrogramSettings(n_fft=1024, hop=256, n_mels=40, f_min=0, f_max=5000),
    ],
)
def test_front_end_is_that_of_torch_which_has_gradients(chosen: SpectrogramSettings) -> None:
    sound = torch.randn(3, 20_001, generator=torch.Generator().manual_seed(1))
    learned = sound.clone().requires_grad_()
    by_torch = mel_spectrogram(learned, chosen)
    torch.testing.assert_close(mel_spectrogram(sound, chosen), by_torch.detach(), rtol=1e-5, atol=0)
    torch.autograd.backward(by_torch.sum())
    assert learned.grad is not None
    assert learned.grad.abs().sum() > 0


def test_filters_know_the_bins_that_they_hear() -> None:
    dense = mel_filters(SpectrogramSettings())[None]
    filters = SparseFilters.from_dense(dense)
    for band in range(dense.shape[1]):
        heard = dense[0, band].nonzero()[:, 0].tolist()
        assert filters.begin[0, band] == heard[0]
        assert filters.end[0, band] == heard[-1] + 1
